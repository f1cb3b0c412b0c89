"""Data folders as the clips and stills that are evaluated on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from vivant.core.errors import ConfigError
from vivant.metrics.protocols.base import DataSet, Item, in_turn, scan

Row = TypeVar("Row", bound=Any)


def read_items(folder: Path, data: Sequence[DataSet] = ()) -> list[Item]:
    """Everything in a folder: the rows of its ``manifest.jsonl``, or else the clips that a protocol's data sets expect.

    Raises:
        MediaError: the folder has neither. ConfigError: its manifest is damaged.
    """
    from vivant.data.manifest import MANIFEST, read_manifest

    if data and not (folder / MANIFEST).is_file():
        return scan(folder, data)
    return [_item(folder, row) for row in read_manifest(folder)]


def _item(folder: Path, row: Any) -> Item:
    text = getattr(row, "text", None) or None
    return Item(row.id, folder / row.media, row.person, row.group, row.kind, row.split, text)


def spread(rows: Iterable[Row], count: int) -> list[Row]:
    """``count`` rows taken in turn from every group and, within it, from every person, in order of id."""
    groups: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in sorted(rows, key=lambda row: row.id):
        groups[row.group][row.person].append(row)
    turns = [in_turn(list(people.values())) for _, people in sorted(groups.items())]
    return in_turn(turns)[:count]


def some_clips(items: Sequence[Item], groups: Sequence[str] | None, split: str) -> tuple[list[Item], list[Item]]:
    """Clips and stills of a split and of some groups (all if None).

    Raises:
        ConfigError: there is no clip for these choices.
    """
    mine = [item for item in items if item.split == split and (not groups or item.group in groups)]
    clips, stills = ([item for item in mine if item.kind == kind] for kind in ("clip", "still"))
    if not clips:
        raise ConfigError(f"There is no clip of split '{split}' in these groups: choose others.")
    return clips, stills
