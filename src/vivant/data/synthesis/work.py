"""Many independent jobs over processes: results as they come, and no job takes the others down."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, Generic, NamedTuple, TypeVar

J = TypeVar("J")
R = TypeVar("R")
_AHEAD = 3  # jobs that wait in the pool for each process
_TRIES = 1
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


class Outcome(NamedTuple, Generic[J, R]):
    """A job with its result, or with what went wrong."""

    job: J
    result: R | None
    problem: str


_worker: Callable[[Any], Any] | None = None


def _begin(make: Callable[..., Callable[[Any], Any]], arguments: tuple[Any, ...]) -> None:
    global _worker
    import cv2

    cv2.setNumThreads(1)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    _worker = make(*arguments)


@contextmanager
def _one_thread_for_children() -> Iterator[None]:
    """Libraries of the processes that are started now use one thread each.

    They read the environment when they are loaded, and numpy and torch are loaded while a process unpacks its
    arguments, before :func:`_begin`. Otherwise each of many processes would start a thread for every core.
    """
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


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


def _work(job: Any) -> Any:
    assert _worker is not None
    return _worker(job)


def run_jobs(
    make: Callable[..., Callable[[J], R]], arguments: tuple[Any, ...], jobs: Sequence[J], workers: int
) -> Iterator[Outcome[J, R]]:
    """Do ``jobs`` by a worker that ``make(*arguments)`` makes once in each process; yields outcomes as they come.

    An exception inside a job becomes its problem; a process that dies is replaced, and a job that kills two of them is
    given up. With one worker everything happens in this process.
    """
    if workers <= 1 or len(jobs) <= 1:
        worker = make(*arguments)
        for job in jobs:
            with _one_thread():
                outcome = _here(worker, job)
            yield outcome
        return
    left, tries = list(jobs), 0
    while left:
        doubtful: list[J] = []
        with _one_thread_for_children():
            yield from _pool(make, arguments, left, workers if tries == 0 else 1, doubtful)
        tries += 1
        if tries > _TRIES and doubtful:
            yield Outcome(doubtful[0], None, "the process that worked on it died (out of memory?)")
            doubtful, tries = doubtful[1:], 1
        left = doubtful


def _here(worker: Callable[[J], R], job: J) -> Outcome[J, R]:
    try:
        return Outcome(job, worker(job), "")
    except OSError:
        raise  # a full disk stops the run
    except Exception as error:
        return Outcome(job, None, _reason(error))


def _pool(
    make: Callable[..., Callable[[J], R]],
    arguments: tuple[Any, ...],
    jobs: Sequence[J],
    workers: int,
    doubtful: list[J],
) -> Iterator[Outcome[J, R]]:
    """One pool until it breaks; jobs without an outcome are put into ``doubtful``, the oldest first."""
    waiting = list(jobs)[::-1]
    running: dict[Future[R], J] = {}
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, _begin, (make, arguments))
    try:
        while waiting or running:
            while waiting and len(running) < _AHEAD * workers:
                job = waiting.pop()
                running[pool.submit(_work, job)] = job
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            broken = False
            for future in done:
                if isinstance(future.exception(), BrokenProcessPool):
                    broken = True
                    continue
                yield _outcome(running[future], future)
                del running[future]
            if broken:
                break
    except BrokenProcessPool:  # it broke while jobs were handed out
        waiting.append(job)
    finally:
        doubtful += [*running.values(), *waiting[::-1]]
        pool.shutdown(wait=True, cancel_futures=True)


def _outcome(job: J, future: Future[R]) -> Outcome[J, R]:
    try:
        return Outcome(job, future.result(), "")
    except OSError:
        raise  # a full disk stops the run
    except Exception as error:
        return Outcome(job, None, _reason(error))


def _reason(error: BaseException) -> str:
    from vivant.core.errors import VivantError

    text = " ".join(str(error).split())
    return text.rstrip(".") if isinstance(error, VivantError) else f"{type(error).__name__}: {text[:160]}"


def default_workers() -> int:
    """One process for each core that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
