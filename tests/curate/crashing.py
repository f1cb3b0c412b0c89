"""Jobs for the tests of engines; they run in other processes, so they live in a module that can be imported there."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from vivant.core.engines import LocalEngine


def work(job: tuple[str, str, int]) -> str:
    """Note that the job ran, and die if it is a bad one: always ("always"), or the first time ("once")."""
    folder, kind, number = job
    notes = Path(folder)
    (notes / f"{number}-{os.getpid()}-{len(list(notes.iterdir()))}").touch()
    first = len(list(notes.glob(f"{number}-*"))) == 1
    if kind == "always" or (kind == "once" and first):
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "error":
        raise ValueError("setup")
    return f"done {number}"


def lost(job: tuple[str, str, int], why: str) -> str:
    return f"lost {job[2]}: {why}"


def wait_for_ever(job: str) -> None:
    """Note the process and never come back."""
    Path(job, str(os.getpid())).touch()
    time.sleep(600)


if __name__ == "__main__":  # a parent that is killed while its workers work
    list(LocalEngine(2).run(wait_for_ever, [sys.argv[1]] * 3, lambda job, why: None))
