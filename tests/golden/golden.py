"""The published nets against the golden values: fill rule, inputs and the comparison.

``data/live_portrait.golden.json`` states the rule by which weights are filled, so no published weight is
needed. Run this file to print the table of maximal errors: ``python tests/golden/golden.py``.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vivant.methods.live_portrait.config import PRESETS, PublishedConfig
from vivant.methods.live_portrait.model import build_modules, optimize_for_inference

DATA = Path(__file__).parent / "data"
GOLDEN: dict[str, Any] = json.loads((DATA / "live_portrait.golden.json").read_text())
SHAPES: dict[str, list[int]] = json.loads((DATA / "live_portrait.shapes.json").read_text())
MLPS = ("retarget_shoulder", "retarget_mouth", "retarget_eye")
NETS = ("appearance_feature_extractor", "motion_extractor", "warping_module", "spade_generator")


def randn(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def rand(seed: int, *shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def _filled(key: str, value: Tensor, seed: int) -> Tensor:
    if key.endswith("num_batches_tracked"):
        return torch.zeros_like(value)
    noise = randn(seed, *value.shape)
    if key.endswith("running_var"):
        return 1 + 0.1 * noise.abs()
    if key.endswith(("running_mean", "bias", "beta", "gamma")):
        return 0.1 * noise
    if value.ndim <= 1:
        return 1 + 0.1 * noise
    return noise * (value.shape[0] / value.numel()) ** 0.5


def leading_singular_vectors(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Of a weight (outputs, ...) seen as a matrix, in float64, through the Gram matrix."""
    matrix = weight.double().flatten(1)
    u = torch.linalg.eigh(matrix @ matrix.T).eigenvectors[:, -1]
    v = matrix.T @ u
    return u.float(), (v / v.norm()).float()


def fill(module: nn.Module) -> nn.Module:
    """Give ``module`` the weights of the golden file's rule; returns it in evaluation mode."""
    state = module.state_dict()
    filled = {key: _filled(key, state[key], seed) for seed, key in enumerate(sorted(state))}
    for key in [key for key in filled if key.endswith("weight_orig")]:
        name = key.removesuffix("orig")
        filled[f"{name}u"], filled[f"{name}v"] = leading_singular_vectors(filled[key])
    module.load_state_dict(filled)
    return module.eval()


def published(name: str) -> nn.Module:
    """One published-size net (or MLP of stage II) with golden weights."""
    config = PRESETS["paper"]
    assert isinstance(config, PublishedConfig)
    with torch.device("meta"):  # the fill rule gives every number, so none is drawn twice
        modules = build_modules(config)
    module = modules["stitching_retargeting_module"].get_submodule(name) if name in MLPS else modules[name]
    return fill(module.to_empty(device="cpu"))


def inputs(name: str) -> tuple[Tensor, ...]:
    if name in ("appearance_feature_extractor", "motion_extractor"):
        return (rand(101, 1, 3, 256, 256),)
    if name == "warping_module":
        source = 0.3 * randn(103, 1, 21, 3)
        return randn(102, 1, 32, 16, 64, 64), source, source + 0.05 * randn(104, 1, 21, 3)
    if name == "spade_generator":
        return (randn(105, 1, 256, 64, 64),)
    return (randn(106, 2, {"retarget_shoulder": 126, "retarget_mouth": 65, "retarget_eye": 66}[name]),)


def outputs(module: nn.Module, name: str) -> dict[str, Tensor]:
    with torch.inference_mode():
        out = module(*inputs(name))
    return out if isinstance(out, dict) else {"": out}


def errors(name: str, found: dict[str, Tensor]) -> Iterator[float]:
    """Absolute differences from the golden values: six samples, mean, spread and extreme of each tensor."""
    golden = GOLDEN["golden"][name]["out"]
    for key, tensor in found.items():
        want = golden[key] if key else golden
        assert list(tensor.shape) == want["shape"], f"{name} {key}: {list(tensor.shape)}"
        wide = tensor.double().flatten()
        yield (wide[want["flat_index"]] - torch.tensor(want["value"], dtype=torch.float64)).abs().max().item()
        yield abs(wide.mean().item() - want["mean"])
        yield abs(wide.std(correction=0).item() - want["std"])
        yield abs(wide.abs().max().item() - want["abs_max"])


def main() -> None:
    """Print the maximal errors and the times of each module, plain and optimised, as a Markdown table."""
    print("| module | parameters | maximal error | optimised | seconds | optimised |\n|---|---|---|---|---|---|")
    for name in (*NETS, *MLPS):
        plain = published(name)
        cells = [name, f"{sum(parameter.numel() for parameter in plain.parameters()):,}"]
        forms = (plain, optimize_for_inference({name: plain})[name])
        runs = [_timed(form, name) for form in forms]
        cells += [f"{max(errors(name, found)):.1e}" for found, _ in runs] + [f"{took:.3f}" for _, took in runs]
        print(f"| {' | '.join(cells)} |", flush=True)


def _timed(module: nn.Module, name: str) -> tuple[dict[str, Tensor], float]:
    outputs(module, name)
    start = time.perf_counter()
    return outputs(module, name), time.perf_counter() - start


if __name__ == "__main__":
    main()
