"""How clips are read to be measured: rate, frames, alignment and size, block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice, zip_longest
from pathlib import Path
from typing import Literal

import numpy as np

from vivant.core.clip import Clip
from vivant.core.errors import ConfigError, FaceError, MediaError
from vivant.core.face import Face
from vivant.media.timeline import exact_rate

BLOCK = 16
"""Frames that are looked at together."""
Align = Literal["whole", "square", "face"]
FACE_SCALE = 2.0
"""Side of the square of ``align="face"`` over the longer side of the face's box."""
_LOOK = 25  # frames in which the face of align="face" is looked for


@dataclass(frozen=True)
class View:
    """How every clip of a run is read; a part of each result's fingerprint.

    ``fps``: rate that clips are brought to ("25"), None keeps their own; ``stride``: every n-th frame; ``first``:
    frames before this one are not scored (1 when frame 0 is the source); ``frames``: most frames that are scored;
    ``size``: (height, width) in pixels that frames are scaled to, None keeps their own; ``align``: "whole" picture,
    the centre "square", or "face", one fixed square around the first face of the true clip (of the generated one
    without a true one), cut alike from both; around its own first face in a driver, who is framed in another way.
    """

    fps: str | None = None
    stride: int = 1
    first: int = 0
    frames: int | None = None
    size: tuple[int, int] | None = None
    align: Align = "whole"

    def checked(self) -> View:
        """Itself.

        Raises:
            ConfigError: a number makes no sense. MediaError: the rate is none.
        """
        if self.fps is not None:
            exact_rate(self.fps)
        if self.stride < 1 or self.first < 0 or (self.frames is not None and self.frames < 1):
            raise ConfigError("Stride and number of frames must be 1 or more, the first scored frame 0 or more.")
        if self.size is not None and min(self.size) < 16:
            raise ConfigError("Frames are measured at 16 pixels a side or more: give a larger --size.")
        return self


_ALIGNED = {"whole": "whole pictures", "square": "the centre square", "face": "one square around the first face"}


def view_text(view: View) -> str:
    """A view in words."""
    words = [f"every {view.stride}. frame" if view.stride > 1 else "every frame"]
    words += [f"from frame {view.first} on"] if view.first else []
    words += [f"at most {view.frames}"] if view.frames else []
    words += [f"{view.fps} frames a second"] if view.fps else []
    size = f" at {view.size[1]}x{view.size[0]}" if view.size else ""
    return ", ".join([*words, f"{_ALIGNED[view.align]}{size}"])


@dataclass
class Block:
    """Up to ``BLOCK`` frames that follow each other, from the clips of one subject.

    ``made``, ``true``, ``driver``: pictures (H, W, 3) uint8, None where the clip is not given. ``start``: number of
    the first one. Faces are found when they are asked for; None in a frame without one.
    """

    start: int
    made: list[np.ndarray] | None
    true: list[np.ndarray] | None
    driver: list[np.ndarray] | None
    faces: Callable[[str], list[Face | None]]

    def __len__(self) -> int:
        return len(self.made if self.made is not None else self.true or [])

    def of(self, role: str) -> list[np.ndarray] | None:
        """The pictures of "made", "true" or "driver"."""
        pictures: list[np.ndarray] | None = getattr(self, role)
        return pictures


class Eyes:
    """Follows the largest face of each clip of one subject, block by block."""

    def __init__(self, threads: int = 1) -> None:
        self._threads = threads
        self._trackers: dict[str, _Follower] = {}
        self._done: dict[str, tuple[int, list[Face | None]]] = {}

    def look(self, role: str, start: int, pictures: list[np.ndarray]) -> list[Face | None]:
        """Faces of the pictures from frame ``start`` on; asked twice for one block, it answers from memory."""
        known = self._done.get(role)
        if known is None or known[0] != start:
            tracker = self._trackers.setdefault(role, _Follower(self._threads))
            known = start, [tracker(picture) for picture in pictures]
            self._done[role] = known
        return known[1]


class _Follower:
    """The face that is largest where a track begins, in one frame after the other."""

    def __init__(self, threads: int) -> None:
        from vivant.perception.tracking import FaceTracker

        self._tracker = FaceTracker(max_faces=1, threads=threads)

    def __call__(self, picture: np.ndarray) -> Face | None:
        return next(iter(self._tracker.update(picture).values()), None)


@dataclass(frozen=True)
class Reader:
    """The clips of one subject, opened. ``crops``: the squares of ``align="face"`` by role; ``fps``: their rate as
    read, after the stride."""

    clips: dict[str, Clip]
    view: View
    crops: dict[str, tuple[float, float, float]]
    fps: Fraction
    eyes: Eyes
    lonely: list[int]

    def blocks(self) -> Iterator[Block]:
        """The frames that all clips have, in blocks; frames that only some have are counted in ``lonely[0]``.

        Raises:
            MediaError: generated and true frames are of different sizes after they were cut.
        """
        rows: list[tuple[np.ndarray, ...]] = []
        start = 0
        for row in self._rows():
            rows.append(row)
            if len(rows) == BLOCK:
                yield self._block(start, rows)
                start, rows = start + BLOCK, []
        if rows:
            yield self._block(start, rows)

    def _rows(self) -> Iterator[tuple[np.ndarray, ...]]:
        view = self.view
        stop = None if view.frames is None else view.first + view.frames * view.stride
        streams = [islice(clip.frames, view.first, stop, view.stride) for clip in self.clips.values()]
        for row in zip_longest(*streams):
            if any(picture is None for picture in row):
                self.lonely[0] += 1
                continue
            yield self._alike(tuple(self._shaped(role, picture) for role, picture in zip(self.clips, row)))

    def _alike(self, row: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
        sides = {picture.shape[:2] for role, picture in zip(self.clips, row) if role != "driver"}
        if len(sides) > 1:
            (a, b), (c, d) = sorted(sides)
            raise MediaError(
                f"Generated and true frames, cut, are {b}x{a} and {d}x{c} pixels: give --size to scale them to one."
            )
        return row

    def _shaped(self, role: str, picture: np.ndarray) -> np.ndarray:
        if role in self.crops:
            picture = cut(picture, *self.crops[role])
        elif self.view.align == "square":
            picture = centre_square(picture)
        if self.view.size is None or (role == "driver" and _stretched(picture, self.view.size)):
            return picture  # a driver's motion is read, and stretching would change that
        return scaled(picture, self.view.size)

    def _block(self, start: int, rows: list[tuple[np.ndarray, ...]]) -> Block:
        columns = {role: [row[i] for row in rows] for i, role in enumerate(self.clips)}

        def faces(role: str) -> list[Face | None]:
            return self.eyes.look(role, start, columns[role])

        return Block(start, columns.get("made"), columns.get("true"), columns.get("driver"), faces)


def open_views(paths: dict[str, Path], view: View, threads: int = 1) -> Reader:
    """Open the clips of one subject by role.

    Raises:
        MediaError: a file cannot be read, or rates or sizes differ and the view does not say how to make them one.
        FaceError: the view wants a face and there is none.
    """
    from vivant.media.video import open_clip

    clips = {role: open_clip(path, view.fps) for role, path in paths.items()}
    moving = [(role, clip) for role, clip in clips.items() if clip.count != 1]
    rate = moving[0][1].fps if moving else next(iter(clips.values())).fps
    for role, clip in moving:
        if clip.fps != rate:
            first = paths[moving[0][0]]
            raise MediaError(
                f"{first} has {float(rate):g} frames a second and {paths[role]} {float(clip.fps):g}: give --fps."
            )
    sizes = {role: clip.size for role, clip in clips.items() if role != "driver"}  # of a driver only motion is read
    if view.size is None and view.align == "whole" and len(set(sizes.values())) > 1:
        (a, b), (c, d) = ((paths[role], size) for role, size in list(sizes.items())[:2])
        raise MediaError(
            f"{a} has frames of {b[1]}x{b[0]} and {c} of {d[1]}x{d[0]}: give --size to scale them to one size."
        )
    crops: dict[str, tuple[float, float, float]] = {}
    if view.align == "face":
        crops = dict.fromkeys(clips, face_square(clips.get("true") or clips.get("made"), threads))
        if "driver" in clips:
            crops["driver"] = face_square(clips["driver"], threads)
    return Reader(clips, view, crops, rate / view.stride, Eyes(threads), [0])


def _stretched(picture: np.ndarray, size: tuple[int, int]) -> bool:
    """Whether scaling to (height, width) changes the shape of things by more than a hundredth."""
    return abs(picture.shape[0] * size[1] / (picture.shape[1] * size[0]) - 1) > 0.01


def face_square(clip: Clip | None, threads: int = 1) -> tuple[float, float, float]:
    """Centre x, y and side of the square around the first face, all over the picture's width or height.

    Raises:
        FaceError: none of the first frames shows a face.
    """
    frames: Iterable[np.ndarray] = [] if clip is None else islice(clip.frames, _LOOK)
    follow = _Follower(threads)
    for picture in frames:
        face = follow(picture)
        if face is not None:
            height, width = picture.shape[:2]
            x, y = (face.box[:2] + face.box[2:]) / 2
            return float(x / width), float(y / height), float(FACE_SCALE * face.size / height)
    raise FaceError(f"There is no face in the first {_LOOK} frames to align by: use the whole picture.")


def cut(picture: np.ndarray, x: float, y: float, side: float) -> np.ndarray:
    """A square of ``side`` picture heights around (x, y) in parts of width and height; the edge is repeated."""
    import cv2

    height, width = picture.shape[:2]
    length = max(round(side * height), 2)
    left, top = round(x * width - length / 2), round(y * height - length / 2)
    edges = max(-top, 0), max(top + length - height, 0), max(-left, 0), max(left + length - width, 0)
    if any(edges):
        picture = cv2.copyMakeBorder(picture, *edges, cv2.BORDER_REPLICATE)
    top, left = top + edges[0], left + edges[2]
    return np.ascontiguousarray(picture[top : top + length, left : left + length])


def centre_square(picture: np.ndarray) -> np.ndarray:
    """The largest square in the middle of a picture."""
    height, width = picture.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return np.ascontiguousarray(picture[top : top + side, left : left + side])


def scaled(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) -> ``size``; area average when it shrinks in both directions, else bilinear."""
    import cv2

    if picture.shape[:2] == tuple(size):
        return picture
    shrinks = picture.shape[0] >= size[0] and picture.shape[1] >= size[1]
    return cv2.resize(picture, (size[1], size[0]), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
