from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from clips import write

from vivant.core.errors import ConfigError, MediaError
from vivant.metrics.compare import KeptRun, _made_with, compare_markdown, differences, not_alike, read_run
from vivant.pipelines import evaluate


def run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    evaluate.add_arguments(parser)
    return evaluate.run(parser.parse_args(words))


def test_runs_are_compared_clip_by_clip(speaker: list[np.ndarray], tmp_path: Path) -> None:
    for name, start in (("a", 0), ("b", 5), ("c", 10)):
        part = speaker[start : start + 4]
        write(tmp_path / "true" / f"{name}.mp4", part)
        for run_name, sigma in (("sharp", 0.6), ("soft", 2.0)):
            if (run_name, name) != ("soft", "c"):
                blurred = [cv2.GaussianBlur(frame, (0, 0), sigma) for frame in part]
                write(tmp_path / run_name / f"{name}.mp4", blurred)
    for name in ("sharp", "soft"):
        words = ["--generated", str(tmp_path / name), "--reference", str(tmp_path / "true"), "--metrics", "psnr,ssim"]
        assert run("folders", *words, "--out", str(tmp_path / "runs" / name), "--sheets", "0") == 0
    out = tmp_path / "compared"
    assert run("compare", str(tmp_path / "runs" / "sharp"), str(tmp_path / "runs" / "soft"), "--out", str(out)) == 0
    found = json.loads((out / "compare.json").read_text())
    apart = found["psnr"]["soft"]["difference"]
    assert found["psnr"]["soft"]["clips"] == 2 and apart["value"] < -1 and apart["high"] < 0
    assert found["psnr"]["sharp"]["value"] > found["psnr"]["soft"]["value"]
    text = (out / "compare.md").read_text()
    assert "Correlations and gains" not in text  # none was measured
    assert "2 clips that all runs have" in text and "| PSNR, dB | higher | **" in text
    assert r"\textbf" in (out / "compare.tex").read_text()
    with pytest.raises(ConfigError, match="Two or more"):
        run("compare", str(tmp_path / "runs" / "sharp"), "--out", str(out))
    with pytest.raises(MediaError, match="no finished run"):
        run("compare", str(tmp_path / "runs" / "sharp"), str(tmp_path / "true"), "--out", str(out))
    words = ["--generated", str(tmp_path / "soft"), "--reference", str(tmp_path / "true"), "--metrics", "psnr"]
    assert run("folders", *words, "--out", str(tmp_path / "runs" / "other"), "--sheets", "0", "--stride", "2") == 0
    with pytest.raises(MediaError, match="different ways"):
        run("compare", str(tmp_path / "runs" / "sharp"), str(tmp_path / "runs" / "other"), "--out", str(out))


def test_metrics_that_were_measured_otherwise_are_not_compared(folders: tuple[Path, Path], tmp_path: Path) -> None:
    words = ["--generated", str(folders[0]), "--reference", str(folders[1]), "--metrics", "psnr,ssim", "--sheets", "0"]
    for name in ("old", "new"):
        assert run("folders", *words, "--out", str(tmp_path / name)) == 0
    place = tmp_path / "old" / "results.json"
    report = json.loads(place.read_text())
    report["settings"]["metrics"]["ssim"] = 0
    place.write_text(json.dumps(report))
    out = tmp_path / "out"
    assert run("compare", str(tmp_path / "old"), str(tmp_path / "new"), "--out", str(out)) == 0
    assert set(json.loads((out / "compare.json").read_text())) == {"psnr"}
    assert (
        "Left out, measured with different versions, weights or recognisers: `ssim`."
        in (out / "compare.md").read_text()
    )
    settings = {"metrics": {"lpips-alex": 1, "wer": 1, "psnr": 1}, "weights": {"alexnet": "a 1"}, "speech": "x"}
    first = KeptRun({}, {}, {}, _made_with(settings))
    for change, left in (
        ({"weights": {"alexnet": "a 2"}}, ["lpips-alex"]), ({"speech": "y"}, ["wer"]), ({}, [])
    ):  # fmt: skip
        assert not_alike({"a": first, "b": KeptRun({}, {}, {}, _made_with(settings | change))}) == left
    gains = KeptRun({"c": {"mouth-gain": 1.0}}, {}, {})
    assert "Correlations and gains are means over clips" in compare_markdown({"a": gains, "b": gains})


def test_distances_of_different_sets_are_not_compared(folders: tuple[Path, Path], tmp_path: Path) -> None:
    words = ["--generated", str(folders[0]), "--metrics", "psnr,kid-lite0", "--sheets", "0"]
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "a.mp4").write_bytes((folders[1] / "a.mp4").read_bytes())
    for name, true in (("all", folders[1]), ("again", folders[1]), ("part", tmp_path / "one")):
        assert run("folders", *words, "--reference", str(true), "--out", str(tmp_path / name)) == 0
    runs = {name: read_run(tmp_path / name) for name in ("all", "again", "part")}
    assert set(differences({name: runs[name] for name in ("all", "again")})) == {"psnr", "kid-lite0"}
    assert set(differences({name: runs[name] for name in ("all", "part")})) == {"psnr"}
    assert "because the runs read different clips" in compare_markdown(runs)


def test_runs_of_sets_alone_are_compared(folders: tuple[Path, Path], tmp_path: Path) -> None:
    words = ["--reference", str(folders[1]), "--unpaired", "--metrics", "kid-lite0", "--sheets", "0"]
    for name in ("one", "two"):
        assert run("folders", *words, "--generated", str(folders[0]), "--out", str(tmp_path / name)) == 0
    runs = {name: read_run(tmp_path / name) for name in ("one", "two")}
    assert set(differences(runs)) == {"kid-lite0"} and "2 clips that all runs have" in compare_markdown(runs)
