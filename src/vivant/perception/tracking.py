"""Faces from frame to frame: landmarks lead to the next frame's landmarks; detection runs when needed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import cv2
import numpy as np

from vivant.core.errors import BodyError, ConfigError, FaceError
from vivant.core.face import Face
from vivant.perception.faces import FaceFinder, check_image, is_known

CUT_CORRELATION = 0.7  # of neighbouring frames' thumbnails; in talking and signing clips it stays above 0.9
SAME_FACE = 0.6  # part of the smaller box that two tracks share when they hold one face


class SceneCuts:
    """Tells where a new scene begins: the grey thumbnail hardly correlates with the last; light does not matter."""

    def __init__(self) -> None:
        self._thumbnail: np.ndarray | None = None

    def __call__(self, image: np.ndarray) -> bool:
        """Whether ``image`` (H, W, 3) uint8 RGB begins a scene; the first one does not."""
        grey = cv2.cvtColor(cv2.resize(image, (32, 32), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
        thumbnail, last = grey.astype(np.float32) - grey.mean(), self._thumbnail
        self._thumbnail = thumbnail
        if last is None or min(thumbnail.std(), last.std()) < 1:  # nothing to compare in an even picture
            return False
        return float((thumbnail * last).mean() / (thumbnail.std() * last.std())) < CUT_CORRELATION


class Sized(Protocol):
    """What can be followed: where it lies and how large it is."""

    @property
    def box(self) -> np.ndarray:
        """(4,) x0, y0, x1, y1 in pixels."""

    @property
    def size(self) -> float:
        """In pixels."""


Seen = TypeVar("Seen", bound=Sized)


@dataclass
class _Track(Generic[Seen]):
    """``thing`` as last seen, in frame ``seen``."""

    thing: Seen
    seen: int


class Tracker(ABC, Generic[Seen]):
    """Gives everything it sees a number that stays with it. Not safe to call from two threads at once.

    What was lost gets its old number back if it reappears within ``memory`` frames, of similar size and less than
    ``reach`` sizes from its old place. After a scene cut all numbers are new.
    """

    reach: float

    def __init__(self, most: int | None, redetect_every: int, memory: int) -> None:
        """``most``: how many are followed at once. ``redetect_every``: frames between searches for new ones, 0 = only
        when one was lost."""
        self.most, self.redetect_every, self.memory = most, redetect_every, memory
        self.cut = False
        self._frame = -1
        self._next_id = 0
        self._searched = -1
        self._tracks: dict[int, _Track[Seen]] = {}
        self._is_cut = SceneCuts()

    @abstractmethod
    def _again(self, image: np.ndarray, last: Seen, found: list[Seen]) -> Seen | None:
        """``last`` in the next frame, None where it is not seen or one of ``found`` is it."""

    @abstractmethod
    def _search(self, image: np.ndarray, found: dict[int, Seen]) -> list[Seen]:
        """Everything in the frame."""

    @abstractmethod
    def _is_known(self, thing: Seen, found: list[Seen]) -> bool:
        """Whether one of ``found`` is ``thing``."""

    def update(self, image: np.ndarray) -> dict[int, Seen]:
        """What the next frame (H, W, 3) uint8 RGB shows, by number; ``cut`` tells whether it began a scene.

        Raises:
            MediaError: ``image`` is not an (H, W, 3) uint8 array.
        """
        check_image(image)
        self._frame += 1
        self.cut = self._is_cut(image)
        if self.cut:
            self._tracks.clear()
        found = self._advance(image)
        if self._should_search(found):
            self._add(self._search(image, found), found)
            self._searched = self._frame
        oldest = self._frame - self.memory
        self._tracks = {number: track for number, track in self._tracks.items() if track.seen >= oldest}
        return found

    def _advance(self, image: np.ndarray) -> dict[int, Seen]:
        """What the last frame showed, found again; the older of two tracks on one thing wins."""
        found: dict[int, Seen] = {}
        for number, track in self._tracks.items():
            if track.seen != self._frame - 1:
                continue
            thing = self._again(image, track.thing, list(found.values()))
            if thing is not None:
                found[number] = thing
                self._tracks[number] = _Track(thing, self._frame)
        return found

    def _should_search(self, found: dict[int, Seen]) -> bool:
        was_there = sum(track.seen >= self._frame - 1 for track in self._tracks.values())
        due = self.redetect_every > 0 and self._frame - self._searched >= self.redetect_every
        return self._frame == 0 or self.cut or due or not found or len(found) < was_there

    def _add(self, things: list[Seen], found: dict[int, Seen]) -> None:
        """Put those of ``things`` that are not in ``found`` yet into it, under an old number or a new one."""
        for thing in things:
            if self.most is not None and len(found) >= self.most:
                return
            if self._is_known(thing, list(found.values())):
                continue
            number = self._revived(thing, found)
            if number is None:
                number, self._next_id = self._next_id, self._next_id + 1
            found[number] = thing
            self._tracks[number] = _Track(thing, self._frame)

    def _revived(self, thing: Seen, found: dict[int, Seen]) -> int | None:
        """The number of the lost one that ``thing`` most likely is: near its place and of similar size."""
        best, nearest = None, self.reach
        for number, track in self._tracks.items():
            if number in found or not 0.5 < thing.size / max(track.thing.size, 1e-6) < 2:
                continue
            distance = float(np.linalg.norm(_centre(thing) - _centre(track.thing))) / track.thing.size
            if distance < nearest:
                best, nearest = number, distance
        return best


class FaceTracker(Tracker[Face]):
    """Faces by number: landmarks lead to the next frame's landmarks."""

    reach = 1.5

    def __init__(
        self,
        max_faces: int | None = None,
        min_presence: float = 0.5,
        redetect_every: int = 25,
        memory: int = 50,
        threads: int = 2,
    ) -> None:
        super().__init__(max_faces, redetect_every, memory)
        self.finder = FaceFinder(min_presence, threads)
        self._looked_hard = -1

    def _again(self, image: np.ndarray, last: Face, found: list[Face]) -> Face | None:
        face = self.finder.runner(image, last.landmarks)
        present = face.score >= self.finder.min_presence and not is_known(face, found, SAME_FACE)
        return face if present else None

    def _search(self, image: np.ndarray, found: dict[int, Face]) -> list[Face]:
        return self.finder.find(image, self._thorough(found))

    def _is_known(self, thing: Face, found: list[Face]) -> bool:
        return is_known(thing, found)

    def _thorough(self, faces: dict[int, Face]) -> bool:
        """Look hard into a new scene, and now and then while nobody is seen: not in every frame, it is slow."""
        waited = self._frame - self._looked_hard >= max(self.redetect_every, 1)
        thorough = self._frame == 0 or self.cut or (waited and not faces)
        if thorough:
            self._looked_hard = self._frame
        return thorough


def follow(frames: Iterable[np.ndarray], choice: str | int = "largest") -> Iterator[Face | None]:
    """The same person's face in every frame (H, W, 3) uint8 RGB, or None where it is not seen.

    ``choice``: "largest", or a number that counts the faces of the first frame with faces by size from 0. When
    the face is gone for 10 frames or a scene cut comes, the choice is made again among the faces then there (with
    a number: as soon as there are enough faces).

    Raises:
        ConfigError: ``choice`` is something else.
        FaceError: the first frame with faces has too few for the number.
    """
    return follow_choice(frames, FaceTracker(), parse_choice(choice, "face"), "face")


def follow_choice(
    frames: Iterable[np.ndarray], tracker: Tracker[Seen], rank: int, noun: str, patience: int = 10
) -> Iterator[Seen | None]:
    """The ``rank``-th by size of what ``tracker`` sees, chosen again after a cut or ``patience`` frames without it.

    Who stands where the chosen one stood, as large, is the same after a cut, too: somebody else who comes into the
    picture near the camera changes it as much as a cut does.
    """
    chosen: int | None = None
    last: Seen | None = None
    missing, begun = 0, False
    for image in frames:
        seen = tracker.update(image)
        if tracker.cut and last is not None:
            chosen = _staying(last, seen)
        missing = 0 if chosen in seen else missing + 1
        if seen and (chosen is None or missing > patience):
            by_size = sorted(seen, key=lambda number: -seen[number].size)
            if rank >= len(by_size) and not begun:
                raise (FaceError if noun == "face" else BodyError)(
                    f"{noun.capitalize()} number {rank} was asked for, but the first frame with {_plural(noun)} shows "
                    f"{len(by_size)}: numbers count from 0, the largest {noun}."
                )
            begun = True
            chosen = by_size[rank] if rank < len(by_size) else None
        now = seen.get(chosen) if chosen is not None else None
        last = now or last
        yield now


def _staying(last: Seen, seen: dict[int, Seen]) -> int | None:
    """The number of what lies at the place of ``last`` and is as large, None where nothing does."""
    for number, thing in seen.items():
        near = float(np.linalg.norm(_centre(thing) - _centre(last))) < 0.25 * last.size
        if near and 0.8 < thing.size / max(last.size, 1e-6) < 1.25:
            return number
    return None


def _plural(noun: str) -> str:
    return "people" if noun == "person" else f"{noun}s"


def parse_choice(choice: str | int, noun: str) -> int:
    """Rank by size that ``choice`` means: "largest" is 0, a number itself.

    Raises:
        ConfigError: it is something else.
    """
    if choice == "largest":
        return 0
    text = str(choice)
    if isinstance(choice, bool) or not text.isdecimal():
        raise ConfigError(f"Which {noun} to follow is 'largest' or a number from 0, not '{choice}'.")
    return int(text)


def _centre(thing: Sized) -> np.ndarray:
    return (thing.box[:2] + thing.box[2:]) / 2
