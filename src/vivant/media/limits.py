"""How large and how long a file is, told from headers and packets before anything is decoded, so that a decompression
bomb is known before it can go off."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av

from vivant.core.errors import LimitError, MediaError
from vivant.media.container import open_container, video_stream
from vivant.media.files import existing_file
from vivant.media.image import open_picture
from vivant.media.stills import is_picture, read_animation

_NAMES = "3gp aac aiff amr apng asf avi caf flac flv gif m4a matroska mov mp3 mp4 mpeg mpegts mxf ogg wav webm"
FORMATS = frozenset(_NAMES.split(" "))
"""FFmpeg's names of the containers that are accepted from strangers."""

ANIMATION_FACTOR = 50
"""Pixels of all frames of an animated picture over those of one; its frames must be decoded to know its length."""


@dataclass(frozen=True)
class MediaLimits:
    """``pixels``: of one picture, width times height; ``seconds``: of pictures or sound; ``frames``: of a clip."""

    pixels: int = 4096 * 4096
    seconds: float = 120.0
    frames: int = 7200


@dataclass(frozen=True)
class Measured:
    """``kind``: image, animation, video or audio. ``size``: (height, width) as stored, None for sound.
    ``seconds``: by header or by the packets' own times, whichever is longer. ``frames``: packets of pictures.
    ``has_sound``: a track of sound is there."""

    kind: str
    size: tuple[int, int] | None
    seconds: float
    frames: int
    has_sound: bool


def check_limits(path: Path, limits: MediaLimits, name: str) -> Measured:
    """What the file is.

    ``name``: how messages call it.

    Raises:
        LimitError: too many pixels, seconds or frames.
        MediaError: no picture, video or sound, or of a kind that is not accepted.
    """
    try:
        found = _picture(path, limits, name) if is_picture(existing_file(path)) else _stream(path, limits, name)
    except (av.FFmpegError, OSError, EOFError, ValueError) as error:
        raise MediaError(f"The {name} cannot be read: it is of an unknown kind, cut short or damaged.") from error
    if found.seconds > limits.seconds:
        raise LimitError(
            f"The {name} lasts {found.seconds:.1f} s, more than the {limits.seconds:g} s accepted: cut it."
        )
    if found.frames > limits.frames:
        raise LimitError(f"The {name} has {found.frames} frames, more than the {limits.frames} accepted: cut it.")
    return found


def _check_pixels(width: int, height: int, limits: MediaLimits, name: str) -> None:
    if width * height > limits.pixels:
        raise LimitError(
            f"The {name} has {width} x {height} pixels, more than the {limits.pixels / 1e6:.1f} megapixels accepted: "
            "scale it down."
        )


def _picture(path: Path, limits: MediaLimits, name: str) -> Measured:
    with open_picture(path) as picture:
        width, height = picture.size
        _check_pixels(width, height, limits, name)
        frames = int(getattr(picture, "n_frames", 1))
    if frames > limits.frames or frames * width * height > ANIMATION_FACTOR * limits.pixels:
        raise LimitError(f"The {name} is an animation of {frames} frames of {width} x {height}: give a video instead.")
    animation = read_animation(path)
    if animation is None:
        return Measured("image", (height, width), 0.0, 1, False)
    return Measured("animation", (height, width), float(animation.seconds), animation.count, False)


def _stream(path: Path, limits: MediaLimits, name: str) -> Measured:
    with open_container(path) as container:
        if not FORMATS & set(container.format.name.split(",")):
            raise MediaError(
                f"The {name} is of the kind '{container.format.name}', which is not accepted: give an MP4."
            )
        video = video_stream(container)
        for stream in container.streams.video:
            if stream.codec_context is None:
                raise MediaError(f"The pictures of the {name} cannot be decoded: it is cut short or damaged.")
            _check_pixels(stream.width or 0, stream.height or 0, limits, name)
        sound = next((stream for stream in container.streams.audio if stream.codec_context), None)
        if video is None and sound is None:
            raise MediaError(f"The {name} holds neither pictures nor sound: give a file that plays.")
        seconds, frames = _packets(container, video, sound, limits)
        size = None if video is None else (int(video.height), int(video.width))
        said = container.duration / av.time_base if container.duration else 0.0
        return Measured("audio" if size is None else "video", size, max(seconds, said), frames, sound is not None)


def _packets(container: Any, video: Any, sound: Any, limits: MediaLimits) -> tuple[float, int]:
    """Seconds from the first to the last packet of pictures and sound, and packets of pictures; stops beyond a
    limit."""
    first: dict[int, float] = {}
    seconds, frames = 0.0, 0
    for packet in container.demux([stream for stream in (video, sound) if stream is not None]):
        frames += packet.stream is video and packet.size > 0
        if packet.pts is not None:
            begin = float(packet.pts * packet.time_base)
            start = first.setdefault(packet.stream_index, begin)
            seconds = max(seconds, begin + float((packet.duration or 0) * packet.time_base) - start)
        if seconds > limits.seconds or frames > limits.frames:
            break
    return seconds, frames
