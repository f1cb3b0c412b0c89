"""Every protocol checks a folder and runs end to end on small stand-in data."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from clips import tone, write

from vivant.core.errors import ConfigError, MediaError
from vivant.data.manifest import Row, write_manifest
from vivant.media.image import write_image
from vivant.media.video import open_clip
from vivant.metrics.metric import all_metrics
from vivant.metrics.protocols import all_protocols, get_protocol
from vivant.metrics.protocols.base import Drive, Item, held_out_people
from vivant.metrics.protocols.diffused_heads import CREMA_TEST, crema_person, lrw_word
from vivant.metrics.protocols.megactor import hdtf_person
from vivant.metrics.view import View
from vivant.pipelines import evaluate
from vivant.pipelines.evaluation.generate import Maker
from vivant.pipelines.evaluation.items import read_items
from vivant.pipelines.evaluation.listing import END, PROTOCOLS_BEGIN, protocols_markdown

PAGE = Path(__file__).resolve().parents[2] / "docs" / "protocols.md"
NAMES = {  # clips of each data set, named as it names them
    "talkinghead-1kh": ["-xYz_0001"],
    "avspeech": ["abc_12.5"],
    "vfhq": ["Clip+abc+P0+C0+F1-9"],
    "fashion": ["91-3003CN5S"],
    "tiktok": ["00337"],
    "crema-d": ["1015_DFA_ANG_XX", "1001_DFA_ANG_XX"],
    "lrw": ["ABOUT/test/ABOUT_00001", "ABOUT/train/ABOUT_00001"],
    "hdtf": ["WDA_A_000", "RD_B_001"],
    "ccv2": ["0001_portrait_scripted", "0002_portrait_scripted"],
}


def run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    evaluate.add_arguments(parser)
    return evaluate.run(parser.parse_args(["protocol", *words]))


@pytest.fixture(scope="module")
def standin(speaker: list[np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder with a sub-folder for each data set, and one of generated clips for all."""
    root = tmp_path_factory.mktemp("standin")
    frames = speaker[:5]
    blurred = [cv2.GaussianBlur(frame, (0, 0), 1) for frame in frames]
    sound = tone(0.2)
    for group, names in NAMES.items():
        for name in names:
            write(root / "data" / group / f"{name}.mp4", frames, audio=sound)
            write(root / "made" / f"{name}.mp4", blurred, audio=sound)
            for still in ("still", "other"):
                write(root / "made" / f"{still} by {name}.mp4", blurred[:3])
    (root / "data" / "ffhq").mkdir()
    write_image(root / "data" / "ffhq" / "still.png", speaker[0])
    write_image(root / "data" / "ffhq" / "other.png", speaker[0][:, ::-1])
    return root / "data", root / "made"


@pytest.mark.parametrize("name", all_protocols())
def test_a_protocol_runs_from_end_to_end(name: str, standin: tuple[Path, Path], tmp_path: Path) -> None:
    protocol = get_protocol(name)
    assert set(protocol.metrics) <= set(all_metrics()), "a protocol names a metric that there is not"
    out = tmp_path / "out"
    words = [name, "--data", str(standin[0]), "--generated", str(standin[1]), "--out", str(out), "--partial"]
    assert run(*words, "--sheets", "1") == 0
    report = json.loads((out / "results.json").read_text())
    picks = protocol.picks(read_items(standin[0], protocol.data))
    assert report["clips"] >= len(picks) >= 1 and not report["failed"]
    measured, absent = set(report["metrics"]), set(report["absent"])
    assert set(protocol.metrics) <= measured | absent | set(report["missing"]) | {"blink-seconds"}  # nobody blinks
    assert "faceless" in measured or "ssim" in measured
    assert report["about"]["protocol"] == f"{name} version {protocol.version}"
    assert protocol.view.size is None or report["settings"]["view"]["size"] == list(protocol.view.size)


def test_a_method_runs_under_a_protocol(standin: tuple[Path, Path], tmp_path: Path) -> None:
    words = ["live-portrait-self", "--data", str(standin[0]), "--out", str(tmp_path), "--partial", "--limit", "1"]
    words += ["--method", "live-portrait", "--preset", "tiny", "--metrics", "psnr,csim-dlib,faceless"]
    assert run(*words) == 0
    report = json.loads((tmp_path / "results.json").read_text())
    assert report["clips"] == 1 and report["frames"] == 4  # the first frame is the source
    assert report["about"]["preset"] == "tiny" and "Only 1 results" in report["about"]["incomplete"]
    made = next((tmp_path / "generated").glob("*.mp4"))
    before = made.stat().st_mtime_ns
    assert run(*words) == 0 and made.stat().st_mtime_ns == before
    assert run(*words, "--set", "multiplier=0.5") == 0 and made.stat().st_mtime_ns != before
    with pytest.raises(ConfigError, match="not driven by audio"):
        run(*words, "--drive", "audio")
    (tmp_path / "gate.yaml").write_text("psnr: {min: 1}\nssim: {min: 0}\n")
    before = made.stat().st_mtime_ns
    with pytest.raises(ConfigError, match="The gate limits 'ssim'"):
        run(*words, "--set", "multiplier=0.7", "--gate", str(tmp_path / "gate.yaml"))
    assert made.stat().st_mtime_ns == before
    with pytest.raises(ConfigError, match="--method"):
        run(*words[:6])


def test_a_method_runs_on_a_manifest(standin: tuple[Path, Path], tmp_path: Path) -> None:
    rows = [
        Row("a", "p", "test", "clip", "g", 5, 25, 144, "none.npz", video="vfhq/Clip+abc+P0+C0+F1-9.mp4"),
        Row("bad", "q", "test", "clip", "g", 5, 25, 144, "none.npz", video="nothing.mp4"),
        Row("s", "r", "test", "still", "g", 1, 25, 144, "none.npz", image="ffhq/still.png"),
    ]
    write_manifest(standin[0], rows)
    try:
        words = ["--data", str(standin[0]), "--preset", "tiny", "--metrics", "psnr,jitter,fid-lite0", "--sheets", "0"]
        parser = argparse.ArgumentParser()
        evaluate.add_arguments(parser)
        for task in ("self", "cross"):  # cross: the portrait as the true set is none of the clips
            out = tmp_path / task
            args = parser.parse_args(["method", *words, "--task", task, "--out", str(out), "--drivers", "2"])
            assert evaluate.run(args) == 0
            report = json.loads((out / "results.json").read_text())
            assert report["clips"] == 1 and "not generated" in next(iter(report["failed"].values()))
            assert ("psnr" in report["metrics"]) == (task == "self")
            assert report["about"]["generated frames a second"] > 0
    finally:
        (standin[0] / "manifest.jsonl").unlink()


@pytest.mark.parametrize("drive", ["audio", "both"])
def test_a_clip_without_sound_is_not_driven_by_its_picture_alone(
    drive: Drive, speaker: list[np.ndarray], tmp_path: Path
) -> None:
    silent = open_clip(write(tmp_path / "silent.mp4", speaker[:2]))
    pipe: Any = SimpleNamespace(spec=SimpleNamespace(capabilities=SimpleNamespace(keypoints=False)))
    with pytest.raises(MediaError, match="no sound"):
        Maker(pipe, {}, drive, View(), tmp_path)._driven(silent)


def test_a_folder_is_checked(standin: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("diffused-heads-crema", "--data", str(standin[0]), "--check") == 1
    said = capsys.readouterr().out
    assert "1 clips instead of 820" in said and "no clip of 1020, 1021" in said and "1015 (1)" in said
    with pytest.raises(MediaError, match="--partial"):
        run("diffused-heads-crema", "--data", str(standin[0]), "--out", str(tmp_path), "--generated", str(standin[1]))
    (tmp_path / "empty").mkdir()
    with pytest.raises(MediaError):
        run("animate-anyone-tiktok", "--data", str(tmp_path / "empty"), "--check")
    with pytest.raises(ConfigError, match="--limit"):
        run("diffused-heads-crema", "--data", str(standin[0]), "--limit", "0")
    with pytest.raises(ConfigError, match="no protocol 'crema'"):
        run("crema", "--data", str(standin[0]))


def test_a_whole_folder_passes_the_check() -> None:
    protocol = get_protocol("diffused-heads-crema")
    items = [
        Item(f"{person}_{i:02}", Path(__file__), person, "crema-d")
        for person in (*CREMA_TEST, "1001")
        for i in range(82)
    ]
    assert protocol.check(items) == [] and len(protocol.picks(items)) == 820
    assert protocol.check(items[1:]) == [
        "crema-d: 819 clips instead of 820.", "crema-d: not 82 clips each: 1015 (81)."
    ]  # fmt: skip


def test_random_choices_are_fixed_by_the_seed() -> None:
    protocol = get_protocol("v-express")
    items = [Item(f"{g}{i:03}", Path(__file__), "p", g) for g in ("talkinghead-1kh", "avspeech") for i in range(150)]
    picks = [pick.id for pick in protocol.picks(items)]
    assert len(picks) == 200 and picks == [pick.id for pick in protocol.picks(items[::-1])]
    people = [f"person {i}" for i in range(50)]
    chosen = held_out_people(people, 0.1, 42)
    assert len(chosen) == 5 and chosen == held_out_people(people[::-1], 0.1, 42) != held_out_people(people, 0.1, 7)
    assert len(held_out_people([*people, "one more"], 0.1, 42) & chosen) >= 4


def test_a_manifest_that_is_split_is_not_split_again() -> None:
    protocol = get_protocol("megactor-hdtf")
    items = [Item(f"c{i}", Path(__file__), f"p{i}", "hdtf", split="test") for i in range(20)]
    assert len(protocol.picks(items)) == 2 and protocol.check(items) == []
    assert protocol.check(items[:9]) == ["hdtf: 9 persons, too few to hold 10% of them out."]
    others = [Item(f"t{i}", Path(__file__), f"t{i}", "hdtf", split="train") for i in range(4)]
    assert len(protocol.picks(items + others)) == 20 and protocol.check(items[:3] + others) == []


def test_portraits_are_driven_by_others() -> None:
    protocol = get_protocol("live-portrait-cross")
    items = [Item(f"c{i}", Path(__file__), f"p{i}", "vfhq") for i in range(4)]
    items += [Item(f"s{i}", Path(__file__), f"p{i}", "ffhq", "still") for i in range(3)]
    picks = protocol.picks(items)
    assert len(picks) == 9 and all(pick.portrait and pick.portrait.person != pick.clip.person for pick in picks)
    assert len({pick.id for pick in picks}) == 9


def test_names_of_data_sets_tell_persons() -> None:
    assert crema_person("video/1015_DFA_ANG_XX") == "1015"
    assert lrw_word("ABOUT/test/ABOUT_00001") == "ABOUT"
    assert hdtf_person("WDA_BarackObama_000") == "WDA_BarackObama" and hdtf_person("Plain") == "Plain"


def test_the_page_is_made_from_the_protocols() -> None:
    shown = PAGE.read_text(encoding="utf-8").partition(PROTOCOLS_BEGIN)[2].partition(END)[0]
    assert shown == "\n" + protocols_markdown(), "run: vivant evaluate protocols --update docs/protocols.md"


def test_a_second_run_under_a_protocol_measures_nothing_again(standin: tuple[Path, Path], tmp_path: Path) -> None:
    words = ["live-portrait-self", "--data", str(standin[0]), "--generated", str(standin[1]), "--out", str(tmp_path)]
    words += ["--partial", "--metrics", "psnr,csim-dlib", "--sheets", "0"]
    for fresh in (2, 0):
        assert run(*words) == 0
        assert json.loads((tmp_path / "results.json").read_text())["throughput"]["clips"] == fresh


def test_clips_of_two_data_sets_may_have_one_name(speaker: list[np.ndarray], tmp_path: Path) -> None:
    data = get_protocol("v-express").data
    for part in data:
        write(tmp_path / part.name / "0001.mp4", speaker[:2])
    write(tmp_path / "avspeech" / "0002.mp4", speaker[:2])
    assert {item.id for item in read_items(tmp_path, data)} == {
        "talkinghead-1kh/0001", "avspeech/0001", "avspeech/0002"
    }  # fmt: skip
    (tmp_path / "avspeech" / "0001.mp4").unlink()
    assert {item.id for item in read_items(tmp_path, data)} == {"0001", "0002"}


def test_a_folder_that_holds_nothing_of_a_protocol(standin: tuple[Path, Path], tmp_path: Path) -> None:
    row = Row("a", "p", "test", "clip", "g", 5, 25, 144, "none.npz", video="vfhq/a.mp4")
    write_manifest(tmp_path, [row])
    words = ["v-express", "--data", str(tmp_path), "--partial", "--out", str(tmp_path / "out")]
    for given in (["--generated", str(standin[1])], ["--method", "v-express", "--preset", "tiny"]):
        with pytest.raises(MediaError, match="holds nothing that V-Express"):
            run(*words, *given)
    with pytest.raises(MediaError, match="no folder"):
        run("v-express", "--data", str(tmp_path / "none"), "--check")
