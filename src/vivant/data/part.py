"""Bytes on disk that are a file, or a part of one such as a member of a tar file."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Part:
    """A whole file, or ``size`` bytes of it from ``start``."""

    path: Path
    start: int = 0
    size: int | None = None

    def read(self) -> bytes:
        """The bytes."""
        with self.path.open("rb") as stream:
            stream.seek(self.start)
            return stream.read(-1 if self.size is None else self.size)

    def open(self) -> str | io.BytesIO:
        """What readers of files take: the path of a whole file, or the bytes in memory."""
        return str(self.path) if self.size is None else io.BytesIO(self.read())

    def __str__(self) -> str:
        return str(self.path)


def as_part(where: str | os.PathLike[str] | Part) -> Part:
    """A path as the part that is the whole file."""
    return where if isinstance(where, Part) else Part(Path(where))
