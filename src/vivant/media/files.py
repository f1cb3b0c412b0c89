"""Paths in and out: checks before reading, and output that appears whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path
from types import TracebackType

from vivant.core.errors import MediaError

PathLike = str | os.PathLike[str]


class DamagedMediaWarning(UserWarning):
    """A file is damaged: what could be read of it was delivered, and the message says how much."""


def existing_path(path: PathLike) -> Path:
    """``path`` if something is there.

    Raises:
        MediaError: nothing is there, or the system refuses to look.
    """
    try:
        found = Path(path)
        found.stat()
    except FileNotFoundError as error:
        raise MediaError(f"There is no file '{path}': check the path.") from error
    except (OSError, ValueError) as error:
        raise MediaError(f"'{path}' cannot be opened ({reason(error)}): check the path and permissions.") from error
    return found


def existing_file(path: PathLike) -> Path:
    """``path`` if it is a file that can be opened and is not empty.

    Raises:
        MediaError: missing, a directory, unreadable or empty.
    """
    found = existing_path(path)
    if found.is_dir():
        raise MediaError(f"'{path}' is a directory: give the path of a file.")
    try:
        with found.open("rb") as stream:
            first = stream.read(1)
    except OSError as error:
        raise MediaError(f"'{path}' cannot be opened ({reason(error)}): check the permissions.") from error
    if not first:
        raise MediaError(f"'{path}' is empty: copy or download the file again.")
    return found


def reason(error: BaseException) -> str:
    """The system's few words on an error, without numbers and paths."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).strip().rstrip(".")


class Staged:
    """An output that is written under a temporary name beside its target and renamed when it is whole.

    ``temporary``: where to write. Call :meth:`commit` when done, :meth:`discard` on any failure; a target that was
    there before stays as it was until the commit. ``folder``: the output is a folder of files.
    """

    def __init__(self, target: PathLike, folder: bool = False) -> None:
        self.target = Path(target)
        self.folder = folder
        self.temporary = self.target.with_name(f".{self.target.name[:40]}.{secrets.token_hex(4)}.part")
        self._check_target()
        self._check_writable()

    def _check_target(self) -> None:
        if self.folder:
            if self.target.exists() and not self.target.is_dir():
                raise MediaError(f"'{self.target}' is a file, not a folder: choose another output path.")
            if self.target.is_dir() and any(self.target.iterdir()):
                raise MediaError(f"The folder '{self.target}' is not empty: choose a new or an empty folder.")
        elif self.target.is_dir():
            raise MediaError(f"The output '{self.target}' is a directory: give the path of a file.")

    def _check_writable(self) -> None:
        try:
            self.target.parent.mkdir(parents=True, exist_ok=True)
            self._create()
        except (OSError, ValueError) as error:
            folder = self.target.parent
            raise MediaError(
                f"Nothing can be written in the folder '{folder}' ({reason(error)}): choose another output path."
            ) from error
        finally:
            self.discard()

    def _create(self) -> None:
        if self.folder:
            self.temporary.mkdir()
        else:
            self.temporary.touch()

    def commit(self) -> Path:
        """Give the finished output its name, replacing an older file; returns the target."""
        try:
            if self.folder and self.target.is_dir():
                self.target.rmdir()
            self.temporary.replace(self.target)
        except OSError as error:
            self.discard()
            raise MediaError(
                f"'{self.target}' cannot be replaced ({reason(error)}): close it elsewhere or choose another path."
            ) from error
        return self.target

    def discard(self) -> None:
        """Remove the temporary file or folder, if any."""
        if self.folder:
            shutil.rmtree(self.temporary, ignore_errors=True)
            return
        try:
            self.temporary.unlink(missing_ok=True)
        except (OSError, ValueError):
            # The parent is no folder or the name is impossible, so there is no temporary either.
            return

    def __enter__(self) -> Staged:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.commit()
        else:
            self.discard()
