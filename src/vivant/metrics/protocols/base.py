"""What a protocol is: data with its checks, who drives whom, how clips are read, and what is measured."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vivant.metrics.view import View

Task = Literal["self", "cross"]
Drive = Literal["video", "audio", "both", "pose"]


@dataclass(frozen=True)
class Item:
    """One clip or still of a data folder. ``path``: its pixels; ``group``: the data set it belongs to."""

    id: str
    path: Path
    person: str = ""
    group: str = ""
    kind: str = "clip"
    split: str = ""
    text: str | None = None


@dataclass(frozen=True)
class Pick:
    """One thing to generate: ``clip`` drives ``portrait``, or its own first frame if that is None."""

    clip: Item
    portrait: Item | None = None

    @property
    def id(self) -> str:
        """Name of the result: that of the clip, or ``portrait by clip``."""
        return self.clip.id if self.portrait is None else f"{self.portrait.id} by {self.clip.id}"


@dataclass(frozen=True)
class DataSet:
    """One data set of a protocol.

    ``name``: also its group in a manifest; ``what``: where it comes from and under which terms; ``kind``: clips or
    stills; ``expected``: how many are tested, None if the paper does not say; ``people``: the persons that are
    tested, None for any; ``each``: clips of each of them, None for any number; ``draw``: whether ``expected`` clips are
    drawn at random from more; ``held_out``: part of the persons that is tested, drawn at random, when there is no
    official split and the manifest's rows are not split already; ``person_of``: the person from a clip's name, for
    folders without a manifest; ``is_test``: whether
    a clip of such a folder belongs to the test part.
    """

    name: str
    what: str
    kind: str = "clip"
    expected: int | None = None
    people: tuple[str, ...] | None = None
    each: int | None = None
    draw: bool = False
    held_out: float | None = None
    person_of: Callable[[str], str] = field(default=str)
    is_test: Callable[[str], bool] = field(default=lambda name: True)

    def chosen(self, items: Sequence[Item], seed: int) -> list[Item]:
        """The items of this data set that are tested, in order of their ids; drawn by ``seed`` where drawing is due."""
        mine = sorted((item for item in items if self.owns(item)), key=lambda item: item.id)
        if self.people is not None:
            mine = [item for item in mine if item.person in self.people]
        if self.held_out is not None and not self._is_split(items):
            tested = held_out_people([item.person for item in mine], self.held_out, seed)
            mine = [item for item in mine if item.person in tested]
        if self.draw and self.expected is not None and len(mine) > self.expected:
            picked = np.random.default_rng(seed).permutation(len(mine))[: self.expected]
            mine = [mine[i] for i in sorted(picked)]
        return mine

    def owns(self, item: Item) -> bool:
        """Whether an item is of this data set and may be tested."""
        return item.group == self.name and item.kind == self.kind and item.split in ("", "test")

    def _is_split(self, items: Sequence[Item]) -> bool:
        """Whether the items say themselves what is not tested."""
        return any(item.group == self.name and item.split not in ("", "test") for item in items)

    def lacks(self, items: Sequence[Item], seed: int) -> list[str]:
        """One sentence for each way in which the chosen items are not what the paper tests."""
        found = self.chosen(items, seed)
        problems = []
        if not found:
            return [f"{self.name}: there is no {self.kind}; it needs {self.what}."]
        if self.expected is not None and len(found) != self.expected:
            problems.append(f"{self.name}: {len(found)} {self.kind}s instead of {self.expected}.")
        counts = Counter(item.person for item in found)
        if self.held_out is not None and not self._is_split(items):
            people = len({item.person for item in items if self.owns(item)})
            if people * self.held_out < 1:
                problems.append(f"{self.name}: {people} persons, too few to hold {self.held_out:.0%} of them out.")
        absent = [person for person in self.people or () if person not in counts]
        if absent:
            problems.append(f"{self.name}: no {self.kind} of {_some(absent)}.")
        if self.each is not None:
            uneven = [f"{person} ({count})" for person, count in sorted(counts.items()) if count != self.each]
            if uneven:
                problems.append(f"{self.name}: not {self.each} {self.kind}s each: {_some(uneven)}.")
        missing = [item.id for item in found if not item.path.exists()]
        if missing:
            problems.append(f"{self.name}: files are missing: {_some(missing)}.")
        return problems


def held_out_people(people: Sequence[str], part: float, seed: int) -> set[str]:
    """``part`` of the different persons, at least one: those whose name and seed have the smallest SHA-256.

    A person's place does not depend on who else is there, so a folder that grows keeps its split as far as it can.
    """
    names = sorted(set(people), key=lambda name: hashlib.sha256(f"{seed} {name}".encode()).hexdigest())
    return set(names[: max(1, round(part * len(names)))]) if names else set()


@dataclass(frozen=True)
class Protocol:
    """How one published table is measured.

    ``title``; ``paper``: name, arXiv number, section; ``data``: clips, and for cross-reenactment a set of stills;
    ``task``: "self" (the first frame is the source) or "cross"; ``drive``: what drives; ``view``: how clips are read;
    ``seed``: of all drawing and of the method; ``metrics``: names, ours beside the published ones; ``options``: of the
    method, those that it has; ``stated``: what the paper says; ``chosen``: what it does not say and is fixed here.
    """

    name: str
    title: str
    paper: str
    data: tuple[DataSet, ...]
    task: Task
    drive: Drive
    view: View
    seed: int
    metrics: tuple[str, ...]
    options: dict[str, Any] = field(default_factory=dict)
    stated: tuple[str, ...] = ()
    chosen: tuple[str, ...] = ()
    drivers_each: int = 1
    version: int = 1

    def picks(self, items: Sequence[Item]) -> list[Pick]:
        """What is generated, in a fixed order."""
        clips = [item for part in self.data if part.kind == "clip" for item in part.chosen(items, self.seed)]
        if self.task == "self":
            return [Pick(clip) for clip in clips]
        stills = [item for part in self.data if part.kind == "still" for item in part.chosen(items, self.seed)]
        return cross_picks(stills, clips, self.drivers_each)

    def check(self, items: Sequence[Item]) -> list[str]:
        """What a folder lacks, one sentence each; empty if it is what the paper tests."""
        return [sentence for part in self.data for sentence in part.lacks(items, self.seed)]


def cross_picks(stills: Sequence[Item], clips: Sequence[Item], each: int) -> list[Pick]:
    """Every still with ``each`` clips of other persons; the next still starts at the next clips."""
    found = []
    for number, still in enumerate(stills):
        start = number * each % max(len(clips), 1)
        others = [clip for clip in (*clips[start:], *clips[:start]) if clip.person != still.person]
        found += [Pick(clip, still) for clip in others[:each]]
    return found


def in_turn(lists: Sequence[Sequence[Any]]) -> list[Any]:
    """First of every list, then second of every list, and so on."""
    return [item for row in zip_longest(*lists) for item in row if item is not None]


def _some(words: Sequence[str], most: int = 5) -> str:
    rest = f" and {len(words) - most} more" if len(words) > most else ""
    return ", ".join(words[:most]) + rest


def scan(folder: Path, data: Sequence[DataSet]) -> list[Item]:
    """The items of a folder without a manifest: a sub-folder for each data set (or the folder itself if there is only
    one), whose clips' names tell persons and parts. Ids are these names, with the data set's in front
    (``vfhq/0001``) if two data sets share one.

    Raises:
        MediaError: there is no such folder, or nothing in it.
    """
    from vivant.core.errors import MediaError
    from vivant.media.image import IMAGE_SUFFIXES
    from vivant.metrics.subject import media_in, text_if_any

    if not folder.is_dir():
        raise MediaError(f"There is no folder '{folder}': check the path.")
    found: list[Item] = []
    for part in data:
        place = folder / part.name if (folder / part.name).is_dir() or len(data) > 1 else folder
        if not place.is_dir() and len(data) > 1:
            continue
        if part.kind == "still":
            files = sorted(path for path in place.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
            found += [Item(path.stem, path, path.stem, part.name, "still", "test") for path in files]
            continue
        for name, path in media_in(place).items():
            split = "test" if part.is_test(name) else "train"
            found.append(Item(name, path, part.person_of(name), part.name, "clip", split, text_if_any(path)))
    return _told_apart(found)


def _told_apart(items: list[Item]) -> list[Item]:
    """The items; where clips of two data sets have one name, every clip's id begins with its data set's."""
    clips = [item.id for item in items if item.kind == "clip"]
    if len(set(clips)) == len(clips):
        return items
    return [replace(item, id=f"{item.group}/{item.id}") if item.kind == "clip" else item for item in items]
