"""`vivant synthesize` again into one folder: what was mended is looked at anew, what cannot go together is said before
anything is drawn, and a refused run leaves the folder as it was."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from vivant.apps.cli import main
from vivant.core.errors import ConfigError
from vivant.data.manifest import Row, read_manifest, write_manifest
from vivant.data.synthesis.people import find_stills, read_index
from vivant.data.synthesis.survey import read_people, read_rejected, write_rejected
from vivant.media.encode import video_encoder

FACES = Path(__file__).parents[1] / "data" / "faces"
USUAL = ["--clips", "1", "--frames", "2", "--size", "64", "--workers", "1", "--no-redetect", "--supersample", "1",
         "--no-truth", "--test-share", "0", "--val-share", "0", "--quiet"]  # fmt: skip


@pytest.fixture
def stills(tmp_path):
    folder = tmp_path / "stills"
    folder.mkdir()
    shutil.copy(FACES / "still_woman.jpg", folder / "a.jpg")
    return folder


def run(stills: Path, out: Path, *words: str) -> int:
    return main(["synthesize", str(stills), "-o", str(out), *USUAL, *words])


def test_a_still_that_was_copied_again_is_looked_at_again(stills, tmp_path, capsys):
    (stills / "b.jpg").write_bytes((FACES / "still_man.jpg").read_bytes()[:2000])
    assert run(stills, tmp_path / "set") == 0
    assert ("still", "b") in read_rejected(tmp_path / "set")
    shutil.copy(FACES / "still_man.jpg", stills / "b.jpg")
    looked_at = (tmp_path / "set" / "people" / "a.npz").stat().st_mtime_ns
    assert run(stills, tmp_path / "set") == 0
    assert "2 of 2 stills used" in capsys.readouterr().out and not read_rejected(tmp_path / "set")
    assert (tmp_path / "set" / "people" / "a.npz").stat().st_mtime_ns == looked_at


def test_a_clip_that_comes_in_the_end_is_no_reject(stills, tmp_path, monkeypatch):
    from vivant.data.synthesis import clips

    def fail(*_given):
        raise ValueError("for once")

    out = tmp_path / "set"
    with monkeypatch.context() as patch:
        patch.setattr(clips, "render_clip", fail)
        assert run(stills, out) == 2
    assert ("clip", "random_000000_a") in read_rejected(out)
    assert run(stills, out) == 0 and not read_rejected(out) and len(read_manifest(out)) == 1


def test_good_entries_leave_the_rejects(tmp_path):
    rows = [{"what": what, "id": "a", "reason": "x"} for what in ("still", "take")]
    write_rejected(tmp_path, rows)
    write_rejected(tmp_path, (), ("take", ["a", "b"]))
    assert list(read_rejected(tmp_path)) == [("still", "a")]


def test_a_plan_that_cannot_be_made_may_be_asked_for_otherwise(stills, tmp_path, capsys):
    assert run(stills, tmp_path / "set", "--takes-per-motion", "3") == 2
    assert "--takes-per-motion 1" in capsys.readouterr().err
    assert run(stills, tmp_path / "set") == 0


def test_damaged_settings_are_one_sentence(stills, tmp_path, capsys):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "synthesis.random.json").write_text('{"seed"')
    assert run(stills, tmp_path / "set") == 2
    assert "synthesis.random.json is damaged" in capsys.readouterr().err


@pytest.mark.parametrize(("size", "split", "said"), [(32, "train", "--size"), (64, "test", "'test'")])
def test_what_cannot_be_one_data_set_is_said_before_it_is_drawn(stills, tmp_path, capsys, size, split, said):
    out = tmp_path / "set"
    out.mkdir()
    write_manifest(out, [Row("x", "a", split, "clip", "speech", 2, 25.0, size, "x.npz", video="x.mp4")])
    assert run(stills, out) == 2
    told = capsys.readouterr().err
    assert said in told and told.count("vivant:") - told.count("warning:") == 1
    assert not (out / "rows").exists() and not (out / "synthesis.random.json").exists()


@pytest.mark.parametrize(
    ("index", "said"), [(b'{"file": "\xe9.jpg"}', "UTF-8"), (b'{"file": "a.jpg", "split": "dev"}', "'dev'")]
)
def test_an_index_that_makes_no_sense(stills, index, said):
    (stills / "index.jsonl").write_bytes(index)
    with pytest.raises(ConfigError, match=said):
        read_index(stills)


def test_an_index_may_leave_the_split_open(stills):
    (stills / "index.jsonl").write_text(json.dumps({"file": "a.jpg", "split": None}), "utf-8-sig")
    assert find_stills(stills)[0].split == ""


@pytest.mark.skipif(os.name == "nt", reason="names there are Unicode")
def test_names_that_are_not_utf8(stills, tmp_path):
    name = os.fsencode(stills) + b"/caf\xe9\xe9.jpg"
    try:
        shutil.move(os.fsencode(stills / "a.jpg"), name)
    except OSError:
        pytest.skip("the file system takes UTF-8 names only")
    assert run(stills, tmp_path / "set") == 0
    assert [row.person for row in read_manifest(tmp_path / "set")] == ["caf__"]
    assert os.fsencode(read_people(tmp_path / "set")[0].file) == b"caf\xe9\xe9.jpg"


def test_motion_of_a_driver_without_a_licence_is_not_the_stills(tmp_path, monkeypatch):
    from fractions import Fraction

    from vivant.data.synthesis import clip_motion
    from vivant.data.synthesis.clip_motion import ClipMotion, Driver
    from vivant.rig.motion import RigMotion

    motion = RigMotion.still(4)
    np.savez(tmp_path / "m.npz", fps=[25, 1], pose=motion.pose, expression=motion.expression, gaze=motion.gaze)
    monkeypatch.setattr(clip_motion, "_sound", lambda *_given: None)
    driver = Driver("d", tmp_path / "silent.mp4", tmp_path / "m.npz")
    assert ClipMotion((driver,), 4, Fraction(25)).take(0, 0).licence == "unknown"


def test_stills_found_good_without_test_poses_are_looked_at_again_where_these_are_asked_for(stills, tmp_path):
    out = tmp_path / "set"
    usual = ["synthesize", str(stills), "-o", str(out), "--check", "--workers", "1", "--quiet"]
    assert main([*usual, "--no-redetect"]) == 0 and not read_people(out)[0].poses
    assert main(usual) == 0
    assert {person.id: bool(person.poses) for person in read_people(out)} == {"a": True}


@pytest.mark.skipif(video_encoder() != "libx264", reason="it writes no settings into its pictures")
@pytest.mark.parametrize("people", [False, True])
def test_clips_are_encoded_by_one_thread_since_more_do_not_give_the_same_bytes(stills, tmp_path, people):
    usual = [word for word in USUAL if word != "--no-redetect"] if people else USUAL
    name = "people" if people else str(stills)
    assert main(["synthesize", name, "-o", str(tmp_path / "set"), *usual, "--size", "256"]) == 0
    (movie,) = (tmp_path / "set" / "clips").glob("*.mp4")
    assert b" threads=1 " in movie.read_bytes()  # of small frames x264 takes one thread anyway
