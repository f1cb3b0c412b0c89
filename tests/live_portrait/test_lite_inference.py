"""The inference form of the lite nets computes what the plain nets compute."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from vivant.methods.live_portrait.config import PRESETS
from vivant.methods.live_portrait.model import build_modules, optimize_for_inference
from vivant.nn.geometry import nearest_rotation, rigid_motion


@pytest.fixture
def modules() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    modules = build_modules(PRESETS["tiny"])
    for module in modules.values():
        for part in module.modules():
            if isinstance(part, nn.BatchNorm2d | nn.BatchNorm3d):
                part.running_mean.normal_(0, 0.1)  # type: ignore[union-attr]
                part.running_var.uniform_(0.5, 1.5)  # type: ignore[union-attr]
        module.eval()
    return modules


@torch.inference_mode()
def run(modules: dict[str, nn.Module]) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    image = torch.rand(1, 3, 256, 256, generator=generator)
    source = torch.rand(1, 33, 3, generator=generator) - 0.5
    driving = source + 0.02 * torch.randn(1, 33, 3, generator=generator)
    features = modules["appearance_feature_extractor"](image)
    warped = modules["warping_module"](features, source, driving)["out"]
    return {**modules["motion_extractor"](image), "flow": warped["flow"], "image": modules["spade_generator"](warped)}


def test_the_inference_form_gives_the_same_numbers_and_has_no_norms_left(modules: dict[str, nn.Module]) -> None:
    plain, fast = run(modules), run(optimize_for_inference(modules))
    for name, value in plain.items():
        assert torch.allclose(value, fast[name], atol=1e-4, rtol=1e-4), name
    decoder = optimize_for_inference(modules)["spade_generator"]
    assert not any(isinstance(part, nn.BatchNorm2d) for part in decoder.modules())
    assert any(isinstance(part, nn.BatchNorm2d) for part in modules["spade_generator"].modules())


def test_rigid_motion_recovers_a_known_similarity() -> None:
    generator = torch.Generator().manual_seed(2)
    points = torch.randn(4, 6, 3, generator=generator)
    rotation = torch.linalg.qr(torch.randn(4, 3, 3, generator=generator)).Q
    rotation = rotation * torch.linalg.det(rotation).sign()[:, None, None]
    moved = 1.3 * points @ rotation + torch.tensor([0.1, -0.2, 0.3])
    linear, centre_from, centre_to = rigid_motion(points, moved)
    assert torch.allclose(linear, 1.3 * rotation, atol=1e-3)
    assert torch.allclose((points - centre_from) @ linear + centre_to, moved, atol=1e-3)


def test_a_mirrored_set_of_points_gives_a_finite_answer() -> None:
    assert torch.equal(nearest_rotation(torch.diag(torch.tensor([1.0, 1.0, -1.0]))), torch.eye(3))
