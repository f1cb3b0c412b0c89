"""Inception of FID and I3D of FVD against the published modules' values, with weights filled by the golden rule."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from golden import fill, rand

from vivant.metrics.nets.i3d import I3D
from vivant.metrics.nets.inception import InceptionV3

DATA = Path(__file__).parent / "data"
GOLDEN = json.loads((DATA / "metric_nets.golden.json").read_text())
SHAPES = json.loads((DATA / "metric_nets.shapes.json").read_text())
NETS = {"inception": InceptionV3, "i3d": I3D}


def given(name: str) -> torch.Tensor:
    return rand(1, 2, 3, 299, 299) if name == "inception" else rand(2, 1, 3, 16, 224, 224) * 2 - 1


@pytest.mark.parametrize("name", NETS)
def test_keys_are_the_published_ones(name: str) -> None:
    with torch.device("meta"):
        state = NETS[name]().state_dict()
    assert {key: list(value.shape) for key, value in state.items()} == SHAPES[name]


@pytest.mark.parametrize("name", NETS)
def test_numbers_are_the_published_modules(name: str) -> None:
    with torch.device("meta"):
        net = NETS[name]()
    net = fill(net.to_empty(device="cpu"))
    with torch.inference_mode():
        found = net(given(name)).double().flatten()
    want = GOLDEN[name]
    sampled = found[torch.linspace(0, len(found) - 1, 24).long()]
    assert torch.allclose(sampled, torch.tensor(want["sampled"], dtype=torch.float64), atol=1e-5)
    assert found.mean().item() == pytest.approx(want["mean"], abs=1e-5)
    assert found.std().item() == pytest.approx(want["std"], abs=1e-5)
    assert found.abs().max().item() == pytest.approx(want["max"], abs=1e-5)
