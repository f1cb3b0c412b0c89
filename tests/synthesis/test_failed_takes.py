"""A take that cannot be made is named, and costs only its own clips."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from vivant.apps.cli import main
from vivant.core.errors import ConfigError
from vivant.data.manifest import read_manifest
from vivant.data.synthesis import speech_motion
from vivant.data.synthesis.takes import KeptMotion
from vivant.pipelines.synthesize_takes import missing_takes
from vivant.tts.spoken import Phone, Spoken, gapless

FACES = Path(__file__).parents[1] / "data" / "faces"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """``run(*words)`` speaks into one folder; the takes in ``run.bad`` fail."""
    (tmp_path / "stills").mkdir()
    shutil.copy(FACES / "still_woman.jpg", tmp_path / "stills")
    made = speech_motion.SpeechMotion.take

    def speak(text, voice, speed, pitch, seed):
        samples = 0.3 * np.sin(np.arange(9600) * 0.3).astype(np.float32)
        return Spoken(samples, 16000, gapless([Phone("m", 0.1, 0.25), Phone("a", 0.25, 0.5)], 0.6))

    def take(self, number, seed):
        if number in run.bad:
            raise ConfigError(f"Flite failed on sentence {number}: try another text.")
        return made(self, number, seed)

    monkeypatch.setattr(speech_motion, "speak", speak)
    monkeypatch.setattr(speech_motion, "installed", lambda: ("flite",))
    monkeypatch.setattr(speech_motion.SpeechMotion, "take", take)

    def run(*words):
        usual = ["--motion", "speech", "--clips", "3", "--frames", "3", "--size", "64", "--workers", "1", "--quiet",
                 "--no-redetect", "--test-share", "0", "--val-share", "0", "--supersample", "1", "--licence", "MIT",
                 "--no-truth"]  # fmt: skip
        return main(["synthesize", str(tmp_path / "stills"), "-o", str(run.out), *usual, *words])

    run.out, run.bad = tmp_path / "set", {1}
    return run


def test_a_failed_take_costs_its_own_clip_and_is_made_by_a_later_run(run, capsys):
    assert run() == 0
    told = capsys.readouterr().out
    said = "1 of 3 takes could not be made (speech_000001: Flite failed on sentence 1: try another text), so 1 clip"
    assert "2 new clips" in told and said in told
    assert {row.take for row in read_manifest(run.out)} == {"speech-000000", "speech-000002"}
    rejected = [json.loads(line) for line in (run.out / "rejected.jsonl").read_text().splitlines()]
    assert [(row["what"], row["id"]) for row in rejected] == [("take", "speech_000001")]
    run.bad = set()
    assert run() == 0
    told = capsys.readouterr().out
    assert "1 new clips" in told and "takes" not in told and len(read_manifest(run.out)) == 3


def test_what_failed_where_it_was_prepared_does_not_stop_the_machine_that_renders(run, capsys, monkeypatch):
    assert run("--prepare") == 0
    told = capsys.readouterr().out
    assert "2 clips are ready" in told and "1 of 3 takes could not be made" in told
    monkeypatch.setattr(speech_motion, "installed", lambda: ())
    assert run() == 0
    assert "Flite failed on sentence 1" in capsys.readouterr().out and len(read_manifest(run.out)) == 2
    assert run("--clips", "4") == 2  # nobody tried that one yet
    assert "text-to-speech" in capsys.readouterr().err


def test_a_run_of_which_nothing_comes_fails(run, capsys, monkeypatch):
    run.bad = {0, 1, 2}
    assert run() == 2
    assert "None of the 3 takes can be made: Flite failed on sentence 0" in capsys.readouterr().err
    run.bad = set()
    assert run("--prepare") == 0
    for path in (run.out / "takes").iterdir():
        path.write_bytes(b"damaged")
    capsys.readouterr()
    assert run() == 2
    assert "None of the 3 clips can be made" in capsys.readouterr().err


def test_of_many_failures_some_are_named():
    kept = KeptMotion(Path(), "clips")
    told = missing_takes(kept, dict.fromkeys(range(5), "oh"), 9, 10)
    assert told.startswith(" 5 of 9 takes") and "clips_000002: oh; and 2 more, all in rejected.jsonl" in told
    assert "10 clips are left out" in told and "clips_000003" not in told and missing_takes(kept, {}, 9, 0) == ""
