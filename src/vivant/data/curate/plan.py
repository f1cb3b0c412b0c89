"""Which videos there are, and what is known of them before anybody looks."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from vivant.core.errors import ConfigError, VivantError
from vivant.core.text import read_text
from vivant.data.curate.files import read_json, write_json, write_lines
from vivant.data.curate.words import Source, Work
from vivant.media.video import probe

VIDEOS = frozenset((".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".flv", ".wmv", ".3gp"))
SAID = ("person", "licence", "consent", "credit", "origin")
"""What a list of videos may say of each."""


@dataclass(frozen=True)
class Settings:
    """How videos are cut into clips; fixed for a work folder.

    ``shortest``, ``longest``: frames of a clip at 25 a second. ``cut``: threshold of PySceneDetect's content detector.
    ``faces``: most faces that are followed at once.
    """

    shortest: int = 50
    longest: int = 750
    cut: float = 27.0
    faces: int = 6

    def checked(self) -> Settings:
        """Itself.

        Raises:
            ConfigError: a number makes no sense.
        """
        if not 6 <= self.shortest <= self.longest or self.cut <= 0 or self.faces < 1:
            raise ConfigError(
                f"Clips of {self.shortest} to {self.longest} frames with a cut threshold of {self.cut:g} cannot be "
                "made: the shortest needs 6 frames, the longest as many as the shortest, the threshold more than 0."
            )
        return self


def make_plan(
    work: Work, inputs: Iterable[str | os.PathLike[str]], settings: Settings, said: Mapping[str, str] | None = None
) -> list[Source]:
    """Find all videos, look at their headers, and write the plan.

    Args:
        work: the work folder; videos that its plan already names are not opened again.
        inputs: videos, folders of videos (searched to the bottom), and lists: ``.jsonl`` with one object a line or
            ``.csv`` with a header, each row with ``path`` (relative to the list) and any of :data:`SAID`.
        settings: how to cut.
        said: what holds for all videos whose list says nothing else.

    Raises:
        ConfigError: nothing was found, a list is wrong, or the work folder was planned with other settings.
    """
    _fix_settings(work, settings.checked())
    known = {source.path: source for source in _old_plan(work)}
    found: dict[str, Source] = {}
    for path, words in _listed(inputs):
        name = str(path)
        values = {**(said or {}), **words}
        before = known.get(name)
        unchanged = before is not None and not before.problem and before.bytes == _bytes(path)
        source = before if unchanged and before is not None else describe(path)
        person, licence, consent, credit, origin = (values.get(key, "") for key in SAID)
        found[name] = replace(source, person=person, licence=licence, consent=consent, credit=credit, origin=origin)
    if not found:
        raise ConfigError("No video was found: give videos, folders that hold some, or a list (.jsonl or .csv).")
    plan = sorted(found.values(), key=lambda source: source.path)
    write_lines(work.plan, [asdict(source) for source in plan])
    return plan


def _fix_settings(work: Work, settings: Settings) -> None:
    before = read_json(work.settings)
    if before is not None and before != asdict(settings):
        raise ConfigError(
            f"{work.folder} was planned with other settings ({before}): use them again, or another work folder."
        )
    write_json(work.settings, asdict(settings))


def read_settings(work: Work) -> Settings:
    """How the videos of a work folder are cut.

    Raises:
        ConfigError: there is no plan.
    """
    values = read_json(work.settings)
    if values is None:
        raise ConfigError(f"{work.folder} holds no plan: call vivant curate plan first.")
    return Settings(**values)


def _old_plan(work: Work) -> list[Source]:
    from vivant.data.curate.files import read_plan

    return read_plan(work) if work.plan.exists() else []


def describe(path: Path) -> Source:
    """What the header of a video says, or its problem."""
    length = _bytes(path)
    source = Source(source_id(path, length), str(path), bytes=length)
    try:
        info = probe(path)
        if info.kind != "video" or info.size is None:
            return replace(source, problem=f"'{path}' is no video but a file of kind '{info.kind}'.")
    except VivantError as error:
        return replace(source, problem=str(error))
    return replace(source, seconds=info.seconds, size=info.size, fps=str(info.fps), sound=info.has_audio)


def source_id(path: Path, length: int) -> str:
    """A readable name with eight digits of a hash of path and length in bytes: no two videos share one, and what was
    found in a video is not taken for another one that has replaced it."""
    stem = re.sub(r"[^A-Za-z0-9-]+", "-", path.stem).strip("-")[:40] or "video"
    return f"{stem}-{hashlib.sha256(f'{path} {length}'.encode()).hexdigest()[:8]}"


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _listed(inputs: Iterable[str | os.PathLike[str]]) -> Iterator[tuple[Path, dict[str, str]]]:
    """Every video with what is said of it."""
    for item in inputs:
        path = Path(item)
        if path.is_dir():
            yield from ((file, {}) for file in sorted(path.rglob("*")) if file.suffix.lower() in VIDEOS)
        elif path.suffix.lower() in (".jsonl", ".csv"):
            yield from _read_list(path)
        elif path.exists():
            yield path, {}
        else:
            raise ConfigError(f"There is no '{path}': give videos, folders that hold some, or a list.")


def _read_list(path: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    text = read_text(path, "The list")
    if path.suffix.lower() == ".csv":
        rows = list(csv.DictReader(text.splitlines()))
    else:
        rows = [_row(line, f"{path} line {number}") for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    for number, row in enumerate(rows, 1):
        if not isinstance(row.get("path"), str) or not row["path"]:
            raise ConfigError(f"{path} row {number} names no path: each row needs the key 'path'.")
        words = {key: str(row[key]) for key in SAID if row.get(key) not in (None, "")}
        yield path.parent / row["path"], words


def _row(line: str, where: str) -> dict[str, str]:
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{where} is not JSON: write one object a line.") from error
    if not isinstance(value, dict):
        raise ConfigError(f"{where} is no object: write one object a line.")
    return value
