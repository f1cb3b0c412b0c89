"""Many jobs from one list: done once, resumed, failures noted and skipped, on processes and on Ray."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from vivant.apps.cli import main
from vivant.core.errors import ConfigError
from vivant.media.image import write_image
from vivant.media.video import open_clip
from vivant.pipelines.batch import STATE, read_list
from vivant.pipelines.jobs import Models, fingerprint, read_job

TINY = ("--preset", "tiny", "--quiet")


@pytest.fixture
def desk(tmp_path, portrait, driver_frames):
    write_image(tmp_path / "face.png", portrait)
    write_image(tmp_path / "look.png", driver_frames[1])
    (tmp_path / "broken.mp4").write_bytes(b"this is no video at all")
    return tmp_path


def write_list(desk, *rows):
    path = desk / "jobs.jsonl"
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def run(desk, *words):
    return main(["animate", "--batch", str(desk / "jobs.jsonl"), "-o", str(desk / "out"), *TINY, *words])


GOOD = {"source": "face.png", "driving": "look.png", "output": "a.png"}
SMILE = {"source": "face.png", "sliders": {"smile": 0.5}, "output": "sub/smile.png", "crop_only": True}
BROKEN = {"source": "face.png", "driving": "broken.mp4", "output": "c.mp4"}


def test_done_once_failures_noted_and_taken_up_again(desk, capsys):
    write_list(desk, GOOD, "", SMILE, BROKEN, {**GOOD, "driving": "gone.mp4", "output": "d.mp4"})
    assert run(desk) == 1
    printed = capsys.readouterr()
    assert printed.out.endswith("4 jobs in " + str(desk / "out") + ": 2 done, 0 done before, 2 failed.\n")
    assert "line 4: " in printed.err and "line 5: There is no file" in printed.err
    assert open_clip(desk / "out/sub/smile.png").size == (256, 256)
    assert {path.name for path in (desk / "out").iterdir()} == {"a.png", "a.png.json", "sub", STATE}

    first = (desk / "out/a.png").stat().st_mtime_ns
    write_image(desk / "broken.mp4.png", next(iter(open_clip(desk / "look.png").frames)))
    os.replace(desk / "broken.mp4.png", desk / "broken.mp4")  # the broken input was repaired, so this is another job
    (desk / "gone.mp4").write_bytes((desk / "look.png").read_bytes())
    (desk / "out" / STATE).write_text((desk / "out" / STATE).read_text() + '{"id": "cut sho')
    assert run(desk) == 0
    assert "2 done, 2 done before, 0 failed" in capsys.readouterr().out
    assert (desk / "out/a.png").stat().st_mtime_ns == first
    assert run(desk) == 0
    assert "0 done, 4 done before, 0 failed" in capsys.readouterr().out


def test_failures_wait_for_retry_and_other_settings_are_other_jobs(desk, capsys):
    write_list(desk, BROKEN, GOOD)
    assert run(desk) == 1
    assert run(desk) == 1
    printed = capsys.readouterr()
    assert "failed before, and is tried again with --retry" in printed.err
    assert "0 done, 1 done before, 1 failed" in printed.out
    assert run(desk, "--retry") == 1 and run(desk, "--strength.motion", "0.5") == 1
    assert "1 done, 0 done before" in capsys.readouterr().out
    assert json.loads((desk / "out/a.png.json").read_text())["options"]["multiplier"] == 0.5


def test_a_strength_for_all_jobs_holds_where_it_can_act(desk):
    seen, heard = {"source": "face.png", "driving": "look.png"}, {"source": "face.png", "text": "hello"}
    path = write_list(desk, {**seen, "output": "a.mp4"}, {**seen, "text": "hi", "output": "b.mp4"}, heard)
    common = {"method": "megactor-sigma", "preset": "tiny", "strength": {"audio": 1.5, "visual": 0.5}}
    jobs = [job.strength for _, job in read_list(path, desk / "out", common)]
    assert jobs == [{"visual": 0.5}, {"audio": 1.5, "visual": 0.5}, {"audio": 1.5}]
    path = write_list(desk, {**seen, "strength": {"audio": 1.5}})
    with pytest.raises(ConfigError, match="line 1: The strength 'audio' acts on speech"):
        read_list(path, desk / "out", common)


def test_a_row_of_sliders_alone_is_not_asked_to_bear_the_strength_of_all(desk):
    path = write_list(desk, SMILE, GOOD)
    unheeded = {"multiplier": 0.7, "relative": False, "driving_option": "pose-friendly"}
    common = {"strength": {"motion": 0.5}, "options": {**unheeded, "stitching": False}}
    rest, driven = (job for _, job in read_list(path, desk / "out", common))
    assert (rest.strength, rest.options) == ({}, {"stitching": False})
    assert (driven.strength, driven.options) == (common["strength"], common["options"])
    job = read_list(write_list(desk, SMILE), desk / "out", {**common, "driving": "look.png"})[0][1]
    assert job.strength == {"motion": 0.5}
    for own in ({"strength": {"motion": 0.5}}, {"options": {"multiplier": 0.5}}):
        with pytest.raises(ConfigError, match=r"line 2: The strength 'motion' .* acts on the driver"):
            read_list(write_list(desk, GOOD, {**SMILE, **own}), desk / "out", common)


@pytest.mark.parametrize(
    "rows, sentence",
    [
        ([GOOD, "{no json"], "line 2 is not JSON"),
        (["[1]"], "line 1 is no object"),
        ([{**GOOD, "sorce": "x"}], "There is no word of a job 'sorce'. Did you mean 'source'?"),
        ([{"driving": "look.png"}], "The job names no source"),
        ([{**GOOD, "options": {"stiching": False}}], "Did you mean 'stitching'?"),
        ([{**GOOD, "output": "../a.png"}], "leads out of the folder"),
        ([{**GOOD, "output": "/tmp/a.png"}], "leads out of the folder"),
        ([GOOD, GOOD], "lines 1 and 2 write one file"),
        ([{**GOOD, "crop_only": 1}], "The switch crop_only of a job is true or false"),
        ([{**GOOD, "quality": 99}], "The quality 99 is out of range"),
        ([{**GOOD, "seed": "x"}], "The seed of a job is a whole number"),
        ([{**GOOD, "audio": "x.wav"}], "not driven by audio"),
        ([{"source": "face.png"}], "Nothing drives the portrait"),
        ([{**GOOD, "lora": "x"}], "The lora of a job is a list"),
        ([], "holds no jobs"),
    ],
)
def test_a_wrong_list_is_told_before_any_work(desk, capsys, rows, sentence):
    write_list(desk, *rows)
    assert run(desk) == 2
    error = capsys.readouterr().err
    assert sentence in error and len(error.splitlines()) == 1
    assert not (desk / "out").exists()


def test_a_list_does_not_go_with_single_inputs(desk, capsys):
    write_list(desk, GOOD)
    assert run(desk, "-s", "face.png") == 2
    assert "leave --source out" in capsys.readouterr().err


def test_models_are_loaded_once_and_random_nets_follow_the_seed():
    models = Models(limit=2)
    one = models.get("live-portrait", preset="tiny")
    assert models.get("live-portrait", preset="tiny").generator is one.generator
    other = models.get("live-portrait", seed=3, preset="tiny")
    assert other.seed == 3 and other.generator is not one.generator  # random nets are made from the seed
    lite = models.get("live-portrait")
    again = models.get("live-portrait", seed=9)
    assert again.generator is lite.generator and again.seed == 9


def test_fingerprint_is_of_content_and_settings(desk):
    row = {"source": str(desk / "face.png"), "driving": str(desk / "look.png"), "output": "a.png"}
    same = fingerprint(read_job(row))
    (desk / "copy.png").write_bytes((desk / "face.png").read_bytes())
    assert same == fingerprint(read_job({**row, "source": str(desk / "copy.png")}))
    assert same != fingerprint(read_job({**row, "seed": 1}))
    assert same != fingerprint(read_job({**row, "driving": str(desk / "face.png")}))


def test_two_workers_share_the_list(desk):
    write_list(desk, GOOD, SMILE, BROKEN)
    assert run(desk, "--workers", "2") == 1
    rows = [json.loads(line) for line in (desk / "out" / STATE).read_text().splitlines()]
    assert sorted(row["frames"] for row in rows) == [0, 1, 1]


def test_on_a_local_ray_cluster(desk):
    pytest.importorskip("ray")
    write_list(desk, GOOD, SMILE, BROKEN)
    words = ["animate", "--batch", str(desk / "jobs.jsonl"), "-o", str(desk / "out"), *TINY, "--engine", "ray"]
    code = f"import sys; from vivant.apps.cli import main; sys.exit(main({[*words, '--workers', '1']!r}))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=200)
    assert ran.returncode == 1 and "2 done, 0 done before, 1 failed" in ran.stdout, ran.stderr[-2000:]


def test_what_failed_stands_on_a_line_of_its_own_beside_the_bar(desk, capsys):
    write_list(desk, BROKEN)
    words = ["animate", "--batch", str(desk / "jobs.jsonl"), "-o", str(desk / "out"), "--preset", "tiny"]
    assert main(words) == 1
    lines = [part for line in capsys.readouterr().err.splitlines() for part in line.split("\r")]
    assert any(line.startswith("vivant: line 1: ") for line in lines)
    assert main(words) == 1
    assert "0job" not in capsys.readouterr().err, "no bar where nothing is to do"
