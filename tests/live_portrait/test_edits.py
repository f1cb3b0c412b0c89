from __future__ import annotations

from dataclasses import fields

import pytest
import torch
from portraits import motion
from torch import nn

from vivant.core.errors import ConfigError
from vivant.methods.live_portrait.algebra import rotation_matrix
from vivant.methods.live_portrait.config import LITE_LANDMARKS, PRESETS, Options, Sliders
from vivant.methods.live_portrait.edits import check_sliders, edit_motion, expression_edit, head_angles
from vivant.methods.live_portrait.retargeting import Retargeter


def published(**sliders: float) -> dict[tuple[int, int], float]:
    """The expression numbers that a slider changes in the published space."""
    change = expression_edit(Sliders(**sliders), "published", 21)
    return {(k, axis): pytest.approx(float(change[k, axis])) for k, axis in change.nonzero().tolist()}


def lite(**sliders: float) -> dict[int, torch.Tensor]:
    """Mesh landmark -> displacement (3,) for the keypoints that a slider moves in the lite space."""
    change = expression_edit(Sliders(**sliders), "lite", 33)
    return {LITE_LANDMARKS[k]: change[k] for k in change.abs().sum(1).nonzero()[:, 0].tolist()}


def test_published_sliders_move_the_components_of_the_released_editor() -> None:
    assert published(gaze_x=10) == {(11, 0): 0.007, (15, 0): 0.01}
    assert published(gaze_x=-10) == {(11, 0): -0.01, (15, 0): -0.007}
    assert published(gaze_y=20) == {(11, 1): -0.01, (15, 1): -0.01, (13, 1): -0.003, (16, 1): -0.003}
    assert published(eyebrow=10) == {(1, 1): 0.01, (2, 1): -0.01}
    assert published(eyebrow=-10) == {(1, 0): 0.01, (2, 0): -0.01, (1, 1): -0.003, (2, 1): 0.003}
    assert published(pouting=0.05) == {(19, 0): 0.05}
    assert published(pursing=10) == {(14, 1): 0.01, (3, 1): -0.005, (7, 1): -0.005, (17, 2): -0.005}
    assert published(grin=10) == {(20, 2): -0.01, (20, 1): -0.01, (14, 1): -0.01}
    assert published(lip_open=100) == {(19, 1): 0.1, (19, 2): 0.01, (17, 1): -0.01}
    assert published(move_x=0.1, move_y=0.1) == {(5, 0): -0.1, (5, 1): 0.1}
    assert published(wink=10)[(11, 1)] == 0.01 and len(published(wink=10)) == 5
    assert published(smile=1)[(14, 1)] == -0.02 and len(published(smile=1)) == 8


def test_lite_smile_lifts_and_widens_the_corners() -> None:
    moved = lite(smile=1)
    assert moved[61][0] < 0 < moved[291][0] and moved[61][1] < 0 and moved[291][1] < 0
    assert moved[61][1] == moved[291][1] and not {33, 152, 10} & set(moved)


def test_lite_gaze_moves_both_irises_and_lids_follow_only_up_and_down() -> None:
    assert set(lite(gaze_x=20)) == {468, 473} and lite(gaze_x=20)[468][0] > 0
    up = lite(gaze_y=40)
    assert up[468][1] < up[159][1] < 0 and 386 in up


def test_lite_wink_closes_one_eye() -> None:
    moved = lite(wink=39)
    # an open eye is about 0.045 high; the lids aim past each other, because the warp keeps an iris it still sees
    assert 0.07 < moved[159][1] - moved[145][1] < 0.12
    assert not {386, 385, 387, 374, 473} & set(moved)


def test_lite_brows_and_mouth() -> None:
    assert all(step[1] < 0 for step in lite(eyebrow=20).values()) and set(lite(eyebrow=20)) == {105, 334, 107, 336}
    frown = lite(eyebrow=-20)
    assert frown[107][0] > 0 > frown[336][0] and frown[107][1] > 0
    opened, pressed = lite(lip_open=100), lite(lip_open=-90)
    assert opened[14][1] > opened[152][1] > 0 >= opened[13][1]
    assert -0.03 < pressed[14][1] < 0
    assert lite(pursing=15)[61][0] > 0 > lite(pursing=15)[291][0]
    assert lite(grin=15)[13][1] < 0 < lite(grin=15)[14][1]


def test_lite_edits_follow_a_tilted_head() -> None:
    upright = motion(1, 33)
    turned = rotation_matrix(*(torch.tensor([angle]) for angle in (0.0, 0.0, 90.0)))
    source = type(upright)(**{**vars(upright), "rotation": turned})
    change = (edit_motion(source, Sliders(lip_open=100), "lite").exp - source.exp)[0, 3]
    assert torch.allclose(change, (torch.tensor([[0.0, 0.1, 0.0]]) @ turned[0])[0], atol=1e-6)


def test_head_angles_undo_the_rotation_and_sliders_add_to_them() -> None:
    angles = [torch.tensor(values) for values in ([10.0, -30.0], [20.0, 5.0], [-15.0, 40.0])]
    found = head_angles(rotation_matrix(*angles))
    for given, seen in zip(angles, found):
        assert torch.allclose(given, seen, atol=1e-3)
    source = motion(2, 21)
    edited = edit_motion(source, Sliders(pitch=5, yaw=-10, roll=3), "published")
    for before, after, step in zip(head_angles(source.rotation), head_angles(edited.rotation), (5, -10, 3)):
        assert torch.allclose(after - before, torch.tensor(float(step)), atol=1e-3)


def test_place_and_size() -> None:
    source = motion(2, 33)
    edited = edit_motion(source, Sliders(move_x=0.1, move_y=-0.05, zoom=1.1), "lite")
    assert torch.allclose(edited.translation - source.translation, torch.tensor([0.1, -0.05, 0]), atol=1e-6)
    assert torch.allclose(edited.scale, source.scale * 1.1) and torch.equal(edited.exp, source.exp)


def test_no_slider_changes_nothing() -> None:
    source = motion(2, 33)
    edited = edit_motion(source, Sliders(), "lite")
    assert all(torch.equal(getattr(source, f.name), getattr(edited, f.name)) for f in fields(source))


@pytest.mark.parametrize(
    "values", [{"yaw": 26}, {"zoom": 0.5}, {"smile": float("nan")}, {"eyes_ratio": 0.9}, {"wink": -1}]
)
def test_ranges_are_checked(values: dict) -> None:
    with pytest.raises(ConfigError, match=next(iter(values))):
        check_sliders(Sliders(**values))


def test_every_slider_does_something() -> None:
    for family, points in (("published", 21), ("lite", 33)):
        source = motion(1, points)
        for item in fields(Sliders):
            if item.name in ("eyes_ratio", "lip_ratio"):  # these ask the nets
                continue
            for value in item.metadata["range"]:
                edited = edit_motion(source, Sliders(**{item.name: value}), family)
                assert value == 0 or (edited.keypoints() - source.keypoints()).abs().max() > 1e-4, (family, item.name)


class MovesAll(nn.Module):
    """A net of stage II that moves every keypoint, as trained ones do."""

    def __init__(self, points: int) -> None:
        super().__init__()
        self.points = points

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return torch.full((len(rows), 3 * self.points), 0.1)


@pytest.mark.parametrize(
    "slider, moved", [("lip_ratio", {*range(10), 29}), ("eyes_ratio", {*range(10, 28)}), ("published", {*range(21)})]
)
def test_a_target_for_the_mouth_leaves_the_eyes_and_the_other_way_round(slider: str, moved: set[int]) -> None:
    config = PRESETS["tiny-published" if slider == "published" else "tiny"]
    source = motion(1, config.space.keypoints)
    nets = nn.ModuleDict({name: MovesAll(config.space.keypoints) for name in ("retarget_eye", "retarget_mouth")})
    wanted = Sliders(lip_ratio=0.7) if slider == "published" else Sliders(**{slider: 0.7})
    edited = Retargeter(nets, config, Options(stitching=False, sliders=wanted), source).edit(source)
    change = (edited - source.keypoints())[0].abs().sum(-1)
    assert {k for k, value in enumerate(change.tolist()) if value > 1e-3} == moved
