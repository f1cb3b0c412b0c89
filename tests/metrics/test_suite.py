"""``vivant evaluate pairs`` and ``folders``: results, resuming, broken clips, workers, gate."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
from clips import write

from vivant.core.errors import ConfigError, MediaError
from vivant.metrics.measure import make_plan, measure
from vivant.metrics.probes.base import Lab
from vivant.metrics.results import ResultFolder
from vivant.metrics.subject import Subject, media_in, pair_folders
from vivant.metrics.suite import run_suite
from vivant.metrics.summary import summarise
from vivant.metrics.tables import latex_table, report_json
from vivant.metrics.view import View
from vivant.pipelines import evaluate

CHEAP = "psnr,ssim,l1,f-mse,flicker"


def run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    evaluate.add_arguments(parser)
    return evaluate.run(parser.parse_args(words))


@pytest.fixture(scope="module")
def whole(folders: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with every metric that can be measured here."""
    out = tmp_path_factory.mktemp("whole")
    code = run("folders", "--generated", str(folders[0]), "--reference", str(folders[1]), "--out", str(out), "--plots")
    assert code == 0
    return out


def test_a_folder_gives_every_metric_and_every_file(whole: Path) -> None:
    report = json.loads((whole / "results.json").read_text())
    assert (report["clips"], report["frames"], report["frames_without_partner"]) == (2, 34, 2)
    values = {name: row["value"] for name, row in report["metrics"].items()}
    wanted = {"psnr", "ssim", "feat-lite0", "landmark-error", "kpsdis", "mouth-gain", "identity-distance-dlib",
              "csim-dlib", "dfacesim-dlib", "ofm", "flow-error", "flicker", "fid-lite0", "fvd-lite0"}  # fmt: skip
    assert wanted <= set(values)
    assert 20 < values["psnr"] < 45 and 0 < values["landmark-error"] < 0.1 and values["fid-lite0"] > 0
    assert {"fid", "fvd", "lpips-alex", "csim-arcface"} <= set(report["absent"])
    assert "not here" in report["absent"]["fid"]
    assert report["metrics"]["ofm"]["truth"]["value"] > 0
    assert report["missing"]["wer"]
    for name in ("results.md", "results.tex", "contact_sheet.jpg", "plots/histograms.png"):
        assert (whole / name).stat().st_size > 0
    assert len(list((whole / "plots").glob("curves_*.png"))) == 2


def test_a_clip_against_itself_is_perfect(folders: tuple[Path, Path]) -> None:
    names = ["psnr", "ssim", "l1", "feat-lite0", "landmark-error", "apd-mesh", "aed-blendshapes", "eye-mae-iris",
             "kpsdis", "mouth-gain", "dfacesim-dlib", "flow-error"]  # fmt: skip
    path = folders[1] / "a.mp4"
    found = measure(Subject("same", path, path), make_plan(names, View(), Lab())).findings.values
    perfect = {"psnr": 100, "ssim": 1, "mouth-gain": 1}
    for name in names:
        assert found[name] == pytest.approx(perfect.get(name, 0), abs=1e-6), name


def test_results_do_not_depend_on_the_batch_or_the_order(folders: tuple[Path, Path], tmp_path: Path) -> None:
    subjects, _ = pair_folders(*folders)
    names = ["psnr", "feat-lite0", "tfeat-lite0", "csim-dlib", "fid-lite0", "fvd-lite0"]
    reports = []
    for number, (batch, order) in enumerate(((16, 1), (3, -1))):
        done = run_suite(subjects[::order], make_plan(names, View(), Lab(batch=batch)), tmp_path / str(number))
        reports.append({row.metric.name: row.made.value for row in summarise(done).rows})
    assert set(reports[0]) == set(names)
    for name in names:
        assert reports[0][name] == pytest.approx(reports[1][name], rel=1e-5, abs=1e-5), name


def test_a_second_run_measures_only_what_changed(
    folders: tuple[Path, Path], tmp_path: Path, speaker: list[np.ndarray]
) -> None:
    words = ["folders", "--generated", str(folders[0]), "--reference", str(folders[1]), "--out", str(tmp_path)]
    assert run(*words, "--metrics", CHEAP, "--sheets", "0") == 0
    subjects, _ = pair_folders(*folders)
    plan = make_plan(CHEAP.split(","), View(), Lab())
    again = run_suite(subjects, plan, tmp_path)
    assert again.fresh == 0 and len(again.results) == 2
    assert report_json(again, "", {})["metrics"]["psnr"]["value"] == pytest.approx(
        json.loads((tmp_path / "results.json").read_text())["metrics"]["psnr"]["value"]
    )
    other = run_suite(subjects, make_plan(CHEAP.split(","), View(stride=2), Lab()), tmp_path)
    assert other.fresh == 2
    (tmp_path / "clips" / f"{subjects[0].key}.json").write_text('{"half": ')
    assert run_suite(subjects, make_plan(CHEAP.split(","), View(stride=2), Lab()), tmp_path).fresh == 1


def test_a_broken_clip_is_named_and_the_rest_is_measured(
    speaker: list[np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for side in ("made", "true"):
        write(tmp_path / side / "good.mp4", speaker[:4])
        write(tmp_path / side / "size.mp4", [frame[:96] if side == "made" else frame for frame in speaker[:4]])
        (tmp_path / side / "bad.mp4").write_bytes(b"this is no video")
    words = [
        "folders",
        "--generated",
        str(tmp_path / "made"),
        "--reference",
        str(tmp_path / "true"),
        "--metrics",
        CHEAP,
    ]
    gate = tmp_path / "gate.yaml"
    gate.write_text("failed: {max: 0}\nclips: {min: 1}\n")
    assert run(*words, "--out", str(tmp_path / "out"), "--gate", str(gate)) == 1
    printed = capsys.readouterr().out
    assert "Left out: bad" in printed and "--size" in printed and "failed is 2, more than 0" in printed
    report = json.loads((tmp_path / "out" / "results.json").read_text())
    assert report["clips"] == 1 and set(report["failed"]) == {"bad", "size"}
    assert run(*words, "--out", str(tmp_path / "scaled"), "--size", "64x48") == 0
    assert json.loads((tmp_path / "scaled" / "results.json").read_text())["clips"] == 2
    with pytest.raises(MediaError, match="Nothing could be measured"):
        run_suite(
            [Subject("bad", tmp_path / "made" / "bad.mp4")], make_plan(["flicker"], View(), Lab()), tmp_path / "o"
        )


def test_workers_give_the_same_numbers(folders: tuple[Path, Path], tmp_path: Path) -> None:
    subjects, _ = pair_folders(*folders)
    subjects.append(Subject("none", tmp_path / "none.mp4"))
    lab = Lab()
    lab.net("a net that cannot go to another process", lambda: lambda: None)
    runs = [run_suite(subjects, make_plan(CHEAP.split(","), View(), lab), tmp_path / str(n), n) for n in (1, 2)]
    values = [[result.findings.values for result in done.results] for done in runs]
    assert values[0] == values[1] and [set(done.failed) for done in runs] == [{"none"}] * 2


def test_rates_must_agree_or_be_given(speaker: list[np.ndarray], tmp_path: Path) -> None:
    made, true = write(tmp_path / "made.mp4", speaker[:6], 30), write(tmp_path / "true.mp4", speaker[:5], 25)
    with pytest.raises(MediaError, match="--fps"):
        measure(Subject("x", made, true), make_plan(["psnr"], View(), Lab()))
    found = measure(Subject("x", made, true), make_plan(["psnr"], View(fps="25"), Lab()))
    assert found.frames == 5
    assert measure(Subject("x", made, true), make_plan(["psnr"], View(fps="25", first=1, frames=2), Lab())).frames == 2


def test_sets_that_show_different_clips(folders: tuple[Path, Path], tmp_path: Path) -> None:
    words = ["--generated", str(folders[0]), "--reference", str(folders[1]), "--out", str(tmp_path), "--sheets", "0"]
    with pytest.raises(ConfigError, match="'psnr' cannot be measured here"):
        run("folders", *words, "--unpaired", "--metrics", "fid-lite0,psnr")
    assert not list(tmp_path.iterdir())
    assert run("folders", *words, "--unpaired", "--metrics", "fid-lite0,kid-lite0,flicker") == 0
    report = json.loads((tmp_path / "results.json").read_text())
    assert set(report["metrics"]) == {"fid-lite0", "kid-lite0", "flicker"}
    assert report["metrics"]["flicker"]["truth"]["clips"] == 2
    assert (report["clips"], report["frames"]) == (2, 34)  # of the generated ones


def test_one_pair_without_a_folder(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    pair = [str(folder / "a.mp4") for folder in folders]
    assert run("pairs", "--generated", pair[0], "--reference", pair[1], "--metrics", "psnr") == 0
    assert "| PSNR, dB | higher |" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="cannot be measured here"):
        run("pairs", "--generated", pair[0], "--reference", pair[1], "--metrics", "fid")
    for words, said in (
        (["--size", "big"], "no size"),
        (["--stride", "0"], "1 or more"),
        (["--batch", "0"], "1 or more"),
    ):
        with pytest.raises(ConfigError, match=said):
            run("pairs", "--generated", pair[0], *words)


def test_words_beside_the_true_clip_are_read_and_heard(folders: tuple[Path, Path], tmp_path: Path) -> None:
    (folders[1] / "a.txt").write_text("one tone")
    subjects, _ = pair_folders(*folders)
    assert [subject.text for subject in subjects] == ["one tone", None]
    found = measure(subjects[0], make_plan(["wer"], View(), Lab())).findings
    assert found.values["wer"] > 0 and found.truth["wer"] > 0


def test_folders_are_matched_by_name(tmp_path: Path, picture: np.ndarray) -> None:
    from vivant.media.image import write_image

    for side, names in (("made", "ab"), ("true", "bc")):
        for name in names:
            (tmp_path / side / "deep" / name).mkdir(parents=True)
            write_image(tmp_path / side / "deep" / name / "0.png", picture)
    subjects, lonely = pair_folders(tmp_path / "made", tmp_path / "true")
    assert [subject.id for subject in subjects] == ["deep/b"] and len(lonely) == 2
    with pytest.raises(MediaError, match="no video"):
        media_in(tmp_path / "made" / "deep" / "a")
    with pytest.raises(MediaError, match="no folder"):
        media_in(tmp_path / "nothing")


def test_kept_results_and_tables(whole: Path, folders: tuple[Path, Path]) -> None:
    subjects, _ = pair_folders(*folders)
    plan = make_plan(None, View(), Lab())
    store = ResultFolder(whole)
    assert store.load(subjects[1], plan.fingerprint()) is not None
    assert store.load(subjects[1], "another") is None
    arrays = store.arrays(subjects[1])
    assert arrays["series:psnr"].shape == (16,) and arrays["features:lite0:made"].shape == (16, 320)
    assert arrays["series:series/sharpness"].shape == (16,)  # no metric, kept for curves
    done = run_suite(subjects[1:], plan, whole)
    text = latex_table({"one": summarise(done), "two": summarise(done)}, "caption")
    assert text.startswith("% caption") and r"\textbf{" in text and r"PSNR, dB $\uparrow$" in text
