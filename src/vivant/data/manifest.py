"""The index of a folder of training data: one JSON object a line in ``manifest.jsonl``."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from vivant.core.errors import ConfigError, MediaError
from vivant.core.text import read_text

MANIFEST = "manifest.jsonl"
SPLITS = ("train", "val", "test")
KINDS = ("clip", "still")


@dataclass(frozen=True)
class Row:
    """One clip or still of one person. Paths are relative to the manifest's folder.

    ``group``: where it comes from, the name a mix uses (for example rig, replay, grid, still);
    ``frames``: how many; ``size``: side of the square frames in pixels; ``labels``: an ``.npz`` (see
    :mod:`vivant.data.labels`), empty where a clip is only measured on. ``take``: rows with the same word show the same
    motion at the same frames, on several people. ``truth``: an ``.npz`` with all that is known of a synthesised clip
    (:mod:`vivant.data.synthesis.truth`).
    ``motion``: what moves, a word; ``sound``: the video has a sound track; ``text``: what is said. ``extra``: an
    ``.npz`` with what was found in a curated clip besides the labels (:mod:`vivant.data.curate.export_clip`).
    ``consent``: what is known of the consent of the people seen. ``attributes``: labels of the whole clip, as
    ``happy=0.8,intensity=1`` (:mod:`vivant.core.attributes`).
    """

    id: str
    person: str
    split: str
    kind: str
    group: str
    frames: int
    fps: float
    size: int
    labels: str = ""
    source: str = ""
    licence: str = ""
    credit: str = ""
    video: str = ""
    image: str = ""
    take: str = ""
    truth: str = ""
    motion: str = ""
    sound: bool = False
    text: str = ""
    extra: str = ""
    consent: str = ""
    attributes: str = ""

    @property
    def media(self) -> str:
        """The file with the pixels."""
        return self.video if self.kind == "clip" else self.image


_TYPES: dict[str, Any] = {"str": str, "int": (int, float), "float": float, "bool": (bool, int)}


def parse_row(values: dict[str, Any], where: str) -> Row:
    """Check one object of a manifest; unknown keys are left out.

    Raises:
        ConfigError: a key is missing or has a value that makes no sense.
    """
    kinds = {f.name: _TYPES[str(f.type)] for f in fields(Row)}
    try:
        row = Row(**{k: v for k, v in values.items() if k in kinds and v is not None})
        row = replace(row, fps=float(Fraction(row.fps)))
        strange = [name for name, kind in kinds.items() if not isinstance(getattr(row, name), kind)]
        if strange:
            raise TypeError(f"'{strange[0]}' is of another type")
    except (AttributeError, TypeError, ValueError, ZeroDivisionError) as error:
        raise ConfigError(f"{where} is not a row of a manifest ({error}): write the manifest again.") from error
    if row.split not in SPLITS or row.kind not in KINDS:
        raise ConfigError(f"{where}: split '{row.split}' or kind '{row.kind}' is not one of {SPLITS}, {KINDS}.")
    if not row.media or row.frames < 1 or row.size < 8:
        raise ConfigError(f"{where}: the row needs a video or image, at least one frame and a size of 8 or more.")
    return row


def read_manifest(folder: str | os.PathLike[str]) -> list[Row]:
    """All rows of ``folder/manifest.jsonl`` in order.

    Raises:
        MediaError: no manifest there. ConfigError: a line is damaged, or an id occurs twice.
    """
    path = Path(folder) / MANIFEST
    if not path.is_file():
        raise MediaError(f"{path} does not exist: prepare the data folder first, or name another folder.")
    rows: list[Row] = []
    seen: set[str] = set()
    for number, line in enumerate(read_text(path, "The manifest").splitlines(), 1):
        if not line.strip():
            continue
        where = f"{path} line {number}"
        try:
            values = json.loads(line)
        except json.JSONDecodeError as error:
            raise ConfigError(f"{where} is not JSON: write the manifest again.") from error
        row = parse_row(values, where)
        if row.id in seen:
            raise ConfigError(f"{where}: the id '{row.id}' occurs twice; ids must be unique.")
        seen.add(row.id)
        rows.append(row)
    return rows


def write_manifest(folder: str | os.PathLike[str], rows: Iterable[Row]) -> Path:
    """Write ``folder/manifest.jsonl`` in one go (a reader never sees half of it)."""
    path = Path(folder) / MANIFEST
    part = path.with_suffix(".part")
    lines = [json.dumps({k: v for k, v in asdict(row).items() if v not in ("", False)}) for row in rows]
    part.write_text("\n".join(lines) + "\n", encoding="utf-8")
    os.replace(part, path)
    return path


def merge_manifest(folder: str | os.PathLike[str], rows: Iterable[Row]) -> list[Row]:
    """Put rows into the manifest of a folder, in order of id; rows of others that are there already stay.

    Raises:
        ConfigError: the manifest that is there is damaged, or its frames have another size.
    """
    known = {row.id: row for row in read_manifest(folder)} if (Path(folder) / MANIFEST).is_file() else {}
    sizes = {row.size for row in known.values()}
    for row in rows:
        if sizes and row.size not in sizes:
            raise ConfigError(f"{folder} holds frames of {sizes.pop()} px, not {row.size}: choose another folder.")
        known[row.id] = row
    merged = sorted(known.values(), key=lambda row: row.id)
    write_manifest(folder, merged)
    return merged
