"""Who does the work: processes of this machine, or a Ray cluster. Both take a function and jobs, and give what came of
each as it comes; jobs keep their own results in files, so an engine that stops loses nothing that was finished."""

from __future__ import annotations

import multiprocessing
import os
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from vivant.core.errors import ConfigError, MissingExtraError

JobT = TypeVar("JobT")
Result = TypeVar("Result")
TRIES = 3
"""How often a job may lose its worker before it is given up."""
GIVEN_UP = f"its worker died {TRIES} times, for example for want of memory"
_THREADS = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENCV_FOR_THREADS_NUM",
)  # fmt: skip


class Engine(Protocol):
    """Does jobs somewhere."""

    def run(
        self, work: Callable[[JobT], Result], jobs: Sequence[JobT], lost: Callable[[JobT, str], Result]
    ) -> Iterator[Result]:
        """``work`` of every job, in any order. ``lost``: what to say of a job whose worker died :data:`TRIES` times.

        Raises:
            Exception: what ``work`` raised; the jobs finished before stay finished.
        """


class LocalEngine:
    """A pool of processes that use one thread each. When one dies (killed, out of memory, a crash in a decoder) the
    pool is made anew; the jobs that were in it are then done one at a time, so that the one that kills workers is known
    and no other suffers. When this process dies, however it dies, they leave."""

    def __init__(self, workers: int | None = None, begin: Callable[[], None] | None = None) -> None:
        """``workers``: processes, one a core by default; 1 works in this process. ``begin``: what each process of the
        pool does first, to keep what all its jobs need.

        Raises:
            ConfigError: less than 1.
        """
        if workers is not None and workers < 1:
            raise ConfigError(f"{workers} workers can do nothing: give 1 or more.")
        self.workers, self._begin = workers or os.cpu_count() or 1, begin

    def run(
        self, work: Callable[[JobT], Result], jobs: Sequence[JobT], lost: Callable[[JobT, str], Result]
    ) -> Iterator[Result]:
        """As :class:`Engine`."""
        if self.workers == 1 or len(jobs) < 2:
            yield from map(work, jobs)
            return
        waiting, tries = deque(range(len(jobs))), [0] * len(jobs)
        suspects: deque[int] = deque()
        while waiting or suspects:
            batch, most = (waiting, self.workers) if not suspects else (deque([suspects.popleft()]), 1)
            failed = yield from _until_broken(work, jobs, batch, most, self._begin)
            for number in failed:
                tries[number] += 1
                if tries[number] >= TRIES:
                    yield lost(jobs[number], GIVEN_UP)
                else:
                    suspects.append(number)


def _until_broken(
    work: Callable[[JobT], Result],
    jobs: Sequence[JobT],
    waiting: deque[int],
    workers: int,
    begin: Callable[[], None] | None,
) -> Any:  # a generator that yields results and returns the numbers of jobs that were in a pool that broke
    running: dict[Future[Result], int] = {}
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start, initargs=(begin,))
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                number = waiting.popleft()
                with _one_thread_for_children():  # a pool starts its processes as jobs come
                    running[pool.submit(work, jobs[number])] = number
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                if isinstance(future.exception(), BrokenProcessPool):
                    continue
                del running[future]
                yield future.result()
            if any(isinstance(future.exception(), BrokenProcessPool) for future in running if future.done()):
                return sorted(running.values())
    except BrokenProcessPool:
        return sorted({*running.values(), number})
    finally:
        pool.shutdown(wait=True, cancel_futures=True)  # of a stopped run, too, what was begun is finished and kept
    return []


@contextmanager
def _one_thread_for_children() -> Iterator[None]:
    """Libraries of the processes that are started now use one thread each, there may be as many processes as cores.

    Libraries read the environment when they are loaded, and numpy and torch are loaded while a process unpacks what it
    is given, before any function of ours runs there.
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


def _start(begin: Callable[[], None] | None) -> None:
    end_with_parent()
    if begin is not None:
        begin()


def end_with_parent() -> None:
    """From now on this process ends when its parent does.

    A worker waits for jobs at a pipe whose other end its siblings hold, too, so it does not notice that the parent was
    killed; it would stay for ever, with all its memory.
    """
    parent = multiprocessing.parent_process()

    def wait_and_leave() -> None:
        assert parent is not None
        parent.join()
        os._exit(1)

    if parent is not None:
        threading.Thread(target=wait_and_leave, name="end with parent", daemon=True).start()


class RayEngine:
    """Ray Data over a cluster: ``ray start`` on the machines, or a local cluster if none runs. The work folder and the
    videos must lie where all machines see them under the same path. Ray does a job again whose worker died, up to
    :data:`TRIES` times in all; then it is lost, and the others go on."""

    def __init__(self, workers: int | None = None, address: str | None = None, gpus: float = 0.0) -> None:
        """``workers``: jobs at the same time, as many as the cluster has cores by default. ``address``: of a running
        cluster, "auto" for the one of this machine, None to start a local one. ``gpus``: that a job holds.

        Raises:
            MissingExtraError: Ray is not installed. ConfigError: nothing answers at the address.
        """
        try:
            import ray
        except ImportError:
            raise MissingExtraError("ray[data]", "ray", "Working on a Ray cluster") from None
        self.workers, self.gpus = workers, gpus
        if ray.is_initialized():
            return
        options: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
        if address is None:
            options |= {"num_cpus": workers or os.cpu_count(), "include_dashboard": False}
        else:
            _knock(address)
        try:
            ray.init(address, **options)
        except (ConnectionError, ValueError) as error:
            raise ConfigError(_NO_CLUSTER.format(address)) from error

    def run(
        self, work: Callable[[JobT], Result], jobs: Sequence[JobT], lost: Callable[[JobT, str], Result]
    ) -> Iterator[Result]:
        """As :class:`Engine`."""
        import ray

        if not jobs:
            return
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        context.max_errored_blocks = -1  # a job whose worker keeps dying does not stop the others

        def one(row: dict[str, Any]) -> dict[str, Any]:
            try:
                return {"number": row["number"], "done": work(row["job"]), "error": None}
            except Exception as error:  # what the work itself raises ends the run, and is not tried again
                return {"number": row["number"], "done": None, "error": error}

        items = [{"number": number, "job": job} for number, job in enumerate(jobs)]
        rows = ray.data.from_items(items, override_num_blocks=len(jobs))
        gpus = self.gpus or None
        done = rows.map(one, num_cpus=1, num_gpus=gpus, concurrency=self.workers, max_retries=TRIES - 1)
        missing = set(range(len(jobs)))
        for row in done.iter_rows():
            if row["error"] is not None:
                raise row["error"]
            missing.discard(row["number"])
            yield row["done"]
        for number in sorted(missing):
            yield lost(jobs[number], GIVEN_UP)


_NO_CLUSTER = "No Ray cluster answers at '{}': call ray start, or give the HOST:PORT of its head."


def _knock(address: str, seconds: float = 10.0) -> None:
    """Refuse an address where nothing listens; Ray itself would try for many minutes.

    Raises:
        ConfigError: nothing listens there.
    """
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if not colon or not port.isdigit():
        return  # "auto" and other words, which Ray looks up at once
    try:
        socket.create_connection((host.strip("[]"), int(port)), seconds).close()
    except (OSError, OverflowError) as error:
        raise ConfigError(_NO_CLUSTER.format(address)) from error


def make_engine(name: str, workers: int | None = None, address: str | None = None, gpus: float = 0.0) -> Engine:
    """The engine ``local`` or ``ray``; ``gpus``: that a job on Ray holds.

    Raises:
        ConfigError: another name. MissingExtraError: Ray is not installed.
    """
    if name == "local":
        return LocalEngine(workers)
    if name == "ray":
        return RayEngine(workers, address, gpus)
    raise ConfigError(f"There is no engine '{name}': use local or ray.")
