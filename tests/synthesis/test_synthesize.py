"""`vivant synthesize` on two real stills: files, truth, resume, the same clip by any number of processes."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from vivant.apps.cli import main
from vivant.core.facemesh import TRAINING_POINTS
from vivant.data.dataset import FaceClips
from vivant.data.labels import read_labels
from vivant.data.manifest import read_manifest
from vivant.data.synthesis.truth import read_truth
from vivant.media.video import open_clip
from vivant.tts.spoken import Phone, Spoken, gapless

FACES = Path(__file__).parents[1] / "data" / "faces"
USUAL = ["--clips", "4", "--frames", "3", "--size", "64", "--takes-per-motion", "2", "--workers", "1", "--no-redetect",
         "--test-share", "0", "--val-share", "0", "--supersample", "1", "--quiet"]  # fmt: skip


@pytest.fixture(scope="module")
def stills(tmp_path_factory):
    """Two people, a picture without a face, and a file that is no picture."""
    folder = tmp_path_factory.mktemp("stills")
    for name in ("still_woman", "still_man"):
        shutil.copy(FACES / f"{name}.jpg", folder)
    from vivant.media.image import write_image

    write_image(folder / "wall.png", np.full((96, 96, 3), 128, np.uint8))
    (folder / "broken.jpg").write_bytes(b"no picture")
    rows = [{"file": f"{n}.jpg", "licence": "MIT", "source": "SFHQ"} for n in ("still_woman", "still_man", "broken")]
    (folder / "index.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


@pytest.fixture(scope="module")
def made(stills, tmp_path_factory):
    out = tmp_path_factory.mktemp("set")
    assert main(["synthesize", str(stills), "-o", str(out), *USUAL]) == 0
    return out


def test_rows_files_and_truth(made):
    rows = read_manifest(made)
    assert len(rows) == 4 and {row.person for row in rows} == {"still_woman", "still_man"}
    assert {row.take for row in rows} == {"rig-000000", "rig-000001"} and all(row.licence == "MIT" for row in rows)
    for row in rows:
        frames = list(open_clip(made / row.video).frames)
        assert len(frames) == row.frames == 3 and frames[0].shape == (64, 64, 3)
        labels, truth = read_labels(made / row.labels, 3), read_truth(made / row.truth)
        assert tuple(labels.points) == TRAINING_POINTS and (labels.weight == 1).all()
        assert truth["landmarks"].shape == (3, 478, 3) and truth["regions"].shape == (3, 32, 32)
        assert truth["depth"].shape == (3, 16, 16) and set(np.unique(truth["regions"])) >= {0, 1, 2, 3}
        assert 60 < np.nanmedian(truth["depth"]) < 95
        assert not truth["pose"][0].any()  # frame 0 is the still
        exact = (truth["landmarks"][:, list(TRAINING_POINTS), :2] + 0.5) / 32 - 1
        assert np.abs(labels.landmarks[..., :2] - exact).max() < 2e-3
        lips = truth["landmarks"][:, [13, 14], :2].mean(1)
        found = np.argwhere(truth["regions"][0] >= 3).mean(0)[::-1] * 2
        assert lips[0, 1] - 20 < found[1] < lips[0, 1]  # lips, mouth and eyes: above the lips on average


def test_people_of_a_take_share_its_motion(made):
    rows = [row for row in read_manifest(made) if row.take == "rig-000000"]
    one, other = (read_truth(made / row.truth) for row in rows)
    for name in ("pose", "gaze"):
        assert np.array_equal(one[name], other[name])
    upper = [row for row, name in enumerate(one["expression_names"]) if not str(name).startswith(("mouth", "jaw"))]
    assert np.array_equal(one["expression"][:, upper], other["expression"][:, upper])
    assert not np.array_equal(one["landmarks"], other["landmarks"])


def test_bad_stills_are_named_with_their_reason(made):
    rows = [json.loads(line) for line in (made / "rejected.jsonl").read_text().splitlines()]
    reasons = {row["id"]: row["reason"] for row in rows}
    assert set(reasons) == {"wall", "broken"} and "no face" in reasons["wall"] and "picture" in reasons["broken"]


def test_training_reads_it_at_once(made):
    data = FaceClips.load(made, workers=1)
    index = data.draw(0, 0, 4, {})
    batch = data.gather(index)
    assert batch["driver"].shape == (4, 3, 64, 64) and batch["driver_landmarks"].shape == (4, 145, 3)


def test_a_second_run_only_adds(made, stills, capsys, tmp_path):
    out = tmp_path / "set"
    shutil.copytree(made, out)
    before = {p.name: p.stat().st_mtime_ns for p in (out / "clips").iterdir()}
    (out / "rows" / f"{read_manifest(out)[2].id}.json").unlink()  # as if the run had been stopped there
    usual = ["5" if word == "4" else word for word in USUAL]
    assert main(["synthesize", str(stills), "-o", str(out), *usual]) == 0
    assert "2 new clips" in capsys.readouterr().out
    after = {p.name: p.stat().st_mtime_ns for p in (out / "clips").iterdir()}
    assert sum(after[name] == before.get(name) for name in after) == 9 and len(read_manifest(out)) == 5


def test_other_settings_need_another_folder(made, stills, capsys):
    for option, value in (("--frames", "4"), ("--seed", "1"), ("--backgrounds", "1")):
        usual = [*USUAL, option, value]
        assert main(["synthesize", str(stills), "-o", str(made), *usual]) == 2
        assert "begun with another" in capsys.readouterr().err


def test_two_processes_make_the_same_clips(made, stills, tmp_path):
    out = tmp_path / "set"
    shutil.copytree(made / "people", out / "people")  # looked at already, which two processes did not do
    shutil.copy(made / "people.jsonl", out)
    usual = ["2" if before == "--workers" else word for before, word in zip([None, *USUAL], USUAL)]
    usual[1] = "2"
    assert main(["synthesize", str(stills), "-o", str(out), *usual]) == 0
    same = read_manifest(made)[:2]
    assert read_manifest(out) == same
    for row in same:
        a, b = read_truth(made / row.truth), read_truth(out / row.truth)
        assert all(np.array_equal(a[name], b[name], equal_nan=a[name].dtype.kind == "f") for name in a)
        frames = zip(open_clip(made / row.video).frames, open_clip(out / row.video).frames)
        assert all(np.array_equal(x, y) for x, y in frames)


def test_spoken_clips_render_without_an_engine_once_they_are_prepared(made, stills, tmp_path, monkeypatch, capsys):
    from vivant.data.synthesis import speech_motion
    from vivant.media.audio import has_sound, read_audio

    def speak(text, voice, speed, pitch, seed):
        samples = 0.3 * np.sin(np.arange(9600) * 0.3).astype(np.float32)
        return Spoken(samples, 16000, gapless([Phone("m", 0.1, 0.25), Phone("a", 0.25, 0.5)], 0.6))

    monkeypatch.setattr(speech_motion, "speak", speak)
    monkeypatch.setattr(speech_motion, "installed", lambda: ("flite",))
    out = tmp_path / "set"
    shutil.copytree(made, out)
    usual = [*USUAL, "--motion", "speech", "--clips", "2", "--frames", "25"]
    assert main(["synthesize", str(stills), "-o", str(out), *usual, "--prepare"]) == 0
    assert "ready to be rendered" in capsys.readouterr().out and len(read_manifest(out)) == 4
    monkeypatch.setattr(speech_motion, "installed", lambda: ())
    assert main(["synthesize", str(stills), "-o", str(out), *usual]) == 0
    rows = [row for row in read_manifest(out) if row.group == "speech"]
    assert len(rows) == 2 and all(row.sound and row.text and has_sound(out / row.video) for row in rows)
    assert read_audio(out / rows[0].video).seconds == pytest.approx(1.0, abs=0.05)
    truth = read_truth(out / rows[0].truth)
    gap = truth["landmarks"][:, 14, 1] - truth["landmarks"][:, 13, 1]
    seen = {}
    for symbol, (start, end) in zip(truth["phones"], truth["phone_times"]):
        frames = [f for f in range(25) if start < (f + 0.5) / 25 < end]
        seen.setdefault(str(symbol), []).extend(gap[frames])
    assert truth["phone_times"][-1, 1] == pytest.approx(1.0) and len(read_manifest(out)) == 6
    assert max(seen["a"]) > min(seen["m"]) + 1.5 and min(seen["m"]) < 0.7  # pixels of 64


def test_check_draws_sheets_and_numbers(stills, tmp_path, capsys):
    out = tmp_path / "check"
    assert (
        main(["synthesize", str(stills), "-o", str(out), "--check", "--no-redetect", "--workers", "1", "--quiet"]) == 0
    )
    numbers = json.loads(capsys.readouterr().out)
    assert numbers == json.loads((out / "check.json").read_text())
    assert numbers["stills"] == 4 and numbers["good"] == 2 and numbers["share_rejected"] == 0.5
    assert (
        all((out / f"check_{name}.png").is_file() for name in ("good", "motion"))
        and not (out / "manifest.jsonl").exists()
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--clips", "0"], "1 or more"), (["--frames", "0"], "1 or more"), (["--workers", "0"], "1 or more"),
        (["--test-share", "-0.1", "--val-share", "0.2"], "0..1"),
        (["--size", "50"], "divisible by 4"), (["--fps", "x"], "frame rate"),
        (["--motion", "clips"], "--drivers"), (["--backgrounds", "2"], "0..1"), (["--frames", "1"], "at least 2"),
        (["--held-out", "/nowhere"], "list of names"), (["--quality", "99"], "Quality"),
        (["--motion", "speech", "--engines", "klingon"], "speech engine"),
    ],
)  # fmt: skip
def test_bad_options_end_in_one_sentence(words, said, stills, tmp_path, capsys):
    assert main(["synthesize", str(stills), "-o", str(tmp_path / "x"), *words]) == 2
    told = capsys.readouterr().err
    assert said in told and told.count("\n") == 1


def test_bad_folders_end_in_one_sentence(tmp_path, capsys):
    for folder in (tmp_path / "nowhere", tmp_path):
        assert main(["synthesize", str(folder), "-o", str(tmp_path / "x"), "--quiet"]) == 2
        assert "folder" in capsys.readouterr().err
    (tmp_path / "a.jpg").write_bytes(b"x")
    assert main(["synthesize", str(tmp_path), "-o", str(tmp_path / "y"), "--quiet", "--workers", "1"]) == 2
    assert "None of the 1 stills" in capsys.readouterr().err


def test_a_still_that_smiles_shuts_its_lips_to_talk_and_smiles_no_wider_than_it_can():
    from dataclasses import dataclass, field

    from vivant.data.synthesis.clips import MOST, motion_for
    from vivant.data.synthesis.people import Person
    from vivant.data.synthesis.takes import Take
    from vivant.rig.motion import EXPRESSION_NAMES, RigMotion, expression_vector

    @dataclass
    class Fit:
        expression: np.ndarray = field(default_factory=lambda: expression_vector({"mouthSmile": 0.7, "jawOpen": 0.2}))

    @dataclass
    class Rig:
        fit: Fit = field(default_factory=Fit)

    cast = (Person("a", "a.jpg"),)
    smile, jaw = (EXPRESSION_NAMES.index(name) for name in ("mouthSmile_L", "jawOpen"))
    motion = RigMotion(
        25, np.zeros((25, 6)), np.tile(expression_vector({"mouthSmile": 0.5}), (25, 1)), np.zeros((25, 2))
    )
    silent = motion_for(Take(motion, "expression"), Rig(), cast).expression
    assert np.allclose(silent[:, smile], MOST["mouthSmile"] - 0.7) and not silent[:, jaw].any()
    talking = motion_for(Take(motion, "talk", talking=True), Rig(), cast).expression
    assert talking[0, jaw] == 0 and np.allclose(talking[10:, jaw], -0.2)
    assert np.allclose(talking[10:, smile] + 0.7, 0.7 + 0.5 - 0.35)
