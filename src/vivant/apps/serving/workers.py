"""Workers: one thread each, which takes jobs from the store, has a servant do them, and watches over it."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vivant.apps.serving.handlers import animator
from vivant.apps.serving.metrics import Metrics
from vivant.apps.serving.servant import CANCEL, DONE, FAILED, NEWS, CancelError, DeadError, Servant
from vivant.apps.serving.settings import Settings
from vivant.apps.serving.store import CANCELLED, TRIES, Row, Store
from vivant.apps.serving.store import DONE as JOB_DONE
from vivant.apps.serving.store import FAILED as JOB_FAILED
from vivant.core.errors import VivantError

LOOK_SECONDS = 0.2
START_SECONDS = 300.0
CANCEL_SECONDS = 5.0
"""For a servant to stop by itself; then it is killed."""


@dataclass
class Running:
    """A job in the hands of a worker. Times by the monotonic clock."""

    began: float
    what: str = "start"
    done: int = 0
    total: int | None = None
    phase_began: float = 0.0
    cancel_sent: float | None = None

    def news(self, what: str, done: int, total: int | None) -> None:
        """Take over what the servant told."""
        if what != self.what:
            self.phase_began = time.monotonic()
        self.what, self.done, self.total = what, done, total

    def seconds_left(self) -> float | None:
        """Of this phase, by its speed so far."""
        if not self.done or not self.total:
            return None
        return max(0.0, (time.monotonic() - self.phase_began) / self.done * (self.total - self.done))


@dataclass
class Workers:
    """All workers of a server."""

    settings: Settings
    store: Store
    metrics: Metrics
    running: dict[str, Running] = field(default_factory=dict)
    unwanted: set[str] = field(default_factory=set)
    wake: threading.Condition = field(default_factory=threading.Condition)
    stopping: bool = False
    stop_at: float = 0.0
    threads: list[Worker] = field(default_factory=list)

    def start(self) -> None:
        """Begin to work; returns at once, the servants come up meanwhile."""
        self.threads = [Worker(self, number) for number in range(self.settings.workers)]
        for thread in self.threads:
            thread.start()

    def notify(self) -> None:
        """There is a new job, or something else to look at."""
        with self.wake:
            self.wake.notify_all()

    def cancel(self, job: str) -> None:
        """Cancel a job that runs, or is just about to."""
        self.unwanted.add(job)

    def stop(self) -> None:
        """Let running jobs end for ``grace_seconds``, then have them wait for the next start."""
        self.stop_at = time.monotonic() + self.settings.grace_seconds
        self.stopping = True
        self.notify()
        for thread in self.threads:
            thread.join()

    def ready(self) -> int:
        """Workers whose servant is up."""
        return sum(thread.ready for thread in self.threads)

    def memory(self) -> list[int]:
        """Bytes that each servant holds."""
        return [thread.servant.memory if thread.ready else 0 for thread in self.threads]


class Worker(threading.Thread):
    """Takes one job after the other."""

    def __init__(self, all_workers: Workers, number: int) -> None:
        super().__init__(name=f"worker-{number}", daemon=True)
        self.all, self.settings, self.store = all_workers, all_workers.settings, all_workers.store
        self.servant = Servant(animator, self.settings)
        self.ready = False
        self.problem = ""

    def run(self) -> None:
        """Until the server stops."""
        while not self.all.stopping:
            try:
                self._turn()
            except Exception as error:  # a full disk under the store, for example: wait, and try again
                self.problem = f"{type(error).__name__}: {error}"
                time.sleep(1)
        self.ready = False
        self.servant.kill()

    def _turn(self) -> None:
        if not self.servant.alive and not self._raise_servant():
            return
        row = self.store.claim()
        if row is None:
            with self.all.wake:
                self.all.wake.wait(1.0)
            return
        self.all.running[row.id] = Running(time.monotonic())
        try:
            self._work(row)
        finally:
            del self.all.running[row.id]
            self.all.unwanted.discard(row.id)

    def _raise_servant(self) -> bool:
        self.ready = False
        try:
            self.servant.start(START_SECONDS)
            self.ready, self.problem = True, ""
        except (DeadError, VivantError) as error:
            self.problem = str(error) or "The worker process did not come up."
            time.sleep(1)
        return self.ready

    def _work(self, row: Row) -> None:
        folder = self.settings.folder / row.id
        try:
            self.servant.send((str(folder), row.request))
            kind, value = self._watch(row)
        except DeadError:
            self._lost(row)
            return
        if kind == DONE:
            size = _size(folder, row.request["output"])
            self._finish(row, JOB_DONE, **value, more_bytes=size)
            self.all.metrics.made(value["seconds"], value["frames"])
        elif isinstance(value, CancelError):
            self._finish(row, CANCELLED)
        else:
            self._finish(row, JOB_FAILED, " ".join(without_folder(str(value), folder).split()))

    def _watch(self, row: Row) -> tuple[str, Any]:
        """Pump messages until the job ends in one way or another; a servant that must be killed is.

        Raises:
            DeadError: the servant is gone, or the server stops and its patience is over.
        """
        running = self.all.running[row.id]
        while True:
            message = self.servant.receive(LOOK_SECONDS)
            if message is not None and message[0] == NEWS:
                running.news(*message[1])
            elif message is not None and message[0] in (DONE, FAILED):
                return message
            if row.id in self.all.unwanted and running.cancel_sent is None:
                self.servant.send(CANCEL)
                running.cancel_sent = time.monotonic()
            why = self._must_end(running)
            if why is not None:
                self.servant.kill()
                self.all.metrics.count("worker_restarts")
                return FAILED, why
            if self.all.stopping and time.monotonic() > self.all.stop_at:
                raise DeadError

    def _must_end(self, running: Running) -> Exception | None:
        """Why the servant must be killed now, None if it need not."""
        now = time.monotonic()
        if running.cancel_sent is not None and now - running.cancel_sent > CANCEL_SECONDS:
            return CancelError()
        if now - running.began > self.settings.job_seconds:
            return VivantError(f"It took longer than {self.settings.job_seconds:g} s: cut the input.")
        if 0 < self.settings.memory_bytes < self.servant.memory:
            limit = self.settings.memory_bytes / 1e9
            return VivantError(f"It needed more than {limit:g} GB of memory: give smaller inputs.")
        return None

    def _lost(self, row: Row) -> None:
        """The servant died in this job, or the server stops."""
        self.servant.kill()
        if self.all.stopping:
            self.store.requeue(row.id, count=False)
            return
        self.all.metrics.count("worker_restarts")
        if row.tries >= TRIES:
            why = f"Its worker died {TRIES} times, for example for want of memory: give smaller inputs."
            self._finish(row, JOB_FAILED, why)
        else:
            self.store.requeue(row.id)

    def _finish(self, row: Row, state: str, problem: str = "", **made: Any) -> None:
        _patiently(lambda: self.store.finish(row.id, state, problem, **made))
        self.all.metrics.count(f"jobs_{state}")
        sweep_hidden(self.settings.folder, self.store)


def without_folder(text: str, folder: Path) -> str:
    """A sentence without the server's own paths."""
    return text.replace(f"{folder}/", "")


def sweep_hidden(folder: Path, store: Store) -> None:
    """Remove what was deleted while it ran."""
    for row in store.hidden():
        shutil.rmtree(folder / row.id, ignore_errors=True)
        store.forget(row.id)


def _size(folder: Path, output: str) -> int:
    files = (folder / output, folder / f"{output}.json")
    return sum(file.stat().st_size for file in files if file.exists())


def _patiently(write: Callable[[], None]) -> None:
    """Write to the store; when the disk is full, wait for room: a finished job must not be forgotten."""
    for attempt in range(60):
        try:
            write()
            return
        except Exception:
            if attempt == 59:
                raise
            time.sleep(0.5)
