"""Opening video and sound files through PyAV: local files only, and one clear sentence for what is none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
from av.stream import Disposition

from vivant.core.errors import MediaError
from vivant.media.files import existing_file
from vivant.media.image import MAX_PIXELS

# A playlist must not make FFmpeg open other files, wait for them or use the network; any text file passes as text art.
_PLAYLISTS = (b"#EXTM3U", b"ffconcat", b"v=0", b"<?xml", b"<MPD")
# The second limit keeps a forged header from making FFmpeg decode a frame of gigabytes while it looks at the file.
_SAFE = {"protocol_whitelist": "file", "max_pixels": str(MAX_PIXELS)}
_TEXT_ART = ("tty", "bin", "xbin", "adf", "idf")


@contextmanager
def open_container(path: Path) -> Iterator[Any]:
    """An open PyAV input container.

    Raises:
        MediaError: the file is no media that FFmpeg knows, or its header is damaged.
    """
    unknown = f"'{path}' cannot be read as video or sound: it is of an unknown kind, cut short or damaged."
    file = existing_file(path)
    with file.open("rb") as stream:
        if stream.read(16).startswith(_PLAYLISTS):
            raise MediaError(unknown)
    try:
        container = _open(file_url(file))
    except (av.FFmpegError, OSError, ValueError) as error:
        raise MediaError(unknown) from error
    with container:
        if container.format.name in _TEXT_ART:
            raise MediaError(unknown)
        yield container


def _open(url: str) -> Any:
    """PyAV's container. Tags that are not UTF-8 must not stop reading; PyAV 19 takes no word about them any more."""
    try:
        return av.open(url, options=_SAFE, metadata_errors="replace")
    except TypeError:
        return av.open(url, options=_SAFE)


def file_url(path: Path) -> str:
    """A path as FFmpeg takes it for a plain file whatever its name, even with colons."""
    return f"file:{path}"


def video_stream(container: Any) -> Any | None:
    """The first video stream that is no cover picture, or None."""
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            return stream
    return None
