"""Faces from frame to frame: landmarks lead to the next frame's landmarks; detection runs when needed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

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


@dataclass
class _Track:
    """``face`` as last seen, in frame ``seen``."""

    face: Face
    seen: int


class FaceTracker:
    """Gives every face a number that stays with it. Not safe to call from two threads at once.

    A face that was lost gets its old number back if it reappears near its old place within ``memory`` frames.
    After a scene cut all numbers are new.
    """

    def __init__(
        self,
        max_faces: int | None = None,
        min_presence: float = 0.5,
        redetect_every: int = 25,
        memory: int = 50,
        threads: int = 2,
    ) -> None:
        """``redetect_every``: frames between searches for new faces, 0 = only when a face was lost."""
        self.finder = FaceFinder(min_presence, threads)
        self.max_faces = max_faces
        self.redetect_every = redetect_every
        self.memory = memory
        self.cut = False
        self._frame = -1
        self._next_id = 0
        self._searched = self._looked_hard = -1
        self._tracks: dict[int, _Track] = {}
        self._is_cut = SceneCuts()

    def update(self, image: np.ndarray) -> dict[int, Face]:
        """Faces of the next frame (H, W, 3) uint8 RGB by number; ``cut`` tells whether it began a scene.

        Raises:
            MediaError: ``image`` is not an (H, W, 3) uint8 array.
        """
        check_image(image)
        self._frame += 1
        self.cut = self._is_cut(image)
        if self.cut:
            self._tracks.clear()
        faces = self._advance(image)
        if self._should_search(faces):
            self._add(self.finder.find(image, self._thorough(faces)), faces)
            self._searched = self._frame
        self._forget()
        return faces

    def _advance(self, image: np.ndarray) -> dict[int, Face]:
        """The faces of the last frame, found again; the older of two tracks on one face wins."""
        faces: dict[int, Face] = {}
        for number, track in self._tracks.items():
            if track.seen != self._frame - 1:
                continue
            face = self.finder.runner(image, track.face.landmarks)
            if face.score >= self.finder.min_presence and not is_known(face, list(faces.values()), SAME_FACE):
                faces[number] = face
                self._tracks[number] = _Track(face, self._frame)
        return faces

    def _should_search(self, faces: dict[int, Face]) -> bool:
        was_there = sum(track.seen >= self._frame - 1 for track in self._tracks.values())
        due = self.redetect_every > 0 and self._frame - self._searched >= self.redetect_every
        return self._frame == 0 or self.cut or due or not faces or len(faces) < was_there

    def _thorough(self, faces: dict[int, Face]) -> bool:
        """Look hard into a new scene, and now and then while nobody is seen: not in every frame, it is slow."""
        waited = self._frame - self._looked_hard >= max(self.redetect_every, 1)
        thorough = self._frame == 0 or self.cut or (waited and not faces)
        if thorough:
            self._looked_hard = self._frame
        return thorough

    def _add(self, found: list[Face], faces: dict[int, Face]) -> None:
        """Put faces of ``found`` that are not in ``faces`` yet into it, under an old number or a new one."""
        for face in found:
            if self.max_faces is not None and len(faces) >= self.max_faces:
                return
            if is_known(face, list(faces.values())):
                continue
            number = self._revived(face, faces)
            if number is None:
                number, self._next_id = self._next_id, self._next_id + 1
            faces[number] = face
            self._tracks[number] = _Track(face, self._frame)

    def _revived(self, face: Face, faces: dict[int, Face]) -> int | None:
        """The number of the lost face that ``face`` most likely is: near its place and of similar size."""
        best, nearest = None, 1.5
        for number, track in self._tracks.items():
            if number in faces or not 0.5 < face.size / max(track.face.size, 1e-6) < 2:
                continue
            distance = float(np.linalg.norm(_centre(face) - _centre(track.face))) / track.face.size
            if distance < nearest:
                best, nearest = number, distance
        return best

    def _forget(self) -> None:
        oldest = self._frame - self.memory
        self._tracks = {number: track for number, track in self._tracks.items() if track.seen >= oldest}


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


class _Sized(Protocol):
    @property
    def size(self) -> float: ...


Seen = TypeVar("Seen", bound=_Sized)


class Tracker(Protocol[Seen]):
    """Something that numbers what it sees."""

    cut: bool

    def update(self, image: np.ndarray) -> dict[int, Seen]:
        """What the next frame shows, by number."""


def follow_choice(
    frames: Iterable[np.ndarray], tracker: Tracker[Seen], rank: int, noun: str, patience: int = 10
) -> Iterator[Seen | None]:
    """The ``rank``-th by size of what ``tracker`` sees, chosen again after a cut or ``patience`` frames without it."""
    chosen: int | None = None
    missing, begun = 0, False
    for image in frames:
        seen = tracker.update(image)
        missing = 0 if chosen in seen else missing + 1
        if seen and (chosen is None or tracker.cut or missing > patience):
            by_size = sorted(seen, key=lambda number: -seen[number].size)
            if rank >= len(by_size) and not begun:
                raise (FaceError if noun == "face" else BodyError)(
                    f"{noun.capitalize()} number {rank} was asked for, but the first frame with {_plural(noun)} shows "
                    f"{len(by_size)}: numbers count from 0, the largest {noun}."
                )
            begun = True
            chosen = by_size[rank] if rank < len(by_size) else None
        yield seen.get(chosen) if chosen is not None else None


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


def _centre(face: Face) -> np.ndarray:
    return (face.box[:2] + face.box[2:]) / 2
