"""Metrics that were asked for: each has a value, or the report says why not."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
from clips import tone, write

from vivant.core.errors import ConfigError, MediaError, VivantError
from vivant.metrics import summary
from vivant.metrics.measure import make_plan, measure, suited
from vivant.metrics.probes.base import Lab
from vivant.metrics.subject import Subject
from vivant.metrics.suite import run_suite
from vivant.metrics.summary import by_group, summarise
from vivant.metrics.tables import latex_table, report_json, report_markdown
from vivant.metrics.view import View
from vivant.pipelines import evaluate


def run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    evaluate.add_arguments(parser)
    return evaluate.run(parser.parse_args(words))


@pytest.fixture(scope="module")
def clips(speaker: list[np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("asked")
    black = [np.zeros_like(frame) for frame in speaker[:8]]
    return {
        "face": write(root / "face.mp4", speaker[:8]),
        "black": write(root / "black.mp4", black),
        "talk": write(root / "talk.mp4", speaker[:8], audio=tone(0.32)),
    }


@pytest.mark.parametrize(
    ("names", "said"),
    [("flicker,psnr", "It needs the true clip"), ("mouth-gain", "or a driver"), ("csim-dlib", "the portrait or"),
     ("fid-lite0", "only one kind is given"), ("wer", "what is said")],
)  # fmt: skip
def test_a_metric_by_name_that_nothing_is_given_for_is_refused(clips: dict[str, Path], names: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        run("pairs", "--generated", str(clips["face"]), "--metrics", names)


@pytest.mark.parametrize(
    ("words", "limit", "said"),
    [([], "psnr", "It needs the true clip. Measured are "), (["--metrics", "flicker,ofm"], "jitter",
      "It is not among the metrics chosen. Measured are flicker, ofm."), ([], "fid", "not here")],
)  # fmt: skip
def test_a_gate_for_what_is_not_measured_is_refused_before_anything_is(
    clips: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], limit: str, said: str
) -> None:
    (tmp_path / "gate.yaml").write_text(f"{limit}: {{max: 1}}\n")
    monkeypatch.setattr("vivant.metrics.suite.run_suite", None)
    with pytest.raises(ConfigError, match=f"The gate limits '{limit}', which this run does not measure") as refused:
        run("pairs", "--generated", str(clips["face"]), *words, "--gate", str(tmp_path / "gate.yaml"))
    assert said in str(refused.value)


def test_a_gate_still_fails_where_a_metric_got_no_value(
    clips: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gate.yaml").write_text("blink-seconds: {max: 1}\n")
    words = ["--metrics", "blink-seconds,flicker", "--gate", str(tmp_path / "gate.yaml")]
    assert run("pairs", "--generated", str(clips["face"]), *words) == 1
    assert "gate: blink-seconds was not measured" in capsys.readouterr().out


def test_metrics_without_what_they_need_are_listed(clips: dict[str, Path]) -> None:
    subject = Subject("a", clips["face"])
    plan = suited(make_plan(["psnr", "flicker", "wer"], View(), Lab()), [subject])
    assert set(plan.metrics) == {"flicker", "wer"} and set(plan.absent) == {"psnr"}
    with pytest.raises(ConfigError, match="psnr"):
        suited(make_plan(["psnr"], View(), Lab()), [subject])


def test_what_no_clip_gave_a_value_for_is_told(clips: dict[str, Path], tmp_path: Path) -> None:
    names = ["psnr", "landmark-error", "mouth-gain", "fvd-lite0", "kid-lite0", "blink-seconds"]
    plan = make_plan(names, View(frames=1), Lab())
    done = run_suite([Subject("black", clips["black"], clips["face"])], plan, tmp_path)
    report = report_json(done, "", {})
    assert set(report["metrics"]) == {"psnr"}
    assert set(report["absent"]) | set(report["missing"]) == set(names) - {"psnr"}
    assert "two frames" in report["absent"]["kid-lite0"] and "no face" in report["absent"]["landmark-error"]
    text = report_markdown(done, "", {})
    assert all(f"`{name}`" in text for name in names[1:]) and "1 clip, 1 frames" in text


def test_a_clip_without_a_face_is_none_of_the_clips(clips: dict[str, Path], tmp_path: Path) -> None:
    subjects = [Subject(name, clips[name], clips["face"]) for name in ("face", "black")]
    row = summarise(run_suite(subjects, make_plan(["mouth-gain"], View(), Lab()), tmp_path)).row("mouth-gain")
    assert row is not None and row.made.clips == 1 and np.isnan(row.made.low)


def test_groups_share_the_true_clips_of_no_group(clips: dict[str, Path], tmp_path: Path) -> None:
    subjects = [Subject(group, clips["face"], driver=clips["talk"], group=group) for group in "ab"]
    subjects.append(Subject("portrait", true=clips["black"]))
    done = run_suite(subjects, make_plan(["fid-lite0", "aed-blendshapes"], View(), Lab()), tmp_path)
    parts = by_group(done)
    assert set(parts) == {"a", "b"} and all(part.row("fid-lite0") for part in parts.values())
    assert [part.clips for part in parts.values()] == [1, 1] and summarise(done).clips == 2


def test_sound_that_was_given_is_used_or_refused(clips: dict[str, Path]) -> None:
    pair = ["pairs", "--generated", str(clips["talk"]), "--metrics", "sync-c-lite"]
    with pytest.raises(MediaError, match="no sound: give another --audio"):
        run(*pair, "--audio", str(clips["face"]))
    found = measure(Subject("a", clips["talk"], sound=clips["face"]), make_plan(["sync-c-lite"], View(), Lab()))
    assert found.findings.missing["sync-c-lite"] == "there is no sound" and not found.findings.values


def test_a_speech_model_that_is_not_there_stops_nothing(clips: dict[str, Path], tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    with pytest.raises(ConfigError, match="needs its model"):
        make_plan(["wer"], View(), Lab(speech="whisper"))
    plan = make_plan(["wer", "flicker"], View(), Lab(speech=f"whisper:{tmp_path}"))
    found = measure(Subject("a", clips["talk"], text="one"), plan).findings
    assert "cannot be loaded" in found.missing["wer"] and np.isfinite(found.values["flicker"])


def test_plots_of_a_pair_want_a_folder(clips: dict[str, Path]) -> None:
    with pytest.raises(ConfigError, match="give --out"):
        run("pairs", "--generated", str(clips["face"]), "--plots")


def test_a_device_that_is_not_there_is_one_sentence(clips: dict[str, Path]) -> None:
    with pytest.raises(VivantError, match="no device 'abacus'"):
        run("sync", str(clips["talk"]), "--device", "abacus")


def test_the_latex_table_of_a_run_says_what_the_markdown_says(clips: dict[str, Path], tmp_path: Path) -> None:
    subjects = [Subject(name, clips[name], clips["face"]) for name in ("face", "black")]
    one = summarise(run_suite(subjects, make_plan(["psnr", "ofm", "dfacesim-dlib"], View(), Lab()), tmp_path))
    rows = {line.split(" & ")[0]: line for line in latex_table({"generated": one}).splitlines() if " & " in line}
    assert rows["Metric"].endswith(r"& generated & true clips \\")
    row = one.row("ofm")
    assert row is not None and row.truth is not None
    shown = rows["optical-flow magnitude, pixels of 128 a frame"]
    assert f"[{row.made.low:.3f}, {row.made.high:.3f}]" in shown and f"& {row.truth.value:.3f}" in shown
    assert r"& --" not in shown and json.dumps(one.clips) == "2"


def test_distances_of_sets_are_computed_once_for_all_tables(
    clips: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    real = summary.set_estimate
    monkeypatch.setattr(summary, "set_estimate", lambda *given: calls.append("x") or real(*given))
    subjects = [Subject(name, clips[name], clips["face"], group=name) for name in ("face", "black")]
    done = run_suite(subjects, make_plan(["kid-lite0"], View(), Lab()), tmp_path)
    for _ in range(2):
        report_json(done, "", {})
        report_markdown(done, "", {})
    assert len(calls) == 3  # all clips, and those of each group


def test_no_other_face_stands_for_a_source_without_one(clips: dict[str, Path], tmp_path: Path) -> None:
    plan = make_plan(["csim-dlib"], View(frames=2), Lab())
    assert measure(Subject("a", clips["face"], clips["face"]), plan).findings.values["csim-dlib"] > 0.9
    found = measure(Subject("a", clips["face"], clips["face"], source=clips["black"]), plan).findings
    assert "no face in the source" in found.missing["csim-dlib"] and not found.values
