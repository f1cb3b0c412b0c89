"""The same work on a local Ray cluster of two processes; left out where Ray is not installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vivant.core.engines import make_engine
from vivant.core.errors import ConfigError

pytest.importorskip("ray")

SCRIPT = """
import sys

sys.path.insert(0, sys.argv[1])
import crashing
from vivant.apps.cli import main
from vivant.core.engines import make_engine

engine = make_engine("ray", workers=2)
kinds = ["good", "good", "once", "good", "good", "always"]
jobs = [(sys.argv[2], kind, number) for number, kind in enumerate(kinds)]
print(sorted(engine.run(crashing.work, jobs, crashing.lost)))
try:
    list(engine.run(crashing.work, [(sys.argv[2], "error", 9)], crashing.lost))
except ValueError as error:
    print("raised", error)
raw, work = sys.argv[3:]
assert main(["curate", "plan", raw, "--work", work, "--shortest", "0.6"]) == 0
words = ["--work", work, "--scorers", "faces,pose", "--engine", "ray", "--workers", "2"]
assert main(["curate", "score", *words]) == 1  # one video is broken
"""


@pytest.mark.parametrize("address", ["127.0.0.1:9", "ray://127.0.0.1:9", "nonsense", "1.2.3.4:99999"])
def test_a_cluster_that_does_not_answer_is_told_at_once(address: str) -> None:
    begin = time.monotonic()
    with pytest.raises(ConfigError, match="No Ray cluster answers"):
        make_engine("ray", address=address)
    assert time.monotonic() - begin < 60


def test_jobs_and_videos_on_ray_and_a_killed_worker_loses_nothing(raw: Path, tmp_path) -> None:
    here, notes, work = Path(__file__).parent, tmp_path / "notes", tmp_path / "work"
    notes.mkdir()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(here), *sys.path])}
    words = [sys.executable, "-c", SCRIPT, str(here), str(notes), str(raw), str(work)]
    run = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=280)
    assert run.returncode == 0, run.stderr[-2000:]
    assert str([f"done {number}" for number in range(5)])[:-1] in run.stdout
    assert "lost 5: its worker died 3 times" in run.stdout and len(list(notes.glob("5-*"))) == 3
    assert "raised setup" in run.stdout and len(list(notes.glob("9-*"))) == 1
    assert len(list(notes.glob("2-*"))) >= 2  # it ran again after its worker had died
    assert "3 of 3 clips scored" in run.stdout
    scores = [json.loads(path.read_text()) for path in (work / "scores").iterdir()]
    assert len(scores) == 3 and all("pose" in found for found in scores)
