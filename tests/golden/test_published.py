"""Published sizes, key names and golden values of the paper's nets."""

from __future__ import annotations

import math

import pytest
import torch
from golden import GOLDEN, MLPS, NETS, SHAPES, errors, outputs, published, randn

from vivant.methods.live_portrait.algebra import (
    decode_angles,
    motion_multiplier,
    rotation_matrix,
    transform_keypoints,
)
from vivant.methods.live_portrait.config import PRESETS
from vivant.methods.live_portrait.model import build_modules

BOUND = 2e-5


def test_keys_and_shapes_equal_the_released_files():
    with torch.device("meta"):
        modules = build_modules(PRESETS["paper"])
    ours = {f"{name}.{key}": list(v.shape) for name, m in modules.items() for key, v in m.state_dict().items()}
    assert ours == SHAPES


@pytest.mark.parametrize("name", [*NETS, *MLPS])
def test_golden_values(name):
    assert max(errors(name, outputs(published(name), name))) < BOUND


def test_rotation_matrix_golden():
    golden = GOLDEN["golden"]["rotation"]
    pitch, yaw, roll = (torch.tensor([float(a)]) for a in golden["pitch_yaw_roll_degrees"])
    found = rotation_matrix(pitch, yaw, roll)[0]
    assert torch.allclose(found, torch.tensor(golden["matrix_rows"]), atol=1e-6)


def test_angle_bins_golden():
    golden = GOLDEN["golden"]["headpose_decode"]
    assert torch.allclose(decode_angles(randn(107, 2, 66)), torch.tensor(golden["degrees"]), atol=2e-5)
    assert decode_angles(torch.zeros(1, 66)).item() == pytest.approx(0, abs=1e-5)
    assert decode_angles(torch.tensor([[12.5]])).tolist() == [12.5]


def test_motion_multiplier_golden():
    golden = GOLDEN["golden_geometry"]["motion_multiplier"]
    found = motion_multiplier(randn(207, 21, 3), 0.8 * randn(208, 21, 3))
    assert found == pytest.approx(golden["value"], rel=1e-6)


def test_motion_multiplier_of_flat_points_is_one():
    flat = torch.zeros(21, 3)
    assert motion_multiplier(flat, randn(1, 21, 3)) == 1.0
    assert motion_multiplier(randn(1, 21, 3), flat * math.nan) == 1.0


def test_transform_keypoints_scales_after_the_expression_and_drops_depth_translation():
    canonical, expression = randn(1, 2, 21, 3), 0.1 * randn(2, 2, 21, 3)
    scale, shift = torch.tensor([[2.0], [0.5]]), torch.tensor([[0.1, 0.2, 9.0], [0.0, -0.1, 9.0]])
    found = transform_keypoints(canonical, torch.eye(3).repeat(2, 1, 1), expression, scale, shift)
    want = scale[:, :, None] * (canonical + expression) + torch.tensor([[[0.1, 0.2, 0]], [[0, -0.1, 0]]])
    assert torch.allclose(found, want, atol=1e-6)


def test_untrained_stage_two_nets_answer_zero_and_learn():
    net = build_modules(PRESETS["tiny-published"])["stitching_retargeting_module"]["retarget_shoulder"]
    x = randn(3, 4, 126)
    assert net(x).abs().max() == 0
    net(x).sum().backward()
    assert net.mlp[-1].weight.grad.abs().max() > 0
