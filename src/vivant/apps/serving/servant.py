"""A servant: a process of its own that answers one request after the other, and can be killed and made anew.

What touches strangers' files or may take too long (decoders, nets) runs in servants; the server itself only moves
bytes. A servant ends by itself when the server is gone.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from vivant.core.engines import end_with_parent
from vivant.core.errors import VivantError

Tell = Callable[[Any], None]
"""Sends news of the request that is answered; raises :class:`CancelError` when it is not wanted any more."""
Handler = Callable[[Any, Tell], Any]
READY, NEWS, DONE, FAILED, BROKEN = "ready", "news", "done", "failed", "broken"
CANCEL = "cancel"
_PAGE = 4096


class CancelError(Exception):
    """The request is not wanted any more."""


class DeadError(Exception):
    """The servant is gone: killed, crashed, or out of memory."""


class Servant:
    """``make(*arguments)`` is called in the new process and gives the function that answers requests; both must be
    importable there. Used by one thread at a time."""

    def __init__(self, make: Callable[..., Handler], *arguments: Any) -> None:
        self._make, self._arguments = make, arguments
        self._process: Any = None
        self._pipe: Connection | None = None

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.is_alive()

    @property
    def memory(self) -> int:
        """Bytes that the process holds in memory, 0 where the system does not say."""
        return resident_bytes(self._process.pid) if self.alive else 0

    def start(self, seconds: float) -> None:
        """Make the process and wait until it can answer.

        Raises:
            DeadError: it did not come up in ``seconds``. VivantError: what kept it from coming up.
        """
        self.kill()
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, self._make, self._arguments), daemon=True)
        self._process.start()
        theirs.close()
        kind, value = self._awaited(seconds)
        if kind == FAILED:
            self.kill()
            raise value
        if kind != READY:
            self.kill()
            raise DeadError

    def send(self, message: Any) -> None:
        """A request, or :data:`CANCEL`.

        Raises:
            DeadError: the process is gone.
        """
        try:
            assert self._pipe is not None
            self._pipe.send(message)
        except (OSError, ValueError, AssertionError) as error:
            raise DeadError from error

    def receive(self, seconds: float) -> tuple[str, Any] | None:
        """The next message, None if none comes in time.

        Raises:
            DeadError: the process is gone.
        """
        try:
            assert self._pipe is not None
            return self._pipe.recv() if self._pipe.poll(seconds) else None
        except (EOFError, OSError, AssertionError) as error:
            raise DeadError from error

    def _awaited(self, seconds: float) -> tuple[str, Any]:
        return self.receive(seconds) or (BROKEN, None)

    def ask(self, request: Any, seconds: float) -> Any:
        """The answer to one request.

        Raises:
            DeadError: none came in time (the process is then killed), or the process is gone.
            VivantError: what the handler raised.
        """
        self.send(request)
        try:
            kind, value = self._awaited(seconds)
        except DeadError:
            self.kill()
            raise
        if kind == FAILED:
            raise value
        if kind != DONE:
            self.kill()
            raise DeadError
        return value

    def kill(self) -> None:
        """End the process at once."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process.close()
            self._process = None
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None


def resident_bytes(pid: int) -> int:
    """Bytes that a process holds in memory, 0 where the system does not say."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * _PAGE
    except (OSError, IndexError, ValueError):
        return 0


def _serve(pipe: Connection, make: Callable[..., Handler], arguments: tuple[Any, ...]) -> None:
    """The servant's life."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the server decides when servants end
    end_with_parent()
    try:
        handler = make(*arguments)
    except VivantError as error:
        pipe.send((FAILED, error))
        return
    pipe.send((READY, None))
    while True:
        try:
            request = pipe.recv()
        except EOFError:
            return
        if request != CANCEL:  # one that came after its request had been answered
            _answer(pipe, handler, request)


def _answer(pipe: Connection, handler: Handler, request: Any) -> None:
    def tell(news: Any) -> None:
        pipe.send((NEWS, news))
        if pipe.poll() and pipe.recv() == CANCEL:
            raise CancelError

    try:
        pipe.send((DONE, handler(request, tell)))
    except CancelError as error:
        pipe.send((FAILED, error))
    except VivantError as error:
        pipe.send((FAILED, type(error)(*error.args) if _plain(error) else VivantError(str(error))))
    except Exception as error:  # one request's accident, told and survived
        pipe.send((FAILED, VivantError(f"Unexpected {type(error).__name__}: {' '.join(str(error).split())}"[:500])))


def _plain(error: VivantError) -> bool:
    """Whether the error can be made again from its sentence, as sending it does."""
    return len(error.args) == 1 and type(error).__init__ is Exception.__init__
