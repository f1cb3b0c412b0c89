"""Long work in a thread of its own, with progress and a way to stop it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from vivant.pipelines.progress import listening


class Stopped(BaseException):
    """The visitor cancelled; no Exception, so that nothing takes it for a failure of the work."""


@dataclass(frozen=True)
class Progress:
    """Where work is. ``what``: the step; ``done`` of ``total`` items (None: unknown); ``left``: seconds, or None."""

    what: str = "begin"
    done: int = 0
    total: int | None = None
    left: float | None = None

    def words(self) -> str:
        """For people: ``"render: 30 of 75, 4 s left"``."""
        count = f"{self.done} of {self.total}" if self.total else str(self.done or "")
        left = "" if self.left is None else f"{_time(self.left)} left"
        detail = ", ".join(filter(None, (count, left)))
        return f"{self.what}: {detail}" if detail else f"{self.what} …"


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


class Work:
    """``do()`` in a thread; :meth:`updates` follows it, :meth:`cancel` stops it at the next frame."""

    def __init__(self, do: Callable[[], Any]) -> None:
        self._do = do
        self._stop = threading.Event()
        self._over = threading.Event()
        self._news = threading.Event()
        self._progress = Progress()
        self._step: tuple[str, float] = ("", 0.0)
        self.result: Any = None
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True, name="vivant-work")

    @property
    def running(self) -> bool:
        """Whether it has begun and not ended."""
        return self._thread.is_alive()

    def cancel(self) -> None:
        """Stop at the next frame; unfinished output is removed."""
        self._stop.set()

    def updates(self, every: float = 0.3) -> Iterator[Progress]:
        """Progress at most every so many seconds until the work is over; leaving early cancels it.

        Raises:
            Stopped: it was cancelled. Exception: what the work raised.
        """
        self._thread.start()
        try:
            yield self._progress
            while not self._over.wait(every):
                if self._news.is_set():
                    self._news.clear()
                    yield self._progress
        finally:
            if not self._over.is_set():
                self._stop.set()
        if self.error is not None:
            raise self.error

    def _run(self) -> None:
        try:
            with listening(self._heard):
                self.result = self._do()
        except BaseException as error:  # handed to whoever follows
            self.error = error
        finally:
            self._over.set()

    def _heard(self, what: str, done: int, total: int | None) -> None:
        if self._stop.is_set():
            raise Stopped
        now = time.monotonic()
        if what != self._step[0] or done == 0:
            self._step = (what, now)
        spent = now - self._step[1]
        left = spent / done * (total - done) if total and done and spent > 1 else None
        self._progress = Progress(what, done, total, left)
        self._news.set()
