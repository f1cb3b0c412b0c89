"""Compare the two kinds of batch norm over all processes, plain and fused, on two GPUs.

    torchrun --nproc-per-node 2 tools/check_shared_norm.py

Prints the largest differences of output, gradients and running statistics, relative to the largest value of each, for
pictures, volumes and vectors in float32 and bfloat16 (weights in float32); exit code 1 where one of float32 is above
1e-4.
"""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn

from vivant.training import parallel
from vivant.training.shared_norm import FUSED, PLAIN

SHAPES: dict[type[nn.Module], tuple[int, ...]] = {
    nn.BatchNorm1d: (16, 24), nn.BatchNorm2d: (8, 24, 20, 28), nn.BatchNorm3d: (4, 24, 6, 10, 12),
}  # fmt: skip


def passed(norm: nn.Module, x: Tensor) -> list[Tensor]:
    """Output, gradient of the input, mean gradients of the weights and running statistics of one training step."""
    x = x.clone().requires_grad_()
    y = norm(x)
    # weights that differ within a channel: else the gradient of the input is zero but for rounding
    weight = torch.linspace(-1, 1, y.numel(), device=y.device).view_as(y)
    (y.float() * weight).square().sum().backward()
    parallel.average_gradients(norm.parameters())
    return [y, *(t for t in (x.grad, *(p.grad for p in norm.parameters())) if t is not None), *norm.buffers()]


def difference(ours: Sequence[Tensor], others: Sequence[Tensor]) -> float:
    """The largest relative difference."""
    pairs = zip(ours, others, strict=True)
    return max(
        float((a.float() - b.float()).detach().abs().max() / b.detach().abs().max().clamp_min(1e-9)) for a, b in pairs
    )


def main() -> int:
    """Compare all; the first process prints."""
    device = parallel.start(torch.device("cuda"))
    found: dict[str, float] = {}
    for kind, shape in SHAPES.items():
        torch.manual_seed(0)
        norm = kind(shape[1]).to(device)  # type: ignore[call-arg]
        torch.nn.init.uniform_(norm.weight, 0.5, 1.5)  # type: ignore[arg-type]
        torch.manual_seed(1 + parallel.rank())
        x = 3 + 2 * torch.randn(shape, device=device)
        for dtype in (torch.float32, torch.bfloat16):
            made = []
            for kinds in (FUSED, PLAIN):
                one = copy.deepcopy(norm)
                one.__class__ = kinds[kind]
                made.append(passed(one, x.to(dtype)))
            found[f"{kind.__name__}, {dtype}".replace("torch.", "")] = difference(*made)
    worst = torch.tensor(list(found.values()), device=device)
    dist.all_reduce(worst, dist.ReduceOp.MAX)
    found = dict(zip(found, worst.tolist()))
    if parallel.rank() == 0:
        print(json.dumps(found, indent=1))
    parallel.stop()
    return int(any(value > 1e-4 for name, value in found.items() if "float32" in name))


if __name__ == "__main__":
    sys.exit(main())
