"""Frames of a video file through PyAV: upright, square pixels, RGB, on a timeline of constant rate.

Applied to each frame: the display matrix (rotation and mirroring), the pixel aspect ratio, the file's colour matrix
and range (untagged files: BT.709 from 720 lines on, BT.601 below), 10 and more bits to 8, PQ and HLG brightness to
sRGB (reference white becomes white), transparency over white.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorPrimaries, Colorspace, ColorTrc, Interpolation, VideoReformatter

from vivant.core.errors import MediaError
from vivant.media.container import open_container, video_stream
from vivant.media.files import DamagedMediaWarning
from vivant.media.image import BACKGROUND
from vivant.media.timeline import choose_rate, hold

_HDR_CURVES = (int(ColorTrc.SMPTE2084), int(ColorTrc.ARIB_STD_B67))
_UNSPECIFIED_MATRIX = 2
_HD_LINES = 720
_SMOOTH = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
_UNKNOWN_LENGTH_GAP = Fraction(60)


@dataclass(frozen=True)
class VideoHeader:
    """What is known of a video before its frames are read.

    ``fps``: exact native rate. ``size``: (height, width) as shown. ``count``: frames on the native timeline when
    the container says it. ``stored``: frames the container holds, or None. ``seconds``: length of the picture track,
    or None.
    """

    fps: Fraction
    size: tuple[int, int]
    count: int | None
    stored: int | None
    seconds: Fraction | None
    has_audio: bool


def read_header(path: Path) -> VideoHeader:
    """Open a video, decode its first frame and say what it is.

    Raises:
        MediaError: no video, or no frame of it can be decoded.
    """
    with open_container(path) as container:
        stream = video_stream(container)
        if stream is None:
            raise MediaError(f"'{path}' holds no pictures: give a video, a GIF, a picture or a folder of pictures.")
        first = next(_frames(container, stream, _Damage()), None)
        if first is None:
            raise MediaError(f"'{path}' holds no frame that can be decoded: it is empty, cut short or damaged.")
        fps = choose_rate(stream.average_rate, stream.base_rate)
        stored = stream.frames or None
        seconds = _length(container, stream)
        size, count = FrameConverter(stream).size(first), _count(stored, seconds, fps)
        return VideoHeader(fps, size, count, stored, seconds, bool(container.streams.audio))


def _length(container: Any, stream: Any) -> Fraction | None:
    """Seconds of the picture track; of the whole file where the container does not say it for the track."""
    if stream.duration:
        return Fraction(stream.duration) * stream.time_base
    said = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
    if said is not None:  # Matroska writes the track's length as a tag
        hours, minutes, seconds = said.groups()
        return (int(hours) * 60 + int(minutes)) * 60 + Fraction(seconds)
    return Fraction(container.duration, av.time_base) if container.duration else None


def _count(stored: int | None, seconds: Fraction | None, fps: Fraction) -> int | None:
    """Stored frames if they fill the timeline one to one, which they do not for variable rates."""
    if stored is None or seconds is None or abs(seconds * fps - stored) >= Fraction(1, 2):
        return None
    return stored


@dataclass
class _Damage:
    """What went wrong while reading."""

    packets: int = 0
    cut: bool = False


def _frames(container: Any, stream: Any, damage: _Damage) -> Iterator[Any]:
    """Decoded frames in order of display; damaged packets are left out and counted."""
    stream.thread_type = "AUTO"
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except (av.FFmpegError, OSError):
            damage.cut = True
            packet = None
        if packet is not None and packet.is_corrupt:
            damage.packets += 1
            continue
        try:
            yield from packet.decode() if packet is not None else _flush(stream, damage)
        except (av.FFmpegError, OSError):
            damage.packets += 1
        if packet is None:
            return


def _flush(stream: Any, damage: _Damage) -> list[Any]:
    """Frames still in the decoder after a read error; at a regular end the demuxer has flushed it already."""
    return list(stream.decode(None)) if damage.cut else []


class FrameConverter:
    """Decoded frames of one stream to (H, W, 3) uint8 RGB as shown."""

    def __init__(self, stream: Any) -> None:
        self._reformatter = VideoReformatter()
        self._aspect: Fraction = stream.sample_aspect_ratio or Fraction(1)
        self._turn: tuple[bool, bool, bool] | None = None

    def size(self, frame: Any) -> tuple[int, int]:
        """(height, width) that :meth:`rgb` gives, without converting."""
        width, height = self._width(frame), int(frame.height)
        return (width, height) if self._display(frame)[0] else (height, width)

    def _display(self, frame: Any) -> tuple[bool, bool, bool]:
        # Asked of the first frame only: a frame whose side data was looked at is freed late, by the garbage collector.
        if self._turn is None:
            self._turn = _display(frame)
        return self._turn

    def _width(self, frame: Any) -> int:
        return max(1, round(frame.width * self._aspect))

    def rgb(self, frame: Any) -> np.ndarray:
        """One frame as a new (H, W, 3) uint8 array.

        Raises:
            MediaError: FFmpeg cannot convert its pixel format.
        """
        try:
            return self._rgb(frame)
        except (av.FFmpegError, ValueError) as error:
            raise MediaError(
                f"The video's pixel format {frame.format.name} cannot be converted: re-encode it as yuv420p."
            ) from error

    def _rgb(self, frame: Any) -> np.ndarray:
        has_alpha = any(component.is_alpha for component in frame.format.components)
        options: dict[str, Any] = {}
        if frame.color_trc in _HDR_CURVES:
            options = {"dst_color_trc": ColorTrc.IEC61966_2_1, "dst_color_primaries": ColorPrimaries.BT709}
        elif frame.colorspace == _UNSPECIFIED_MATRIX and frame.height >= _HD_LINES and not frame.format.is_rgb:
            options = {"src_colorspace": Colorspace.ITU709}
        converted = self._reformatter.reformat(
            frame,
            width=self._width(frame),
            format="rgba" if has_alpha else "rgb24",
            interpolation=_SMOOTH,
            threads=1,
            **options,
        )
        image = converted.to_ndarray()
        return np.ascontiguousarray(_upright(_over_background(image) if has_alpha else image, self._display(frame)))


def _over_background(rgba: np.ndarray) -> np.ndarray:
    alpha = rgba[..., 3:].astype(np.uint16)
    mixed = rgba[..., :3] * alpha + np.array(BACKGROUND, np.uint16) * (255 - alpha)
    return ((mixed + 127) // 255).astype(np.uint8)


def _display(frame: Any) -> tuple[bool, bool, bool]:
    """Display matrix as (transpose, then mirror left-right, then mirror up-down), the nearest of the eight.

    The matrix holds rows (a b u), (c d v), (x y w): a stored pixel (x, y) is shown at (a x + c y, b x + d y).
    """
    matrix = frame.side_data.get("DISPLAYMATRIX") if frame.side_data else None
    if matrix is None:
        return False, False, False
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].astype(np.int64)
    transpose = bool(abs(b) + abs(c) > abs(a) + abs(d))
    x, y = (c, b) if transpose else (a, d)
    return transpose, bool(x < 0), bool(y < 0)


def _upright(image: np.ndarray, turn: tuple[bool, bool, bool]) -> np.ndarray:
    transpose, mirror_x, mirror_y = turn
    image = image.transpose(1, 0, 2) if transpose else image
    return image[:: -1 if mirror_y else 1, :: -1 if mirror_x else 1]


class VideoFrames:
    """Frames of a video file, read lazily; iterating again reads the file again.

    Damage (documented rule): packets that cannot be decoded are left out and the frame before them is held, so that
    time stays true; if the file is cut short the frames before the cut come. In both cases a
    :class:`DamagedMediaWarning` at the end says so.
    """

    def __init__(self, path: Path, header: VideoHeader, fps: Fraction) -> None:
        self._path, self._header, self._fps = path, header, fps

    def __iter__(self) -> Iterator[np.ndarray]:
        with open_container(self._path) as container:
            stream = video_stream(container)
            if stream is None:
                raise MediaError(f"'{self._path}' has changed while it was read: open it again.")
            converter = FrameConverter(stream)
            # Held frames are converted again, so that every array that comes out is the caller's own.
            for frame in hold(self._timed(container, stream), self._fps):
                yield self._checked(converter.rgb(frame))

    def _checked(self, image: np.ndarray) -> np.ndarray:
        if image.shape[:2] != self._header.size:
            height, width = self._header.size
            raise MediaError(
                f"'{self._path}' changes its picture size from {width} x {height} to {image.shape[1]} x "
                f"{image.shape[0]}: re-encode it with one size."
            )
        return image

    def _timed(self, container: Any, stream: Any) -> Iterator[tuple[Fraction, Fraction, Any]]:
        """(time, duration, frame) in seconds from the first frame, rising; impossible timestamps are mended."""
        native = 1 / self._header.fps
        length = self._header.seconds
        damage, read, start, last = _Damage(), 0, None, -native
        for frame in _frames(container, stream, damage):
            stamp = None if frame.pts is None else frame.pts * Fraction(frame.time_base)
            start = stamp if start is None else start
            time = None if stamp is None or start is None else stamp - start
            limit = last + _UNKNOWN_LENGTH_GAP if length is None else length + 1
            if time is None or not last - 1 <= time <= limit:
                time = last + native
                start = None if stamp is None else stamp - time
            last = max(time, last)
            read += 1
            yield last, max(native, frame.duration * Fraction(frame.time_base)), frame
        self._report(damage, read, last + native)

    def _report(self, damage: _Damage, read: int, seconds: Fraction) -> None:
        stored = self._header.stored
        missing = stored is not None and read < stored - damage.packets and self._header.count is not None
        if not (damage.cut or damage.packets or missing):
            return
        of = f" of {stored}" if stored else ""
        warnings.warn(
            f"'{self._path}' is damaged or cut short: {read}{of} frames up to {float(seconds):.2f} s could be read.",
            DamagedMediaWarning,
            stacklevel=2,
        )
