"""Many independent jobs over processes: results as they come, and no job takes the others down."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar

from vivant.core.engines import LocalEngine

J = TypeVar("J")
R = TypeVar("R")


class Outcome(NamedTuple, Generic[J, R]):
    """A job with its result, or with what went wrong."""

    job: J
    result: R | None
    problem: str


def run_jobs(
    make: Callable[..., Callable[[J], R]], arguments: tuple[Any, ...], jobs: Sequence[J], workers: int
) -> Iterator[Outcome[J, R]]:
    """Do ``jobs`` by a worker that ``make(*arguments)`` makes once in each process; yields outcomes as they come.

    An exception inside a job becomes its problem, and so does the death of its process, which is replaced. With one
    worker everything happens in this process.

    Raises:
        OSError: of a job; a full disk stops the run.
    """
    if workers <= 1 or len(jobs) <= 1:
        worker = make(*arguments)
        for job in jobs:
            with _one_thread():
                outcome = _outcome(worker, job)
            yield outcome
        return
    engine = LocalEngine(min(workers, len(jobs)), partial(_begin, make, arguments))
    yield from engine.run(_work, jobs, lambda job, why: Outcome(job, None, why))


@contextmanager
def _one_thread() -> Iterator[None]:
    """One thread for torch and OpenCV, as in the processes of a pool: sums are then added in the same order."""
    import cv2
    import torch

    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])


def _outcome(worker: Callable[[J], R], job: J) -> Outcome[J, R]:
    try:
        return Outcome(job, worker(job), "")
    except OSError:
        raise
    except Exception as error:
        return Outcome(job, None, _reason(error))


def _reason(error: BaseException) -> str:
    from vivant.core.errors import VivantError

    text = " ".join(str(error).split())
    return text.rstrip(".") if isinstance(error, VivantError) else f"{type(error).__name__}: {text[:160]}"


_worker: Callable[[Any], Any]


def _begin(make: Callable[..., Callable[[Any], Any]], arguments: tuple[Any, ...]) -> None:
    global _worker
    _worker = make(*arguments)


def _work(job: Any) -> Outcome[Any, Any]:
    return _outcome(_worker, job)


def default_workers() -> int:
    """One process for each core that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
