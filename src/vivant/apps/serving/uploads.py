"""Uploads: multipart forms are written to disk as they come, within limits; nothing a client sends names a file."""

from __future__ import annotations

import asyncio
import errno
import json
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from anyio import to_thread
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from vivant.apps.serving.settings import MB, Settings
from vivant.pipelines.jobs import INPUTS

WORDS = "job"
MOST_WORDS = 64 * 1024
"""Bytes of the field with the job's words."""
_PIECE = 1 << 20
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class RefusedError(Exception):
    """An answer other than success. ``status``: of HTTP; ``text``: one sentence; ``retry``: seconds until it may go
    better."""

    def __init__(self, status: int, text: str, retry: float | None = None) -> None:
        super().__init__(text)
        self.status, self.text, self.retry = status, text, retry


def disk_full() -> RefusedError:
    """The answer when there is no room."""
    return RefusedError(507, "The server's disk is full: try again later, or delete finished jobs.", 60)


def is_disk_full(error: BaseException) -> bool:
    """Whether an error says that there is no room."""
    if isinstance(error, sqlite3.OperationalError):
        return "full" in str(error) or "disk I/O" in str(error)
    return isinstance(error, OSError) and error.errno in DISK_ERRORS


@dataclass
class Form:
    """What was received: file by role, and the job's words."""

    files: dict[str, Path] = field(default_factory=dict)
    words: dict[str, Any] = field(default_factory=dict)
    size: int = 0


async def receive(request: Request, folder: Path, settings: Settings) -> Form:
    """The form of a request, its files in ``folder``, which is made.

    Raises:
        RefusedError: no form, an unknown or doubled field, too many bytes, too slow, or the client left.
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != b"multipart/form-data" or b"boundary" not in options:
        raise RefusedError(
            415, "Send a form (multipart/form-data) with the files source, driving or audio, the field job."
        )
    check_length(request, settings)
    receiver = _Receiver(folder, settings)
    try:
        await to_thread.run_sync(partial(folder.mkdir, parents=True))
        parser = MultipartParser(options[b"boundary"], receiver.callbacks())
        async with asyncio.timeout(settings.upload_seconds):
            async for piece in _pieces(request, settings.idle_seconds):
                await to_thread.run_sync(parser.write, piece)
        await to_thread.run_sync(receiver.end)
    except TimeoutError:
        raise RefusedError(408, "The upload was too slow and was dropped: send it again.") from None
    except ClientDisconnect:
        raise RefusedError(400, "The client left before the upload was complete.") from None
    except FormParserError as error:
        raise RefusedError(400, f"The form is damaged ({error}): send it again.") from None
    finally:
        receiver.close()
    return receiver.form


def check_length(request: Request, settings: Settings) -> None:
    """Refuse what says beforehand that it is too large.

    Raises:
        RefusedError: 413.
    """
    said = request.headers.get("content-length", "0")
    if not said.isdecimal() or int(said) > len(INPUTS) * settings.file_bytes + _PIECE:
        raise RefusedError(
            413, f"The upload is larger than {settings.file_bytes / MB:g} MB a file: send smaller files."
        )


def check_room(settings: Settings, stored: int, coming: int) -> None:
    """Refuse what there is no room for.

    Raises:
        RefusedError: 507.
    """
    if shutil.disk_usage(settings.folder).free - coming < settings.free_bytes:
        raise disk_full()
    if 0 < settings.storage_bytes < stored + coming:
        raise disk_full()


async def _pieces(request: Request, idle: float) -> AsyncIterator[bytes]:
    """The body in pieces of about 1 MiB, so that writing costs few changes of thread."""
    waiting = bytearray()
    stream = request.stream().__aiter__()
    while True:
        try:
            waiting += await asyncio.wait_for(anext(stream), idle)
        except StopAsyncIteration:
            break
        if len(waiting) >= _PIECE:
            yield bytes(waiting)
            waiting.clear()
    yield bytes(waiting)


class _Receiver:
    """Callbacks of the parser: parts go to files named by their role, the job's words to memory."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.form, self._folder, self._settings = Form(), folder, settings
        self._file: BinaryIO | None = None
        self._words: bytearray | None = None
        self._header, self._value = bytearray(), bytearray()
        self._name, self._part_size, self._complete = "", 0, False

    def callbacks(self) -> Any:
        """As the parser wants them."""
        named: dict[str, Callable[..., None]] = {
            "on_part_begin": self._begin, "on_header_field": self._field, "on_header_value": self._add_value,
            "on_header_end": self._header_end, "on_headers_finished": self._open, "on_part_data": self._data,
            "on_part_end": self._end_part, "on_end": self._end,
        }  # fmt: skip
        return named

    def _begin(self) -> None:
        self._name, self._part_size = "", 0

    def _field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _add_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if bytes(self._header).lower() == b"content-disposition":
            _, options = parse_options_header(bytes(self._value))
            self._name = options.get(b"name", b"").decode("utf-8", "replace")
        self._header.clear()
        self._value.clear()

    def _open(self) -> None:
        if self._name not in (*INPUTS, WORDS):
            known = ", ".join((*INPUTS, WORDS))
            raise RefusedError(422, f"There is no field '{self._name:.40}' in the form: known fields are {known}.")
        if self._name in self.form.files or (self._name == WORDS and self._words is not None):
            raise RefusedError(422, f"The field '{self._name}' comes twice: send it once.")
        if self._name == WORDS:
            self._words = bytearray()
            return
        self.form.files[self._name] = self._folder / self._name
        self._file = self.form.files[self._name].open("xb")

    def _data(self, data: bytes, start: int, end: int) -> None:
        self._part_size += end - start
        if self._name == WORDS:
            if self._part_size > MOST_WORDS or self._words is None:
                raise RefusedError(413, f"The field job is longer than {MOST_WORDS // 1024} KiB.")
            self._words += data[start:end]
            return
        if self._part_size > self._settings.file_bytes:
            limit = self._settings.file_bytes / MB
            raise RefusedError(413, f"The {self._name} is larger than the {limit:g} MB accepted: send a smaller file.")
        assert self._file is not None
        self._file.write(data[start:end])

    def _end_part(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
            self.form.size += self._part_size

    def _end(self) -> None:
        self._complete = True

    def end(self) -> None:
        """The body is over."""
        if not self._complete:
            raise RefusedError(400, "The upload was cut short: send it again.")
        try:
            words = json.loads(bytes(self._words or b"{}"))
        except (ValueError, RecursionError):
            raise RefusedError(
                422, 'The field job is not JSON: send an object such as {"strength": {"motion": 0.8}}.'
            ) from None
        if not isinstance(words, dict):
            raise RefusedError(422, "The field job is no object: send names and values.")
        self.form.words = words

    def close(self) -> None:
        """Close the file that was being written, if any."""
        if self._file is not None:
            self._file.close()
            self._file = None
