"""Spoiled clips: each is spoiled as its name says, and the table says what moved."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest
from clips import tone, write

from vivant.core.clip import Clip
from vivant.core.errors import ConfigError, FaceError
from vivant.metrics.degrade import BASELINE, DEGRADATIONS, EXPECTED, LEAST, Other, find_other
from vivant.metrics.metric import all_metrics
from vivant.metrics.sensitivity import Verdict, badness
from vivant.metrics.statistics import Estimate
from vivant.metrics.summary import Row
from vivant.pipelines import evaluate

OTHER = Other(np.zeros((8, 8, 3), np.uint8), np.zeros((478, 3)))


def spoil(name: str, frames: list[np.ndarray]) -> tuple[list[np.ndarray], np.ndarray]:
    audio = tone(len(frames) / 25)
    clip = DEGRADATIONS[name](Clip(iter(frames), 25, frames[0].shape[:2], audio=audio), OTHER)  # type: ignore[arg-type]
    assert clip.audio is not None
    return list(clip.frames), clip.audio.samples


@pytest.fixture
def frames(picture: np.ndarray) -> list[np.ndarray]:
    return [np.roll(picture, 2 * i, axis=1) for i in range(9)]


def test_each_way_spoils_what_it_says(frames: list[np.ndarray]) -> None:
    sound = tone(9 / 25).samples
    for name in DEGRADATIONS:
        if name == "identity swap":
            continue
        made, heard = spoil(name, frames)
        assert len(made) == len(frames) and len(heard) == len(sound), name
        assert np.array_equal(heard, sound) == (name not in ("time shift", "sound shift")), name
        same = all(np.array_equal(a, b) for a, b in zip(made, frames))
        assert same == (name in (BASELINE, "sound shift")), name


def test_time_shift_and_drops_and_colours_in_closed_form(frames: list[np.ndarray]) -> None:
    late, heard = spoil("time shift", frames)
    assert all(np.array_equal(late[i], frames[max(i - 5, 0)]) for i in range(9))
    assert np.array_equal(heard[3200:], tone(9 / 25).samples[:-3200]) and not heard[:3200].any()
    dropped = spoil("frame drops", frames)[0]
    assert all(np.array_equal(dropped[i], frames[i - i % 3]) for i in range(9))
    grey = [np.full((20, 20, 3), 100, np.uint8)] * 26
    drift = spoil("colour drift", grey)[0]
    assert drift[25][0, 0].tolist() == [108, 100, 92]
    blink = spoil("flicker", grey)[0]
    assert [picture[0, 0, 0] for picture in blink[:3]] == [96, 104, 96]


def test_identity_is_swapped_inside_the_face_only(speaker: list[np.ndarray], portrait_path: Path) -> None:
    other = find_other(portrait_path)
    clip = Clip(iter(speaker[:2]), 25, (144, 144))  # type: ignore[arg-type]
    made = list(DEGRADATIONS["identity swap"](clip, other).frames)
    assert np.array_equal(made[0][:8], speaker[0][:8])
    assert np.abs(made[0].astype(int) - speaker[0]).mean() > 2
    blank = Clip(iter([np.zeros((96, 96, 3), np.uint8)]), 25, (96, 96))  # type: ignore[arg-type]
    with pytest.raises(FaceError, match="no face"):
        list(DEGRADATIONS["identity swap"](blank, other).frames)


def test_rules_name_what_there_is() -> None:
    assert set(EXPECTED) == set(DEGRADATIONS) - {BASELINE}
    for way, effect in EXPECTED.items():
        assert set(effect.worse) | set(effect.same) <= set(LEAST), way
        assert not set(effect.worse) & set(effect.same), way
    assert set(LEAST) <= set(all_metrics())


def test_what_counts_as_worse() -> None:
    def row(name: str, value: float, truth: float | None = None) -> Row:
        other = None if truth is None else Estimate(truth, truth, truth, 1)
        return Row(all_metrics()[name], Estimate(value, value, value, 1), other, {})

    assert badness(row("psnr", 30)) > badness(row("psnr", 40))
    assert badness(row("l1", 0.2)) > badness(row("l1", 0.1))
    assert badness(row("mouth-gain", 0.5)) == pytest.approx(badness(row("mouth-gain", 1.5)))
    assert badness(row("flicker", 0.5, 0.2)) > badness(row("flicker", 0.3, 0.2))
    assert not Verdict(1, 0.9, "worse").kept and Verdict(1, 1.1, "worse").kept
    assert Verdict(1, -0.9, "same").kept and not Verdict(1, -1.1, "same").kept and Verdict(1, 9, "").kept


def test_the_command_makes_its_table(speaker: list[np.ndarray], tmp_path: Path) -> None:
    for name in "ab":
        write(tmp_path / "true" / f"{name}.mp4", speaker[:6] if name == "a" else speaker[6:12], audio=tone(0.24))
    page = tmp_path / "page.md"
    page.write_text("<!-- vivant evaluate degradations -->\n<!-- end -->\n")
    parser = argparse.ArgumentParser()
    evaluate.add_arguments(parser)
    words = [
        "degradations",
        "--reference",
        str(tmp_path / "true"),
        "--out",
        str(tmp_path / "out"),
        "--update",
        str(page),
    ]
    names = ["psnr", "l1", "flicker", "f-mse", "colour-drift"]
    code = evaluate.run(parser.parse_args([*words, "--metrics", ",".join(names)]))
    table = page.read_text()
    assert all(f"| `{name}` |" in table for name in names) and "2 clips." in table
    assert (code == 1) == (" !" in table)
    rows = {line.split("|")[1].strip(" `"): [cell.strip() for cell in line.split("|")[3:-1]]
            for line in table.splitlines() if line.startswith("| `")}  # fmt: skip
    ways = ["true", *EXPECTED]
    psnr = dict(zip(ways, rows["psnr"]))
    assert psnr["blur"].startswith("**") and psnr["sound shift"] == psnr["true"]
    flicker = dict(zip(ways, rows["flicker"]))
    assert float(flicker["flicker"].strip("*")) > 10 * float(flicker["true"])


def command(*words: str) -> int:
    parser = argparse.ArgumentParser()
    evaluate.add_arguments(parser)
    return evaluate.run(parser.parse_args(["degradations", *words]))


def test_what_cannot_be_checked_is_refused_or_told(speaker: list[np.ndarray], tmp_path: Path) -> None:
    write(tmp_path / "true" / "a.mp4", speaker[:3])
    words = ["--reference", str(tmp_path / "true"), "--out", str(tmp_path / "out"), "--metrics"]
    with pytest.raises(ConfigError, match="one clip"):
        command(*words, "psnr")
    write(tmp_path / "true" / "b" / "a.mp4", speaker[6:9])
    with pytest.raises(ConfigError, match="one name"):
        command(*words, "psnr")
    (tmp_path / "true" / "b" / "a.mp4").rename(tmp_path / "true" / "b.mp4")
    with pytest.raises(ConfigError, match="'psnr-wrapped'"):
        command(*words, "psnr,psnr-wrapped")
    assert not (tmp_path / "out").exists()
    command(*words, "l1,av-offset-lite")  # there is no sound
    told = (tmp_path / "out" / "degradations.md").read_text()
    assert "their rules were not checked: av-offset-lite." in told


def test_clips_are_spoiled_again_when_they_changed(speaker: list[np.ndarray], tmp_path: Path) -> None:
    words = ["--reference", str(tmp_path / "true"), "--out", str(tmp_path / "out"), "--metrics", "l1"]
    blurred = tmp_path / "out" / "spoiled" / "blur"
    for first in (0, 0, 9):
        if not blurred.exists() or first:
            for name, start in (("a", first), ("b", 3)):
                write(tmp_path / "true" / f"{name}.mp4", speaker[start : start + 3])
        before = {path.name: path.stat().st_mtime_ns for path in blurred.glob("*.mp4")}
        command(*words)
        after = {path.name: path.stat().st_mtime_ns for path in blurred.glob("*.mp4")}
        assert len(after) == 2 and (not before or (before == after) == (not first))
