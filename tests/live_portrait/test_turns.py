"""Heads that turn as far as a slider asks, and the arithmetic of the table that does it and of its two tools."""

from __future__ import annotations

import sys
from collections.abc import Sequence
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

from vivant.core.errors import WeightsError
from vivant.methods.live_portrait import turns
from vivant.methods.live_portrait.algebra import rotation_matrix
from vivant.methods.live_portrait.config import LITE_MIRROR, PRESETS, Options, Sliders
from vivant.methods.live_portrait.edits import edit_motion
from vivant.methods.live_portrait.motion import Motion, MotionTemplate
from vivant.methods.live_portrait.retargeting import Retargeter
from vivant.methods.live_portrait.turns import Turns, turns_of
from vivant.perception.pose import euler_rotation

TABLE = Turns(torch.randn(33, 3, generator=torch.Generator().manual_seed(1)), torch.tensor([0.0, 0.3, 0.4]))


def carried(source: Motion, table: Turns = TABLE, **degrees: float) -> Motion:
    sliders = Sliders(**degrees)
    return table.carry(edit_motion(source, sliders, "lite"), source, sliders)


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


@pytest.mark.parametrize("degrees", [{}, {"roll": 9.0}, {"roll": -9.0, "zoom": 1.1, "move_x": 0.1}])
def test_without_pitch_and_yaw_nothing_is_added_and_no_file_opened(
    degrees: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(_: str) -> Path:
        raise WeightsError("damaged")

    monkeypatch.setattr(turns, "asset", damaged)
    turns._lite_turns.cache_clear()
    source, lite = motion(2, 33), PRESETS["lite"]
    options = Options(stitching=False, sliders=Sliders(**degrees))
    keypoints = Retargeter(nn.ModuleDict(), lite, options, source).edit(source)
    assert torch.equal(keypoints, edit_motion(source, options.sliders, "lite").keypoints())
    for turning in ({"pitch": 1.0}, {"yaw": -1.0}):
        with pytest.raises(WeightsError, match="damaged"):
            Retargeter(nn.ModuleDict(), lite, replace(options, sliders=Sliders(**degrees, **turning)), source)


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


def test_silent_lips_turn_with_the_head() -> None:
    source, lips = motion(1, 33), list(PRESETS["lite"].space.lips)
    options = Options(stitching=False, neutral_lips=True)
    rest, turned = (
        Retargeter(nn.ModuleDict(), PRESETS["lite"], replace(options, sliders=wish), source).edit(source)
        for wish in (Sliders(), Sliders(yaw=12.0))
    )
    table = turns_of(PRESETS["lite"], Sliders(yaw=12.0))
    assert table is not None
    silent = replace(source, exp=source.exp.clone())
    silent.exp[:, lips] = 0
    assert torch.equal(rest[:, lips], silent.keypoints()[:, lips])
    assert torch.allclose(turned[:, lips], carried(silent, table, yaw=12.0).keypoints()[:, lips], atol=1e-6)


def test_only_the_preset_lite_has_a_table_and_it_is_the_same_on_both_sides() -> None:
    assert [name for name, config in PRESETS.items() if turns_of(config, Sliders(pitch=1.0)) is not None] == ["lite"]
    table = turns_of(PRESETS["lite"], Sliders(pitch=1.0))
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
        zeros = np.zeros((6, 33, 3))
        arrays = (exp, rotation, scale, shift, zeros, zeros, np.zeros((6, 2)), np.zeros((6, 1)))
        clips.append(MotionTemplate(Fraction(25), "lite", *(a.astype(np.float32) for a in arrays)))
    found, turned_about = fitting.fit(clips)
    assert np.allclose(found, delta, atol=1e-4) and np.allclose(turned_about, pivot, atol=1e-4)


def test_the_fit_reads_all_clips_but_those_held_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def nothing(files: Sequence[Path], *_: object) -> list[MotionTemplate]:
        read.extend(file.stem for file in files)
        return []

    for name in ("talk_06", "talk_07", "s1__still_000027", "talk"):
        (tmp_path / f"{name}.mp4").touch()
    monkeypatch.setattr(fitting, "read", nothing)
    monkeypatch.setattr(fitting, "FaceFinder", lambda **_: None)
    monkeypatch.setattr(
        sys, "argv", ["fit_pose_sliders.py", str(tmp_path), "out", "--threads", str(torch.get_num_threads())]
    )
    with pytest.raises(SystemExit, match="holds no clip"):
        fitting.main()
    assert sorted(read) == ["talk", "talk_06"]


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
