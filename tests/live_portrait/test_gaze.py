"""Irises are moved further sideways than they are told, within the eye, and nothing else is."""

from __future__ import annotations

import pytest
import torch
from portraits import motion
from torch import nn

from vivant.core.errors import ConfigError
from vivant.methods.live_portrait.algebra import rotation_matrix
from vivant.methods.live_portrait.config import LITE_SPACE, PRESETS, PUBLISHED_SPACE, Options
from vivant.methods.live_portrait.gaze import FARTHEST, Gaze
from vivant.methods.live_portrait.retargeting import Retargeter, check_options

CPU = torch.device("cpu")
CORNERS = {22: (12, 13), 23: (19, 18)}  # rows of the corners, left and right in the picture


def face(*sideways: float, tilt: float = 0.0) -> torch.Tensor:
    """(B, 33, 3): eyes 0.4 wide with irises so many eye widths right of their middle, a little above the line."""
    x = torch.randn(len(sideways), 33, 3, generator=torch.Generator().manual_seed(0))
    for iris, (left, right) in CORNERS.items():
        middle = torch.tensor([0.5 if iris == 23 else -0.5, 0.1, 0.3])
        x[:, left], x[:, right] = middle - torch.tensor([0.2, 0.0, 0.0]), middle + torch.tensor([0.2, 0.0, 0.0])
        x[:, iris] = middle + torch.tensor([[0.4 * value, -0.03, 0.0] for value in sideways])
    zero = torch.zeros(1)
    return x @ rotation_matrix(zero, zero, torch.tensor([tilt]))


def seen(x: torch.Tensor) -> list[list[float]]:
    """Eye widths right of the middle and below the line, of each iris."""
    found = []
    for iris, (left, right) in CORNERS.items():
        axis, offset = (x[:, right] - x[:, left])[:, :2], x[:, iris, :2] - (x[:, left] + x[:, right])[:, :2] / 2
        below = axis[:, 0] * offset[:, 1] - axis[:, 1] * offset[:, 0]
        found += [(offset * axis).sum(1) / axis.square().sum(1), below / axis.square().sum(1)]
    return torch.stack(found, 1).tolist()


@pytest.mark.parametrize("tilt", [0.0, 25.0])
def test_irises_go_further_from_where_the_portrait_looks(tilt: float) -> None:
    portrait, driven = face(0.1, tilt=-tilt), face(0.1, 0.2, -0.1, tilt=tilt)
    moved = Gaze(LITE_SPACE, 1.5, CPU)(driven, portrait)
    for found, sideways in zip(seen(moved), (0.1, 0.25, -0.2)):
        assert found == pytest.approx([sideways, -0.075, sideways, -0.075], abs=1e-5)
    others = [k for k in range(33) if k not in CORNERS]
    assert torch.equal(moved[:, others], driven[:, others]) and torch.equal(moved[..., 2], driven[..., 2])


def test_irises_are_not_sent_out_of_the_eye_and_none_comes_back() -> None:
    moved = Gaze(LITE_SPACE, 3.0, CPU)(face(0.3, -0.3, 0.45), face(0.0))
    assert [row[0] for row in seen(moved)] == pytest.approx([FARTHEST, -FARTHEST, 0.45], abs=1e-5)


def test_without_gain_or_names_keypoints_stay() -> None:
    x = face(0.2)
    assert Gaze(LITE_SPACE, 1.0, CPU)(x, face(0.0)) is x
    published = torch.randn(1, 21, 3)
    assert Gaze(PUBLISHED_SPACE, 1.5, CPU)(published, published) is published


def test_a_driver_is_followed_so_and_a_turn_alone_moves_no_iris_in_its_eye() -> None:
    source, lite = motion(1, 33), PRESETS["lite"]
    driver, changed = motion(3, 33), {}
    for region in ("all", "pose", "eyes"):
        plain, further = (
            Retargeter(
                nn.ModuleDict(), lite,
                Options(region=region, stitching=False, openings=False, gaze_gain=gain), driver.rows(0, 1),
            ).drive(source, driver)
            for gain in (1.0, 1.5)
        )  # fmt: skip
        changed[region] = (further - plain).abs().amax((0, 2))
    irises = list(CORNERS)
    assert changed["pose"].max() < 1e-5
    for region in ("all", "eyes"):
        assert changed[region][irises].min() > 1e-3
        assert changed[region][[k for k in range(33) if k not in irises]].max() < 1e-5


@pytest.mark.parametrize("gain", [-0.1, 3.1, float("nan")])
def test_a_gain_that_makes_no_sense_is_told(gain: float) -> None:
    with pytest.raises(ConfigError, match="gaze gain"):
        check_options(Options(gaze_gain=gain))
