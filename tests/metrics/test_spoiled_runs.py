"""``vivant evaluate`` on what goes wrong: files cut short, workers that die, names that mean something to LaTeX."""

from __future__ import annotations

import json
from pathlib import Path

import deadly_worker
import numpy as np
import pytest
from clips import write

from vivant.core.errors import MediaError, VivantError
from vivant.metrics import suite
from vivant.metrics.compare import compare_markdown, read_run
from vivant.metrics.measure import Plan, make_plan
from vivant.metrics.metric import all_metrics
from vivant.metrics.plots import draw_curves, draw_histograms, write_plots
from vivant.metrics.probes.base import Lab
from vivant.metrics.reenactment import Case
from vivant.metrics.results import ResultFolder, write_json
from vivant.metrics.runner import sheet_path
from vivant.metrics.statistics import Estimate
from vivant.metrics.subject import Subject, pair_folders, text_beside
from vivant.metrics.summary import Row, Summary, _within, summarise
from vivant.metrics.tables import escape, report_json, report_markdown
from vivant.metrics.view import View


def plan_of(*names: str) -> Plan:
    return make_plan(names, View(), Lab())


def test_a_clip_cut_short_is_measured_and_named(speaker: list[np.ndarray], tmp_path: Path) -> None:
    true = write(tmp_path / "true.mp4", speaker[:16])
    made = tmp_path / "made.mp4"
    data = true.read_bytes()
    made.write_bytes(data[: len(data) * 2 // 3])
    for _ in range(2):  # the second run takes it from the folder
        run = suite.run_suite([Subject("cut", made, true)], plan_of("psnr"), tmp_path / "out")
        report = report_json(run, "", {})
        assert "damaged or cut short" in report["damaged"]["cut"] and 0 < report["frames"] < 16
        assert "Measured as far as it goes: cut: " in report_markdown(run, "", {})
    assert run.fresh == 0


def test_results_that_were_cut_short_are_measured_again(folders: tuple[Path, Path], tmp_path: Path) -> None:
    subjects, _ = pair_folders(*folders)
    plan = plan_of("psnr", "fid-lite0")
    suite.run_suite(subjects, plan, tmp_path)
    arrays = tmp_path / "clips" / f"{subjects[0].key}.npz"
    arrays.write_bytes(arrays.read_bytes()[:-40])
    again = suite.run_suite(subjects, plan, tmp_path)
    assert again.fresh == 1
    assert ResultFolder(tmp_path).features(subjects[0], "lite0", "made") is not None


def test_a_worker_that_dies_takes_no_other_clip_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suite, "_begin", deadly_worker.begin)
    ids = ["a", deadly_worker.DEADLY, "b"]
    run = suite.run_suite([Subject(name, tmp_path / name) for name in ids], plan_of("psnr"), tmp_path, workers=2)
    assert set(run.failed) == {deadly_worker.DEADLY} and "died" in run.failed[deadly_worker.DEADLY]
    assert [result.id for result in run.results] == ["a", "b"] and run.fresh == 2


def test_what_cannot_be_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    """The clips need not even be there."""
    import argparse

    from vivant.pipelines import evaluate

    parser = argparse.ArgumentParser()
    evaluate.add_arguments(parser)
    (tmp_path / "gate.yaml").write_text("pnsr: {min: 3}")
    for words, said in (
        (["--gate", str(tmp_path / "gate.yaml")], "no metric 'pnsr'"),
        (["--fps", "abc"], "frame rate"),
    ):
        for given in (["folders", "--reference", "x", "--out", str(tmp_path / "out")], ["pairs"]):
            with pytest.raises(VivantError, match=said):
                evaluate.run(parser.parse_args([*given, "--generated", str(tmp_path / "none"), *words]))


def test_words_that_are_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("fünf".encode("latin-1"))
    with pytest.raises(MediaError, match="UTF-8"):
        text_beside(tmp_path / "a.mp4")
    for side in ("made", "true"):
        (tmp_path / side).mkdir()
        (tmp_path / side / "a.mp4").touch()
    (tmp_path / "a.txt").rename(tmp_path / "true" / "a.txt")
    with pytest.warns(UserWarning, match="UTF-8"):
        subjects, _ = pair_folders(tmp_path / "made", tmp_path / "true")
    assert [subject.text for subject in subjects] == [None]
    (tmp_path / "a.txt").write_bytes("fünf\n".encode("utf-8-sig"))
    assert text_beside(tmp_path / "a.mp4") == "fünf"


def test_signs_of_latex() -> None:
    assert escape("a_b% & {x} $y$ #1") == r"a\_b\% \& \{x\} \$y\$ \#1"
    assert escape("\\z~^") == r"\textbackslash{}z\textasciitilde{}\textasciicircum{}"


def test_a_file_name_with_dollars_can_be_plotted(speaker: list[np.ndarray], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = write(tmp_path / "$\\no{$.mp4", speaker[:3])
    run = suite.run_suite([Subject(path.stem, path, path)], plan_of("psnr"), tmp_path / "out")
    assert len(write_plots(run, summarise(run))) == 2


def test_no_interval_leaves_the_range_of_its_metric() -> None:
    assert _within(Estimate(5.0, -20.0, 30.0, 3), (0.0, float("inf"))) == Estimate(5.0, 0.0, 30.0, 3)
    assert np.isnan(_within(Estimate(5.0, float("nan"), float("nan"), 2), (0.0, 1.0)).low)


def test_runs_are_compared_on_what_they_last_measured(folders: tuple[Path, Path], tmp_path: Path) -> None:
    """A clip that the run measured before and left out since is no part of it."""
    subjects, _ = pair_folders(*folders)
    for name, mine in (("first", subjects), ("seco|nd", subjects), ("first", subjects[:1])):
        run = suite.run_suite(mine, plan_of("psnr"), tmp_path / name)
        write_json(tmp_path / name / "results.json", report_json(run, "", {}))
    assert len(list((tmp_path / "first" / "clips").glob("*.json"))) == 2
    runs = {name: read_run(tmp_path / name) for name in ("first", "seco|nd")}
    text = compare_markdown(runs)
    assert "1 clips that all runs have" in text and r"seco\|nd" in text
    (tmp_path / "first" / "results.json").write_text(json.dumps([1]))
    with pytest.raises(MediaError, match="no finished run"):
        read_run(tmp_path / "first")


def test_values_that_differ_by_rounding_have_a_histogram(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    one = Estimate(1.0, 1.0, 1.0, 2)
    for values in ([1.0, 1.0 - 1.1e-16], [0.0, 5e-324], [3.0, 3.0], [1.0, 2.0]):
        row = Row(all_metrics()["mouth-gain"], one, None, {str(i): value for i, value in enumerate(values)})
        path = draw_histograms(Summary([row], 2, 2, 0), tmp_path / "histograms.png")
        assert path is not None and path.stat().st_size > 0


def test_curves_show_single_frames_and_no_empty_panel(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    nan = np.full(3, np.nan)
    assert draw_curves({"series:psnr": nan, "series:series/mouth": nan}, "a", tmp_path / "a.png") is None
    assert draw_curves({"series:psnr": np.array([30.0]), "series:flicker": nan}, "b", tmp_path / "b.png") is not None
    import cv2

    picture = cv2.imread(str(tmp_path / "b.png"))
    assert picture is not None and picture.shape[0] == 160, "one panel"
    red = (picture[..., 2].astype(int) - picture[..., 0] > 60) & (picture[..., 2] > 120)
    assert red.any(), "the only frame is seen"


def test_whatever_a_library_raises_stops_no_other_clip(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import cv2

    from vivant.metrics.protocols.base import Item, Pick
    from vivant.pipelines.evaluation.generate import Maker

    subjects, _ = pair_folders(*folders)
    real = suite.measure

    def fails(subject: Subject, plan: Plan) -> suite.ClipResult:
        if subject.id == "a":
            raise cv2.error("bad\nargument")
        return real(subject, plan)

    monkeypatch.setattr(suite, "measure", fails)
    done = suite.run_suite(subjects, plan_of("psnr"), tmp_path)
    assert done.failed == {"a": "error: bad argument"} and [result.id for result in done.results] == ["b"]

    def refuses(maker: Maker, pick: Pick) -> Subject:
        raise TypeError("no")

    monkeypatch.setattr(Maker, "make", refuses)
    maker = Maker(None, {}, "video", View(), tmp_path)  # type: ignore[arg-type]
    assert maker.make_all([Pick(Item("a", tmp_path))]) == [] and "TypeError: no" in maker.failed["a"]


def test_long_names_of_many_bytes_are_kept(speaker: list[np.ndarray], tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", speaker[:2])
    run = suite.run_suite([Subject("脸" * 80, path, path)], plan_of("psnr"), tmp_path / "out")
    assert not run.failed and suite.run_suite(run.subjects, run.plan, run.out).fresh == 0
    case = Case("a" * 200 + " by " + "b" * 200, "self", path)
    assert len(sheet_path(tmp_path, case).name) < 120
