"""What is measured: one generated clip with everything it is compared with, and how folders become such clips."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from vivant.core.errors import MediaError
from vivant.core.text import read_text
from vivant.media.image import IMAGE_SUFFIXES

VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v", ".mpg", ".gif")


@dataclass(frozen=True)
class Subject:
    """One clip to measure. Paths are videos, animations, stills or folders of frames.

    ``made``: the generated clip (None: only the true one, for sets); ``true``: what it should look like; ``driver``:
    whose motion it should show, when that is another person's (cross-reenactment); ``source``: the portrait it was
    made from; ``sound``: speech it should be in step with (its own sound if None); ``text``: what is said;
    ``group`` and ``person``: names for tables. At least one of ``made`` and ``true`` is there.
    """

    id: str
    made: Path | None = None
    true: Path | None = None
    driver: Path | None = None
    source: Path | None = None
    sound: Path | None = None
    text: str | None = None
    group: str = ""
    person: str = ""

    @property
    def key(self) -> str:
        """A file name for its results: the id in plain letters and a few digits that keep ids apart."""
        plain = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in self.id)
        short = plain.encode()[:80].decode(errors="ignore")  # file systems count bytes
        return f"{short}-{hashlib.sha256(self.id.encode()).hexdigest()[:8]}"

    def given(self) -> dict[str, Any]:
        """Inputs by role: name, size in bytes and time of change of files, which tell whether they changed."""
        found: dict[str, Any] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, Path):
                found[item.name] = _stamp(value)
            elif item.name == "text" and value:
                found[item.name] = value
        return found


def _stamp(path: Path) -> list[Any]:
    try:
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        states = [file.stat() for file in files]
    except OSError:
        return [path.name, None, None]
    return [path.name, sum(state.st_size for state in states), max((state.st_mtime_ns for state in states), default=0)]


def media_in(folder: Path) -> dict[str, Path]:
    """Clips of a folder by their path without suffix: videos, animations, and folders of pictures.

    Raises:
        MediaError: no such folder, or nothing in it.
    """
    if not folder.is_dir():
        raise MediaError(f"There is no folder '{folder}': check the path.")
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if any(part.startswith(".") for part in name.parts):
            continue
        if path.is_dir():
            files = [file for file in path.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES]
            others = any(file.suffix.lower() in VIDEO_SUFFIXES for file in path.iterdir())
            if files and not others and path != folder:
                _add(found, str(name), path)
        elif path.suffix.lower() in VIDEO_SUFFIXES:
            _add(found, str(name.with_suffix("")), path)
    if not found:
        raise MediaError(f"There is no video in the folder '{folder}': give a folder of videos or of frame folders.")
    return found


def _add(found: dict[str, Path], name: str, path: Path) -> None:
    if name in found:
        raise MediaError(f"'{found[name]}' and '{path}' have one name: keep one of them.")
    found[name] = path


def pair_folders(made: Path, true: Path, paired: bool = True) -> tuple[list[Subject], list[str]]:
    """Clips of two folders that have one name, and the names that only one folder has.

    ``paired=False``: the folders show different things; each clip stands alone, and only sets are compared.

    Raises:
        MediaError: a folder is missing or empty, or no name is in both.
    """
    mine, theirs = media_in(made), media_in(true)
    if not paired:
        alone = [Subject(f"made/{name}", made=path) for name, path in mine.items()]
        return alone + [Subject(f"true/{name}", true=path) for name, path in theirs.items()], []
    common = [name for name in mine if name in theirs]
    if not common:
        raise MediaError(
            f"No clip of '{made}' has the name of one of '{true}': name them alike, or compare sets with --unpaired."
        )
    subjects = [Subject(name, mine[name], theirs[name], text=text_if_any(theirs[name])) for name in common]
    lonely = [f"{name} (generated only)" for name in mine if name not in theirs]
    return subjects, lonely + [f"{name} (true only)" for name in theirs if name not in mine]


def text_beside(path: Path) -> str | None:
    """What is said in a clip, from the file of the same name that ends in ``.txt``.

    Raises:
        MediaError: the file is not UTF-8; words guessed from it would be counted as errors of the clip.
    """
    file = path.with_suffix(".txt")
    return read_text(file, "What is said in", MediaError).strip() if file.is_file() else None


def text_if_any(path: Path) -> str | None:
    """:func:`text_beside` for many clips: a file that cannot be read is told and stops none of them."""
    try:
        return text_beside(path)
    except MediaError as error:
        warnings.warn(str(error), stacklevel=2)
        return None


def clip_name(paths: Sequence[Path]) -> str:
    """A name for a pair given as two files."""
    return paths[0].stem or paths[0].name
