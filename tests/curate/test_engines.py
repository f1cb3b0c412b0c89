"""Workers may die: nothing finished is lost, and the job that kills workers is named."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import crashing
import pytest

from vivant.core.engines import TRIES, LocalEngine, make_engine
from vivant.core.errors import ConfigError


def jobs(folder: Path, *kinds: str) -> list[tuple[str, str, int]]:
    return [(str(folder), kind, number) for number, kind in enumerate(kinds)]


def test_a_killed_worker_loses_nothing_and_a_killer_is_named(tmp_path) -> None:
    asked = jobs(tmp_path, "good", "once", "good", "always", "good")
    found = sorted(LocalEngine(2).run(crashing.work, asked, crashing.lost))
    assert [line for line in found if line.startswith("done")] == ["done 0", "done 1", "done 2", "done 4"]
    assert found[-1].startswith("lost 3: its worker died")
    assert 0 < len(list(tmp_path.glob("3-*"))) <= TRIES  # a neighbour that dies while it waits counts against it, too


def test_errors_of_the_setup_are_raised(tmp_path) -> None:
    with pytest.raises(ValueError, match="setup"):
        list(LocalEngine(2).run(crashing.work, jobs(tmp_path, "good", "error"), crashing.lost))


def test_one_worker_works_in_this_process() -> None:
    assert list(LocalEngine(1).run(lambda job: job + 1, [1, 2], lambda job, why: 0)) == [2, 3]
    with pytest.raises(ConfigError, match="0 workers"):
        LocalEngine(0)
    with pytest.raises(ConfigError, match="no engine 'cloud'"):
        make_engine("cloud")


def test_workers_leave_when_their_parent_is_killed(tmp_path) -> None:
    def workers() -> list[int]:
        return [int(note.name) for note in tmp_path.iterdir()]

    with subprocess.Popen([sys.executable, crashing.__file__, str(tmp_path)]) as parent:
        try:
            assert soon(lambda: len(workers()) == 2)
        finally:
            parent.kill()
    assert soon(lambda: not any(alive(worker) for worker in workers())), "a worker stayed behind"


def soon(happens: Callable[[], bool], seconds: float = 30) -> bool:
    end = time.monotonic() + seconds
    while not happens() and time.monotonic() < end:
        time.sleep(0.05)
    return happens()


def alive(process: int) -> bool:
    """Whether it runs; one that ended and was not waited for by whoever took it over does not."""
    try:
        os.kill(process, 0)
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
