"""The desk of a server: takes in jobs, shows them to their owners, and keeps house. Knows no HTTP but its refusals."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from anyio import to_thread
from starlette.requests import Request

from vivant.apps.access import known
from vivant.apps.serving.handlers import inspector, loading, placed
from vivant.apps.serving.metrics import Metrics
from vivant.apps.serving.servant import DeadError, Servant, resident_bytes
from vivant.apps.serving.settings import Settings
from vivant.apps.serving.store import DONE, QUEUED, RUNNING, QueueFullError, Row, Store
from vivant.apps.serving.uploads import Form, RefusedError, check_length, check_room, disk_full, is_disk_full, receive
from vivant.apps.serving.workers import Workers, sweep_hidden, without_folder
from vivant.core.errors import ConfigError, LimitError, VivantError
from vivant.pipelines.jobs import GROUPS, INPUTS, SPEECH, VIEW, read_job

WORDS = ("method", "preset", "seed", "format", *GROUPS, *VIEW)
"""What a job may say; files, devices and paths are the server's business."""
FORMATS = {"mp4": "video/mp4", "mkv": "video/x-matroska", "mov": "video/quicktime", "gif": "image/gif",
           "png": "image/png", "jpg": "image/jpeg"}  # fmt: skip
LONGEST_TEXT = 2000
"""Characters that a job may have spoken."""
FASTEST = 60
"""Frames per second that a job may ask for."""
INSPECT_SECONDS = 20.0
SWEEP_SECONDS = 600.0
LOG = logging.getLogger("vivant.serve")


class Desk:
    """One server's jobs. :meth:`open` and :meth:`close` belong to the thread that runs the server."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.metrics = settings, Metrics()
        self.uploads = 0
        self.closing = False
        self._inspecting = threading.Lock()
        self._inspector = Servant(inspector, settings.media)
        self._owners = {token: hashlib.sha256(token.encode()).hexdigest() for token in settings.tokens}

    def open(self) -> None:
        """Take up what the last run left: finished jobs stay, interrupted ones wait again, half uploads go."""
        folder = self.settings.folder
        folder.mkdir(parents=True, exist_ok=True)
        self.store = Store(folder / "jobs.sqlite")
        self.store.recover()
        sweep_hidden(folder, self.store)
        known = self.store.ids()
        for path in folder.iterdir():
            if path.is_dir() and path.name not in known and is_id(path.name):
                shutil.rmtree(path, ignore_errors=True)
        self.workers = Workers(self.settings, self.store, self.metrics)
        self.workers.start()

    def close(self) -> None:
        """Let running jobs end, or have them wait for the next start."""
        self.closing = True
        self.workers.stop()
        self._inspector.kill()
        self.store.close()

    def owner(self, request: Request) -> str:
        """Whose request it is.

        Raises:
            RefusedError: 401, tokens are needed and none of them came.
        """
        if not self._owners:
            return ""
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        token = known(tuple(self._owners), given)
        if kind.lower() != "bearer" or token is None:
            raise RefusedError(401, "A token is needed: send the header Authorization: Bearer TOKEN.")
        return self._owners[token]

    async def take(self, request: Request, owner: str) -> Row:
        """A new job from an upload.

        Raises:
            RefusedError: whatever is wrong with it; nothing of it is kept.
        """
        job = secrets.token_hex(16)
        folder = self.settings.folder / job
        try:
            self._check_open(request)
            self.uploads += 1
            try:
                form = await receive(request, folder, self.settings)
                row = await to_thread.run_sync(self._accept, job, owner, form)
            finally:
                self.uploads -= 1
        except BaseException as error:
            await to_thread.run_sync(partial(shutil.rmtree, folder, ignore_errors=True))
            self.metrics.count("uploads_refused")
            if is_disk_full(error):
                raise disk_full() from error
            raise
        self.metrics.count("uploads")
        self.metrics.count("upload_bytes", form.size)
        self.workers.notify()
        return row

    def _check_open(self, request: Request) -> None:
        if self.closing:
            raise RefusedError(503, "The server is about to stop: try again in a minute.", 60)
        if self.uploads >= self.settings.uploads:
            raise RefusedError(429, "Too many uploads at the same time: try again soon.", 2)
        if self.store.counts()[QUEUED] >= self.settings.queue:
            raise self._queue_full()
        check_length(request, self.settings)
        said = int(request.headers.get("content-length", 0))
        check_room(self.settings, self.store.stored_bytes(), said)

    def _queue_full(self) -> RefusedError:
        seconds = (self.metrics.mean_seconds() or 5.0) / self.settings.workers
        return RefusedError(429, "The queue is full: try again later.", min(600.0, max(1.0, seconds)))

    def _accept(self, job: str, owner: str, form: Form) -> Row:
        words = self._checked(form)
        check_room(self.settings, self.store.stored_bytes(), form.size)
        for role, ending in self._inspect(form).items():
            path = form.files[role]
            if ending:
                path.rename(path.with_name(path.name + ending))
            words[role] = path.name + ending
        try:
            self.store.add(job, owner, words, form.size, self.settings.queue)
        except QueueFullError:
            raise self._queue_full() from None
        row = self.store.get(job)
        assert row is not None
        return row

    def _checked(self, form: Form) -> dict[str, Any]:
        """The job's words, complete and checked without opening a file."""
        return checked_words(self.settings, form.files, form.words)

    def _inspect(self, form: Form) -> dict[str, str]:
        """Have the files looked at, in a process that may crash or hang without harm."""
        place = next(iter(form.files.values())).parent
        with self._inspecting:
            try:
                if not self._inspector.alive:
                    self._inspector.start(INSPECT_SECONDS * 3)
                files = {role: str(path) for role, path in form.files.items()}
                found: dict[str, str] = self._inspector.ask(files, INSPECT_SECONDS)
                return found
            except LimitError as error:
                raise RefusedError(413, without_folder(str(error), place)) from None
            except VivantError as error:
                raise RefusedError(422, without_folder(str(error), place)) from None
            except DeadError:
                raise RefusedError(422, "The files cannot be read in reasonable time: they may be damaged.") from None

    def find(self, job: str, owner: str) -> Row:
        """A job of an owner.

        Raises:
            RefusedError: 404, also for jobs of others: that they exist is nobody's business.
        """
        row = self.store.get(job) if is_id(job) else None
        if row is None or not hmac.compare_digest(row.owner, owner):
            raise RefusedError(404, "There is no such job: check its id.")
        return row

    async def wait(self, job: str, owner: str, seconds: float) -> Row:
        """As :meth:`find`, after at most ``seconds``, or as soon as the job has ended."""
        until = time.monotonic() + seconds
        while True:
            row = self.find(job, owner)
            if row.state not in (QUEUED, RUNNING) or time.monotonic() >= until or self.closing:
                return row
            await asyncio.sleep(0.2)

    def result(self, row: Row, record: bool = False) -> Path:
        """The file of a finished job, or its run record.

        Raises:
            RefusedError: 409, it is not finished; 404, somebody removed its file.
        """
        if row.state != DONE:
            raise RefusedError(409, f"The job is {row.state}, so there is no result. {row.problem}".strip())
        path = self.settings.folder / row.id / (row.request["output"] + (".json" if record else ""))
        if not path.is_file():
            raise RefusedError(404, "The file of the job is gone: it was removed on the server.")
        return path

    def cancel(self, row: Row) -> None:
        """Cancel a job that waits or runs; one that has ended stays as it is."""
        if not self.store.cancel(row.id):
            self.workers.cancel(row.id)

    def retry(self, row: Row) -> None:
        """Try a failed or cancelled job again.

        Raises:
            RefusedError: 409, it is neither.
        """
        if not self.store.retry(row.id):
            raise RefusedError(409, f"The job is {row.state}: only failed and cancelled jobs can be tried again.")
        self.workers.notify()

    def delete(self, row: Row) -> None:
        """Cancel if need be, and forget the job with its files."""
        self.store.hide(row.id)
        self.cancel(row)
        sweep_hidden(self.settings.folder, self.store)

    def sweep(self) -> None:
        """Delete what ended too long ago."""
        if self.settings.keep_seconds > 0:
            for row in self.store.older(time.time() - self.settings.keep_seconds):
                self.delete(row)

    def memory(self) -> list[tuple[str, int]]:
        """Bytes by process."""
        workers = [(f"worker-{number}", size) for number, size in enumerate(self.workers.memory())]
        return [("server", resident_bytes(os.getpid())), ("inspector", self._inspector.memory), *workers]


def checked_words(settings: Settings, files: dict[str, Path], given: dict[str, Any]) -> dict[str, Any]:
    """A job's words from those a client sent, with the server's own, everything checked but the files' content.

    Raises:
        RefusedError: 422 with one sentence.
    """
    try:
        for name in given:
            if name not in WORDS:
                raise ConfigError(f"There is no word of a job '{name:.40}': known are {', '.join(WORDS)}.")
        words = {name: value for name, value in given.items() if name != "format"}
        check_speech(words)
        driven = "text" in words or any(role in files for role in INPUTS if role != "source")
        ending = given.get("format", "mp4" if driven else "png")
        if not isinstance(ending, str) or ending not in FORMATS:
            raise ConfigError(f"The format '{ending!s:.20}' is unknown: use one of {', '.join(FORMATS)}.")
        if not driven and not words.get("sliders"):
            raise ConfigError("Nothing drives the portrait: send a file driving or audio, text, or sliders.")
        served = settings.find(words.get("method"), words.get("preset"), _roles(files, words))
        words |= loading(settings, served.method, served.preset)
        words |= {role: path.name for role, path in files.items()} | {"output": f"result.{ending}"}
        job = read_job(placed(words, Path("/")))
        from vivant.pipelines.inputs import as_fps

        if (as_fps(job.view.get("fps")) or 1) > FASTEST:
            raise ConfigError(f"A job may ask for at most {FASTEST} frames per second.")
    except VivantError as error:
        raise RefusedError(422, str(error)) from None
    return words


def _roles(files: Iterable[str], words: Mapping[str, Any]) -> set[str]:
    """What drives a job."""
    roles = {role for role in files if role != "source"}
    return roles | ({"audio"} if "text" in words else set()) | ({"sliders"} if words.get("sliders") else set())


def check_speech(words: dict[str, Any]) -> None:
    """Refuse text that is too long, and voices that are no names: some engines would take them for paths.

    Raises:
        ConfigError: either.
    """
    for name in SPEECH:
        value = words.get(name, "")
        if not isinstance(value, str) or len(value) > LONGEST_TEXT:
            raise ConfigError(f"The {name} of a job is text of at most {LONGEST_TEXT} characters.")
        if name != "text" and not re.fullmatch(r"[A-Za-z0-9:_+-]{0,60}", value):
            raise ConfigError(f"The {name} '{value:.60}' is no name: see vivant animate --help.")


def is_id(text: str) -> bool:
    """Whether it is what the desk makes as a job's id."""
    return len(text) == 32 and set(text) <= set("0123456789abcdef")
