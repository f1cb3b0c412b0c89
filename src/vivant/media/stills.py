"""Frames that come from pictures: one still, a folder of them, or an animated GIF, WebP or PNG."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from vivant.core.errors import MediaError
from vivant.media.files import DamagedMediaWarning, reason
from vivant.media.image import IMAGE_SUFFIXES, is_heif, open_picture, picture_to_rgb, read_image
from vivant.media.timeline import choose_rate, hold

_ANIMATED_FORMATS = ("GIF", "WEBP", "PNG")
_SIGNATURES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_SHORTEST = Fraction(11, 1000)
_UNSAID = Fraction(1, 10)


def is_picture(file: Path) -> bool:
    """Whether the first bytes are those of a picture format (JPEG, PNG, GIF, BMP, TIFF, WebP, AVIF, HEIC)."""
    with file.open("rb") as stream:
        head = stream.read(16)
    known = head.startswith(_SIGNATURES) or head[8:12] == b"WEBP" or head[4:12] in (b"ftypavif", b"ftypavis")
    return known or is_heif(head)


class StillFrames:
    """One picture as a clip of one frame."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __iter__(self) -> Iterator[np.ndarray]:
        yield read_image(self._file)


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sort key that puts frame2 before frame10."""
    parts = re.findall(r"\d+|\D+", name.casefold())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]


def folder_files(folder: Path) -> list[Path]:
    """Pictures in a folder by their suffix, hidden ones left out, in natural order.

    Raises:
        MediaError: there is none, or the folder cannot be read.
    """
    try:
        files = [file for file in folder.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES]
    except OSError as error:
        raise MediaError(f"The folder '{folder}' cannot be read ({reason(error)}): check its permissions.") from error
    files = [file for file in files if not file.name.startswith(".") and file.is_file()]
    if not files:
        kinds = ", ".join(IMAGE_SUFFIXES)
        raise MediaError(f"The folder '{folder}' holds no pictures ({kinds}): give a folder of frames or a video.")
    return sorted(files, key=lambda file: (natural_key(file.name), file.name))


class FolderFrames:
    """Pictures of a folder as frames; all must have the first one's size."""

    def __init__(self, files: list[Path], size: tuple[int, int]) -> None:
        self._files, self._size = files, size

    def __iter__(self) -> Iterator[np.ndarray]:
        for file in self._files:
            image = read_image(file)
            if image.shape[:2] != self._size:
                height, width = self._size
                raise MediaError(
                    f"'{file}' is {image.shape[1]} x {image.shape[0]} pixels, but the folder's first picture is "
                    f"{width} x {height}: frames of one clip need one size."
                )
            yield image


@dataclass(frozen=True)
class Animation:
    """Timeline of an animated picture. ``size``: (height, width); ``seconds``: length; ``count``: slots at ``fps``."""

    fps: Fraction
    size: tuple[int, int]
    seconds: Fraction
    count: int


def read_animation(file: Path) -> Animation | None:
    """Timeline of a GIF, WebP or PNG with more than one frame; None for a still picture.

    Equal durations give an exact rate, mixed ones the rate nearest to their average. A duration of 10 ms or less
    counts as 100 ms, as browsers play it.

    Frames after damage are not counted.

    Raises:
        MediaError: no picture, or damaged in its first two frames.
    """
    with open_picture(file) as picture:
        if picture.format not in _ANIMATED_FORMATS:
            return None
        size = picture_to_rgb(picture, file).shape[:2]
        durations: list[Fraction] = []
        damage: MediaError | None = None
        try:
            durations.extend(_duration(picture) for _ in _each_frame(picture, file))
        except MediaError as error:
            damage = error
    if damage is not None and len(durations) < 2:
        raise damage
    if len(durations) < 2:
        return None
    total = sum(durations, Fraction(0))
    average = len(durations) / total
    fps = choose_rate(average, average if len(set(durations)) == 1 else None)
    return Animation(fps, (size[0], size[1]), total, sum(1 for _ in hold(_times(durations), fps)))


def _times(durations: list[Fraction]) -> Iterator[tuple[Fraction, Fraction, int]]:
    time = Fraction(0)
    for index, duration in enumerate(durations):
        yield time, duration, index
        time += duration


def _each_frame(picture: Image.Image, file: Path) -> Iterator[int]:
    """Step through the frames of an open picture."""
    index = 0
    while True:
        try:
            picture.seek(index)
            picture.load()
        except EOFError:
            return
        except Exception as error:  # decoders raise many kinds on damaged data
            raise MediaError(
                f"'{file}' is damaged after {index} frames ({reason(error)}): copy or download the file again."
            ) from error
        yield index
        index += 1


def _duration(picture: Image.Image) -> Fraction:
    """Seconds that the current frame is shown."""
    shown = Fraction(picture.info.get("duration") or 0).limit_denominator(1000) / 1000
    return shown if shown >= _SHORTEST else _UNSAID


class AnimatedFrames:
    """Frames of an animated picture, read lazily; iterating again reads the file again.

    A damaged file gives the frames before the damage, then a :class:`DamagedMediaWarning`.
    """

    def __init__(self, file: Path, fps: Fraction) -> None:
        self._file, self._fps = file, fps

    def __iter__(self) -> Iterator[np.ndarray]:
        with open_picture(self._file) as picture:
            for image in hold(self._timed(picture), self._fps):
                yield image.copy()

    def _timed(self, picture: Image.Image) -> Iterator[tuple[Fraction, Fraction, np.ndarray]]:
        time, steps = Fraction(0), _each_frame(picture, self._file)
        while True:
            try:
                if next(steps, None) is None:
                    return
            except MediaError as error:
                warnings.warn(str(error), DamagedMediaWarning, stacklevel=2)
                return
            duration = _duration(picture)
            yield time, duration, picture_to_rgb(picture, self._file)
            time += duration
