"""plan -> score -> decide -> report -> export, stopped and called again, with a broken video among the good ones."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from vivant.apps.cli import main
from vivant.core.errors import ConfigError
from vivant.data.curate.decide import decide, read_decisions
from vivant.data.curate.export import finish
from vivant.data.curate.export import make_jobs as make_exports
from vivant.data.curate.export import run_job as export_job
from vivant.data.curate.export_clip import Style
from vivant.data.curate.files import all_clips, read_faces, read_plan, write_clips, write_json
from vivant.data.curate.plan import Settings, make_plan
from vivant.data.curate.report import _problems, write_report
from vivant.data.curate.rules import Rule, Rules
from vivant.data.curate.score import make_jobs, pending, problems, read_scores, run_job
from vivant.data.curate.scorers.pose import Pose
from vivant.data.curate.words import Work
from vivant.data.dataset import FaceClips
from vivant.data.shards import read_data
from vivant.media.video import open_clip

SCORERS = "faces,resolution,pose,sound,identity,duplicates"
SHORT = ["--shortest", "0.6"]


@pytest.fixture(scope="module")
def work(raw: Path, tmp_path_factory) -> Work:
    """Planned and scored by the command line."""
    folder = tmp_path_factory.mktemp("work")
    words = ["--work", str(folder), *SHORT, "--licence", "MIT", "--consent", "given"]
    assert main(["curate", "plan", str(raw), *words]) == 0
    assert (
        main(["curate", "score", "--work", str(folder), "--scorers", SCORERS, "--workers", "1"]) == 1
    )  # one is broken
    return Work(folder)


def test_the_plan_names_videos_and_what_is_wrong(work: Work) -> None:
    plan = {Path(source.path).name: source for source in read_plan(work)}
    assert set(plan) == {"good.mp4", "cut.mp4", "broken.mp4"}
    assert plan["good.mp4"].size == (288, 288) and plan["good.mp4"].sound and plan["good.mp4"].consent == "given"
    assert [Path(source.path).name for source, _ in problems(work)] == ["broken.mp4"]


def test_a_cut_parts_two_people(work: Work) -> None:
    clips = {source.id.partition("-")[0]: [] for source, _ in all_clips(work)}
    for source, clip in all_clips(work):
        clips[source.id.partition("-")[0]].append(clip)
    assert [(clip.start, clip.frames) for clip in clips["good"]] == [(0, 30)]
    assert [(clip.start, clip.frames) for clip in clips["cut"]] == [(0, 25), (25, 25)]
    faces = read_faces(work, clips["good"][0])
    assert faces.landmarks.shape == (30, 478, 3) and faces.seen.all() and (faces.count == 1).all()


def test_scores_are_kept_and_only_new_ones_are_computed(work: Work, monkeypatch) -> None:
    names = SCORERS.split(",")
    assert make_jobs(work, names) == []
    _, clip = next(iter(all_clips(work)))
    assert pending(work, clip, [*names, "text"]) == ["text"]
    before = read_scores(work, clip)
    monkeypatch.setattr(Pose, "version", 99)
    assert pending(work, clip, names) == ["pose"]
    for job in make_jobs(work, names):
        run_job(job)
    assert pending(work, clip, names) == [] and read_scores(work, clip) == before


def test_work_that_was_stopped_goes_on(raw: Path, tmp_path, monkeypatch) -> None:
    work = Work(tmp_path)
    make_plan(work, [raw / "cut.mp4"], Settings(shortest=15))
    job = make_jobs(work, ["pose"])[0]
    finish = Pose.finish
    calls = []

    def stopping(self: Pose) -> dict:
        calls.append(self.view.clip.start)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return finish(self)

    monkeypatch.setattr(Pose, "finish", stopping)
    with pytest.raises(KeyboardInterrupt):
        run_job(job)
    assert run_job(make_jobs(work, ["pose"])[0]).scored == 1
    assert calls[0] != calls[1] == calls[2]  # the first clip was not scored again
    assert make_jobs(work, ["pose"]) == []


def test_decisions_follow_the_rules_and_nothing_else(work: Work) -> None:
    rules = Rules("t", (Rule("sound.present", min=1, why="no sound"),), splits={"train": 1.0})
    first = decide(work, rules)
    kept = [decision for decision in first if decision.keep]
    assert len(first) == 3 and len(kept) == 1 and kept[0].split == "train" and kept[0].person
    assert [decision.reasons for decision in first if not decision.keep] == [
        ["no sound: sound.present is 0, at least 1 is asked"]
    ] * 2
    assert decide(work, rules) == first == read_decisions(work)
    asked = decide(work, Rules("t", (), require=("person",)))
    assert not any(decision.keep for decision in asked) and "person" in asked[0].reasons[0]


def test_the_report_counts_hours_by_set_and_filter(work: Work) -> None:
    """Each filter leaves no more than the one before; the last line is what is kept."""
    rules = Rules(
        "t", (Rule("sound.present", min=1, why="no sound"), Rule("faces.seconds", min=99, why="short")),
        duplicates=False, splits={"train": 1.0},
    )  # fmt: skip
    kept = [decision for decision in decide(work, rules) if decision.keep]
    page = write_report(work, sheets=0).read_text()
    filters = page.partition("<h2>Filters, one after another</h2>")[2].partition("</table>")[0]
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", line) for line in filters.split("<tr>")[2:]]
    assert [row[0] for row in rows] == [
        "videos", "a face can be followed", "sound.present at least 1", "faces.seconds at least 99",
    ]  # fmt: skip
    assert [int(row[1]) for row in rows[1:]] == [3, 1, len(kept)] == [3, 1, 0]
    hours = [float(row[2]) for row in rows]
    assert hours == sorted(hours, reverse=True) and rows[-1][3] == "0.0 %" and float(rows[1][3].split()[0]) > 10
    sets = page.partition("<h2>Data sets</h2>")[2].partition("</table>")[0]
    assert "hours kept" in sets and sets.count("<tr>") >= 2


def test_report_and_data_set(work: Work, tmp_path, capsys) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text("title: Trial\nrules: [{score: faces.seconds, min: 0.9, why: short}]\nsplits: {train: 1}\n")
    folder, out = str(work.folder), tmp_path / "set"
    assert main(["curate", "decide", "--work", folder, "--rules", str(rules)]) == 0
    assert main(["curate", "report", "--work", folder, "--sheets", "4"]) == 0
    page = (work.folder / "report.html").read_text()
    assert "Trial" in page and page.count("data:image/jpeg") == 3 and "<svg" in page and "broken.mp4" in page
    assert not re.search(r"(src|href)=.?https?:", page)  # complete in itself
    words = ["curate", "export", "--work", folder, "--out", str(out), "--size", "64", "--speech", "mel"]
    shards = tmp_path / "shards"
    assert main([*words, "--workers", "1", "--masks", "face", "--shards", str(shards)]) == 0
    rows = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    assert len(rows) == 3 and {row["licence"] for row in rows} == {"MIT"} and rows[0]["consent"] == "given"
    assert len({row["person"] for row in rows}) == 2 and {row["size"] for row in rows} == {64}
    good = next(row for row in rows if row["id"].startswith("good"))
    assert good["sound"] and open_clip(out / good["video"]).audio is not None
    with np.load(out / good["extra"]) as extra:
        assert extra["landmarks"].shape == (30, 478, 3) and extra["keypoints"].shape == (30, 3, 2)
        assert extra["masks"].shape == (30, 64, 8) and 0.08 < np.unpackbits(extra["masks"]).mean() < 0.5
        assert extra["samples"].shape == (19200,) and extra["speech_mel"].shape == (30, 4, 80)
        assert np.abs(extra["keypoints"]).max() < 0.6
    data = FaceClips.load(out, split="train", workers=1)
    assert len(data.frames) == 80
    assert sum(sample.extra is not None for sample in read_data(shards)) == 3
    capsys.readouterr()
    before = {path: path.stat().st_mtime_ns for path in (out / "clips").iterdir()}
    assert main([*words, "--workers", "1"]) == 0  # nothing is left to do
    assert {path: path.stat().st_mtime_ns for path in (out / "clips").iterdir()} == before
    assert main([*words[:-2], "--masks", "none"]) == 2
    assert "another style" in capsys.readouterr().err


def test_shards_follow_the_decisions(work: Work, tmp_path, capsys) -> None:
    """The same command again, after it was stopped or with other thresholds, leaves the shards of what is kept now;
    shards of anything else are not touched, and told before the work."""
    shards, out = tmp_path / "shards", tmp_path / "set"
    words = ["--work", str(work.folder), "--out", str(out), "--size", "64", "--masks", "none", "--workers", "1"]
    decide(work, Rules("t", (), splits={"train": 1.0}))
    assert main(["curate", "export", *words, "--shards", str(shards)]) == 0
    assert len(read_data(shards)) == 3
    decide(work, Rules("t", (Rule("sound.present", min=1),), splits={"val": 1.0}))
    (shards / "draft").mkdir()
    (shards / "draft" / "train-00000.tar").write_bytes(b"of an export that was killed")
    assert main(["curate", "export", *words, "--shards", str(shards)]) == 0
    assert [sample.row.split for sample in read_data(shards)] == ["val"]
    assert [path.name for path in shards.glob("*.tar")] == ["val-00000.tar"] and not (shards / "draft").exists()
    other = tmp_path / "other"
    other.mkdir()
    (other / "train-00000.tar").write_bytes(b"somebody's")
    again = [*words[:2], "--out", str(tmp_path / "new"), *words[4:]]
    for more, problem in ((["--shards", str(other)], "are not of"), (["--shards", str(shards)], "are not of"),
                          (["--shards", str(tmp_path / "s"), "--shard-mb", "0"], "larger --shard-mb"),
                          (["--quality", "99"], "knows no quality 99"), (["--workers", "0"], "0 workers")):  # fmt: skip
        assert main(["curate", "export", *again, *more]) == 2
        assert problem in capsys.readouterr().err
    assert (other / "train-00000.tar").read_bytes() == b"somebody's" and not (tmp_path / "new").exists()


def test_another_rate_tells_landmarks_between_frames(work: Work, tmp_path) -> None:
    decide(work, Rules("t", (Rule("sound.present", min=1),), splits={"train": 1.0}))
    words = ["--work", str(work.folder), "--out", str(tmp_path), "--size", "64", "--fps", "30", "--masks", "none"]
    assert main(["curate", "export", *words, "--workers", "1"]) == 0
    row = json.loads((tmp_path / "manifest.jsonl").read_text())
    assert row["fps"] == 30 and row["frames"] == 36


def test_a_video_that_was_replaced_is_looked_at_anew(raw: Path, tmp_path, capsys) -> None:
    """Nothing that was found in the one before is taken for the new one's, and old decisions are refused."""
    video, work = tmp_path / "talk.mp4", Work(tmp_path / "work")
    video.write_bytes((raw / "cut.mp4").read_bytes())
    assert make_plan(work, [video], Settings(shortest=15)) == make_plan(work, [video], Settings(shortest=15))
    run_job(make_jobs(work, ["resolution"])[0])
    decide(work, Rules("t", ()))
    assert len(list(all_clips(work))) == 2 and make_jobs(work, ["resolution"]) == []
    video.write_bytes((raw / "good.mp4").read_bytes())
    make_plan(work, [video], Settings(shortest=15))
    assert list(all_clips(work)) == [] and len(make_jobs(work, ["resolution"])) == 1
    for step in (["report"], ["export", "--out", str(tmp_path / "set")]):
        assert main(["curate", *step, "--work", str(work.folder)]) == 2
        assert "decide again" in capsys.readouterr().err


def test_the_manifest_says_what_the_plan_says_now(work: Work, raw: Path, tmp_path) -> None:
    """A licence that was forgotten at first needs no clip to be written again."""
    decisions = decide(work, Rules("t", (), splits={"train": 1.0}))
    out = tmp_path / "set"
    for job in make_exports(work, decisions, out, Style(size=64, masks="none")):
        export_job(job)
    (out / "clips" / ".good.mp4.0123.part").write_bytes(b"of a worker that was killed")
    assert {row.licence for row in finish(work, out, decisions)} == {"MIT"}
    assert not list((out / "clips").glob(".*"))
    other = Work(tmp_path / "work")
    shutil.copytree(work.folder, other.folder)
    make_plan(other, [raw], Settings(shortest=15), {"licence": "CC0-1.0", "consent": "asked", "origin": "us"})
    assert make_exports(other, decisions, out, Style(size=64, masks="none")) == []
    said = {(row.licence, row.consent, row.source) for row in finish(other, out, decisions)}
    assert said == {("CC0-1.0", "asked", "us")}


def test_faces_that_were_cut_short(work: Work, tmp_path) -> None:
    """A full disk, a power cut: one sentence."""
    other = Work(tmp_path / "work")
    shutil.copytree(work.folder, other.folder)
    _, clip = next(iter(all_clips(other)))
    data = other.faces(clip.id).read_bytes()
    for part in (data[: len(data) // 2], data[:-30], b""):
        other.faces(clip.id).write_bytes(part)
        with pytest.raises(ConfigError, match="cannot be read"):
            read_faces(other, clip)


def test_a_video_is_listed_once_with_all_that_is_wrong(work: Work, tmp_path) -> None:
    other = Work(tmp_path / "work")
    shutil.copytree(work.folder, other.folder)
    source = next(source for source in read_plan(other) if source.path.endswith("good.mp4"))
    write_clips(other, source.id, [])
    write_json(other.problem(source.id), {"problem": "Half of it is missing.", "usable": False})
    page = _problems(other)
    assert page.count(source.path) == 1 and "Half of it is missing. Besides: no face" in page


def test_lists_say_who_and_under_which_terms(raw: Path, tmp_path) -> None:
    table = tmp_path / "videos.csv"
    table.write_text(f"path,person,licence,consent\n{raw / 'good.mp4'},Ann,CC-BY-4.0,yes\n")
    plan = make_plan(Work(tmp_path / "work"), [table], Settings(), {"credit": "us"})
    assert (plan[0].person, plan[0].licence, plan[0].consent, plan[0].credit) == ("Ann", "CC-BY-4.0", "yes", "us")
    lines = tmp_path / "videos.jsonl"
    for row in ('{"person": "Ann"}', '{"path": 5}', '{"path": ["a.mp4"]}'):
        lines.write_text(f"{row}\n")
        with pytest.raises(ConfigError, match="names no path"):
            make_plan(Work(tmp_path / "work"), [lines], Settings())


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["plan", "{tmp}/none"], "There is no"),
        (["plan", "{tmp}"], "No video was found"),
        (["plan", "{raw}", "--shortest", "0.1"], "cannot be made"),
        (["score"], "plan first"),
        (["decide"], "plan first"),
        (["report"], "decide first"),
        (["export", "--out", "{tmp}/o"], "decide first"),
    ],
)
def test_what_cannot_be_done_is_said(words: list[str], problem: str, raw: Path, tmp_path, capsys) -> None:
    words = [word.format(tmp=tmp_path, raw=raw) for word in words]
    assert main(["curate", *words, "--work", str(tmp_path / "work")]) == 2
    assert problem in capsys.readouterr().err


def test_the_scores_are_listed(capsys) -> None:
    assert main(["curate", "scorers"]) == 0
    assert "| `pose.mean` |" in capsys.readouterr().out
