"""Heads that turn as far as a slider asks, and the arithmetic of the table that does it and of its two tools."""

from __future__ import annotations

import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import fit_pose_sliders as fitting
import measure_pose_sliders as measuring
import numpy as np
import pytest
import torch
from portraits import motion
from prepare_lite_data import held_out
from torch import nn

from vivant.methods.live_portrait.algebra import rotation_matrix
from vivant.methods.live_portrait.config import LITE_MIRROR, PRESETS, Options, Sliders
from vivant.methods.live_portrait.edits import edit_motion
from vivant.methods.live_portrait.motion import Motion
from vivant.methods.live_portrait.retargeting import Retargeter
from vivant.methods.live_portrait.turns import Turns, from_vectors, rotation_vectors, turns_of
from vivant.perception.mesh import canonical_face
from vivant.perception.pose import euler_rotation

TABLE = Turns(
    torch.randn(33, 3, generator=torch.Generator().manual_seed(1)), torch.tensor([0.0, 0.3, 0.4]),
    torch.tensor([[0.5, 0.8, 0.3], [0.7, 0.2, 0.6]]), torch.from_numpy(fitting.skull()),
)  # fmt: skip


def carried(source: Motion, table: Turns = TABLE, **degrees: float) -> Motion:
    sliders = Sliders(**degrees)
    return table.carry(edit_motion(source, sliders, "lite"), source)


def test_the_bundled_portrait_turns_and_nods_by_what_is_asked() -> None:
    from vivant.perception.faces import FaceFinder
    from vivant.perception.pose import head_pose
    from vivant.pipelines.load import load
    from vivant.weights.assets import asset

    pipe, finder = load("live-portrait", preset="lite", dtype="fp32", device="cpu"), FaceFinder()
    seen = {}
    for name, asked in (("none", {}), ("yaw", {"yaw": 10.0}), ("pitch", {"pitch": -10.0})):
        picture = pipe.edit(asset("demo/portrait.jpg"), sliders=asked, crop_only=True)
        seen[name] = head_pose(finder.find(picture)[0].landmarks)
    assert 7 < seen["yaw"].yaw - seen["none"].yaw < 13
    assert 7 < seen["none"].pitch - seen["pitch"].pitch < 13
    assert abs(seen["yaw"].roll - seen["none"].roll) < 2


def test_told_motion_turns_the_bundled_portrait_as_far_as_it_says() -> None:
    """Motion made from speech: a rotation alone turned heads by a quarter."""
    from vivant.core.face_motion import MOVED, FaceMotion
    from vivant.media.image import read_image
    from vivant.metrics.reenactment import resized, whole_crop
    from vivant.perception.faces import FaceFinder
    from vivant.perception.pose import head_pose
    from vivant.pipelines.load import load
    from vivant.weights.assets import asset

    finder, generator = FaceFinder(), load("live-portrait", preset="lite", dtype="fp32", device="cpu").generator
    image = resized(read_image(asset("demo/portrait.jpg")), 256)
    crop = whole_crop(image, finder.find(image)[0].landmarks)
    angles = np.array([[0, 0, 0], [6, 0, 0], [0, 8, 0]], np.float32)
    nothing = {"moves": np.zeros((3, len(MOVED), 2)), "shift": np.zeros((3, 2)), "zoom": np.zeros((3, 1))}
    still = {name: value.astype(np.float32) for name, value in nothing.items()}
    told = FaceMotion(fps=Fraction(25), lids=np.ones((3, 2), np.float32), angles=angles, **still)
    seen = [head_pose(finder.find(frame)[0].landmarks) for frame in generator.painting(crop)(told)]
    assert 4 < seen[1].pitch - seen[0].pitch < 8
    assert 5.5 < seen[2].yaw - seen[0].yaw < 10.5


@pytest.mark.parametrize("degrees", [{}, {"roll": 9.0}, {"roll": -9.0, "zoom": 1.1, "move_x": 0.1}])
def test_without_pitch_and_yaw_nothing_is_added(degrees: dict[str, float]) -> None:
    source, lite = motion(2, 33), PRESETS["lite"]
    options = Options(stitching=False, sliders=Sliders(**degrees))
    keypoints = Retargeter(nn.ModuleDict(), lite, options, source).edit(source)
    assert torch.equal(keypoints, edit_motion(source, options.sliders, "lite").keypoints())


def test_a_turn_leaves_the_pivot_in_its_place_and_carries_the_deltas() -> None:
    source = motion(2, 33)
    after = carried(source, pitch=8.0, yaw=-12.0, zoom=1.1)
    pivots = [1.1 * source.scale * (TABLE.pivot @ m.rotation) + m.translation for m in (source, after)]
    assert torch.allclose(pivots[0][:, :2], pivots[1][:, :2], atol=1e-6)
    wanted = TABLE.delta @ (after.rotation - source.rotation)
    assert torch.allclose(after.exp - source.exp, wanted, atol=1e-6)
    assert torch.equal(after.translation[:, 2], source.translation[:, 2])


def test_roll_turns_what_yaw_has_added() -> None:
    source = motion(2, 33)
    change, both = (carried(source, yaw=12.0, **more).exp - source.exp for more in ({}, {"roll": 10.0}))
    zero = torch.zeros(1)
    assert torch.allclose(both, change @ rotation_matrix(zero, zero, torch.tensor([10.0])), atol=1e-5)


def test_what_a_driver_turns_takes_the_same_along_where_its_expression_does_not_come() -> None:
    source, lite = motion(1, 33), PRESETS["lite"]
    table = turns_of(lite)
    assert table is not None
    first = motion(2, 33).rows(1, 2)
    turned = replace(first, rotation=first.rotation @ rotation_matrix(*torch.tensor([[6.0], [-9.0], [0.0]])))
    options = Options(region="pose", stitching=False, openings=False)
    found = Retargeter(nn.ModuleDict(), lite, options, first).drive(source, turned)
    rotation = turned.rotation @ first.rotation.transpose(1, 2) @ source.rotation
    wanted = replace(source, rotation=rotation, exp=source.exp + table.carried(source.rotation, rotation))
    assert torch.allclose(found, wanted.keypoints(), atol=1e-5)
    assert not torch.allclose(found, replace(source, rotation=rotation).keypoints(), atol=1e-2)


def test_silent_lips_turn_with_the_head() -> None:
    source, lips = motion(1, 33), list(PRESETS["lite"].space.lips)
    options = Options(stitching=False, neutral_lips=True)
    rest, turned = (
        Retargeter(nn.ModuleDict(), PRESETS["lite"], replace(options, sliders=wish), source).edit(source)
        for wish in (Sliders(), Sliders(yaw=12.0))
    )
    table = turns_of(PRESETS["lite"])
    assert table is not None
    silent = replace(source, exp=source.exp.clone())
    silent.exp[:, lips] = 0
    assert torch.equal(rest[:, lips], silent.keypoints()[:, lips])
    assert torch.allclose(turned[:, lips], carried(silent, table, yaw=12.0).keypoints()[:, lips], atol=1e-6)


def test_only_the_preset_lite_has_a_table_and_it_is_the_same_on_both_sides() -> None:
    assert [name for name, config in PRESETS.items() if turns_of(config) is not None] == ["lite"]
    table = turns_of(PRESETS["lite"])
    assert table is not None and table.delta.shape == (33, 3) and table.pivot[0] == 0
    mirrored = table.delta[list(LITE_MIRROR)] * torch.tensor([-1.0, 1.0, 1.0])
    assert torch.allclose(mirrored, table.delta, atol=1e-6)


def test_the_fit_finds_the_table_that_made_the_motion() -> None:
    random = np.random.default_rng(0)
    delta = random.normal(size=(33, 3))
    delta = (delta + fitting.mirrored(delta)) / 2
    pivot, clips = np.array([0.0, 0.5, 0.7]), []
    for _ in range(3):
        rotation = euler_rotation(*random.normal(0, 8, (3, 6)))
        scale, exp = random.uniform(1, 1.5, (6, 1)), random.normal(size=(33, 3)) + delta @ rotation
        shift = scale * (random.normal(size=3) - pivot @ rotation)
        arrays = (exp, rotation, scale, shift, np.zeros((6, 33, 3)), np.zeros((6, 2)), np.zeros((6, 1)))
        clips.append(Motion(*(torch.from_numpy(a.astype(np.float32)) for a in arrays)))
    found, turned_about = fitting.fit(clips)
    assert np.allclose(found, delta, atol=1e-4) and np.allclose(turned_about, pivot, atol=1e-4)


def test_the_fit_finds_the_shares_that_made_the_true_turns() -> None:
    random = np.random.default_rng(0)
    clips = []
    for _ in range(4):
        m, tracker, person = random.normal(0, 0.2, (5, 3)), random.normal(0, 0.2, (5, 3)), random.normal(0, 0.1, 3)
        true = np.array([0.6, 0.5, 0.2]) * m + np.array([0.4, 0.7, 0.8]) * tracker + person
        clips.append((from_vectors(m), from_vectors(tracker), from_vectors(true)))
    assert np.allclose(fitting.fit_heads(clips), [[0.6, 0.5, 0.2], [0.4, 0.7, 0.8]], atol=1e-6)


def test_heads_turn_as_both_say_and_stay_where_they_are() -> None:
    source, random = motion(3, 33), np.random.default_rng(0)
    degrees = random.normal(0, 12, (3, 3))
    face = canonical_face().vertices.astype(np.float64)
    landmarks = np.zeros((3, 478, 3))
    landmarks[:, : len(face)] = 7.5 * (face @ euler_rotation(*degrees.T)) + random.normal(100, 20, (3, 1, 3))
    seen = TABLE.seen(source, landmarks.astype(np.float32))
    tracker = rotation_vectors(euler_rotation(*degrees.T))
    wanted = np.array([0.5, 0.8, 0.3]) * rotation_vectors(source.rotation.numpy()) + np.array([0.7, 0.2, 0.6]) * tracker
    assert np.allclose(rotation_vectors(seen.rotation.numpy()), wanted, atol=1e-4)
    moved = TABLE.carried(source.rotation, seen.rotation)
    assert torch.allclose(seen.exp, source.exp + moved, atol=1e-6) and moved.abs().max() > 0.05
    assert torch.equal(seen.translation, source.translation) and torch.equal(seen.scale, source.scale)


def test_lite_reads_heads_with_the_tracker_and_other_nets_do_not() -> None:
    from vivant.core.face import FaceCrop
    from vivant.methods.live_portrait.model import build_modules
    from vivant.methods.live_portrait.painter import Painter

    face = canonical_face().vertices.astype(np.float64)
    image, place = np.full((256, 256, 3), 90, np.uint8), np.eye(2, 3)
    crops = []
    for yaw in (0.0, 20.0):
        points = np.zeros((478, 3), np.float32)
        points[: len(face)] = 7 * (face @ euler_rotation(np.zeros(1), np.array([yaw]), np.zeros(1))[0]) + 128
        crops.append(FaceCrop(image, points, place, (256, 256)))
    for preset, turned in (("lite", True), ("tiny", False)):
        painter = Painter(build_modules(PRESETS[preset]), PRESETS[preset], torch.device("cpu"), torch.float32)
        first, second = painter.portrait(crops).motion.rotation
        assert torch.equal(first, second) is not turned  # the pictures are equal: only the tracker saw a turn


def test_the_fit_reads_all_clips_but_those_held_out(tmp_path: Path) -> None:
    for name in ("talk_06", "talk_07", "s1__still_000027", "talk"):
        (tmp_path / f"{name}.mp4").touch()
    assert sorted(file.stem for file in fitting.usable(tmp_path)) == ["talk", "talk_06"]


def test_the_fit_says_which_folder_is_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Nothing:
        def __init__(self, _: int) -> None:
            pass

        def clips(self, *_: object) -> list[object]:
            return []

    monkeypatch.setattr(fitting, "Reader", Nothing)
    words = ["fit_pose_sliders.py", str(tmp_path), str(tmp_path / "rendered"), "out"]
    monkeypatch.setattr(sys, "argv", [*words, "--threads", str(torch.get_num_threads())])
    with pytest.raises(SystemExit, match=f"{tmp_path} holds no clip"):
        fitting.main()


@pytest.mark.parametrize(
    "name, kept",
    [("still_000007", True), ("a1_b27", True), ("a1_b28", False), ("still_000017", False), ("anna", False)],
)
def test_stills_whose_number_is_7_modulo_20_are_held_out(name: str, kept: bool) -> None:
    assert held_out(name) is kept


def test_the_measured_gain_is_seen_over_asked() -> None:
    readings = np.zeros((2, 1 + len(measuring.PLAN), 5))
    for i, (name, degrees) in enumerate(measuring.PLAN):
        readings[:, 1 + i, measuring.ANGLES.index(name)] = 0.5 * degrees
        readings[:, 1 + i, 2] += 0.1 * degrees * (name == "yaw")
    found = measuring.gains(readings[:, 1:] - readings[:, :1])
    assert np.allclose(found["pitch"], [0.5, 0, 0]) and np.allclose(found["yaw"], [0, 0.5, 0.1])
    assert "| `yaw` | 10 | 5.0 (0.0) | 0.5 |" in measuring.table(readings)
