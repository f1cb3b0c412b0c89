"""Batch norms that normalise by the whole batch when several processes train together.

On GPUs they are torch's SyncBatchNorm, whose few fused kernels take half precision; it runs on GPUs only, so elsewhere
plain tensor operations do the same. Names of the weights stay, and nothing changes when there is one process.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from vivant.training import parallel


class _MeanOverProcesses(torch.autograd.Function):
    """The mean of a tensor over the processes; its gradient is the mean of their gradients."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        """The mean of ``x``."""
        mean = x.clone()
        dist.all_reduce(mean)
        return mean / parallel.world()

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        """All processes add to the mean, so all their gradients come back."""
        mean = gradient.contiguous().clone()
        dist.all_reduce(mean)
        return mean / parallel.world()


class _Shared(_BatchNorm):
    """A batch norm whose statistics, while it trains, are those of all processes' parts together."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, ...) normalised over B and what follows C (Ioffe and Szegedy 2015), in float32."""
        if not self.training or parallel.world() == 1:
            return super().forward(x)
        axes = [axis for axis in range(x.ndim) if axis != 1]
        shape = [1, -1] + [1] * (x.ndim - 2)
        y = x.float()
        mean, square = _MeanOverProcesses.apply(torch.stack([y.mean(axes), y.square().mean(axes)]))
        variance = (square - mean.square()).clamp_min(0)
        self._remember(mean, variance, x.numel() // x.shape[1] * parallel.world())
        factor = torch.rsqrt(variance + self.eps)
        if self.affine:
            factor = factor * self.weight
        y = (y - mean.view(shape)) * factor.view(shape)
        return (y + self.bias.view(shape) if self.affine else y).to(x.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, count: int) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        rate = self.momentum if self.momentum is not None else 1.0 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean.detach(), rate)
        self.running_var.lerp_(variance.detach() * (count / max(1, count - 1)), rate)


class SharedBatchNorm1d(_Shared, nn.BatchNorm1d):
    """:class:`torch.nn.BatchNorm1d` over all processes."""


class SharedBatchNorm2d(_Shared, nn.BatchNorm2d):
    """:class:`torch.nn.BatchNorm2d` over all processes."""


class SharedBatchNorm3d(_Shared, nn.BatchNorm3d):
    """:class:`torch.nn.BatchNorm3d` over all processes."""


class _Fused(nn.SyncBatchNorm):
    """The same on GPUs, by torch's own kernels."""

    process_group = None  # all processes


class FusedBatchNorm1d(_Fused, nn.BatchNorm1d):
    """:class:`torch.nn.BatchNorm1d` over all processes, on GPUs."""


class FusedBatchNorm2d(_Fused, nn.BatchNorm2d):
    """:class:`torch.nn.BatchNorm2d` over all processes, on GPUs."""


class FusedBatchNorm3d(_Fused, nn.BatchNorm3d):
    """:class:`torch.nn.BatchNorm3d` over all processes, on GPUs."""


PLAIN: dict[type, type] = {
    nn.BatchNorm1d: SharedBatchNorm1d,
    nn.BatchNorm2d: SharedBatchNorm2d,
    nn.BatchNorm3d: SharedBatchNorm3d,
}
"""What a batch norm becomes on any device."""

FUSED: dict[type, type] = {
    nn.BatchNorm1d: FusedBatchNorm1d,
    nn.BatchNorm2d: FusedBatchNorm2d,
    nn.BatchNorm3d: FusedBatchNorm3d,
}
"""What it becomes on a GPU."""


def share_norms(modules: Iterable[nn.Module], device: torch.device) -> None:
    """Let the batch norms that train see all processes' samples, in place; does nothing when there is one process."""
    if parallel.world() == 1:
        return
    kinds = FUSED if device.type == "cuda" else PLAIN
    for top in modules:
        for module in top.modules():
            if module.training and type(module) in kinds:
                module.__class__ = kinds[type(module)]
