"""Videos, GIFs, folders of frames and stills as one thing: a clip with an exact, constant frame rate."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from vivant.core.clip import Clip
from vivant.media.audio import FileAudio, has_sound, sound_seconds
from vivant.media.container import open_container, video_stream
from vivant.media.decode import VideoFrames, read_header
from vivant.media.files import DamagedMediaWarning, PathLike, existing_file, existing_path
from vivant.media.image import read_image
from vivant.media.stills import AnimatedFrames, FolderFrames, StillFrames, folder_files, is_picture, read_animation
from vivant.media.timeline import DEFAULT_FPS, exact_rate, hold

__all__ = ["DamagedMediaWarning", "MediaInfo", "at_rate", "open_clip", "probe"]


@dataclass(frozen=True)
class MediaInfo:
    """What a file or folder is.

    ``kind``: "video", "animation" (GIF, WebP or PNG with several frames), "image", "folder" or "audio".
    ``size``: (height, width) in pixels as shown, None for audio. ``fps``: exact frames per second on the constant
    timeline that :func:`open_clip` delivers, None for audio. ``count``: frames on it when known without reading all,
    else None. ``seconds``: length when known, else None. ``has_audio``: whether there is sound.
    """

    kind: str
    size: tuple[int, int] | None
    fps: Fraction | None
    count: int | None
    seconds: float | None
    has_audio: bool


def probe(path: PathLike, fps: Fraction | float | str | None = None) -> MediaInfo:
    """Say what is at ``path``; decodes one frame of it at most (an animated picture is stepped through).

    ``fps``: as in :func:`open_clip`.

    Raises:
        MediaError: nothing that can be opened is there.
    """
    file = existing_path(path)
    if not file.is_dir() and not is_picture(existing_file(file)):
        with open_container(file) as container:
            if video_stream(container) is None and container.streams.audio:
                return MediaInfo("audio", None, None, None, sound_seconds(container), True)
    kind, clip, seconds = _open(file, fps)
    if seconds is None and clip.count is not None:
        seconds = clip.count / clip.fps
    has_audio = kind == "video" and has_sound(file)
    return MediaInfo(kind, clip.size, clip.fps, clip.count, None if seconds is None else float(seconds), has_audio)


def open_clip(path: PathLike, fps: Fraction | float | str | None = None) -> Clip:
    """Open a video, an animated GIF, WebP or PNG, a folder of pictures (natural order) or a still (one frame).

    Frames come on a timeline of constant rate: slot k shows the source frame of that moment (see
    :mod:`vivant.media.timeline`), so variable rates keep their speed and their sound in step. ``clip.frames``
    is read lazily and can be iterated again; memory does not grow with length. Sound, too, is decoded only when
    ``clip.audio.samples`` is asked for; it starts with the first frame. A damaged video gives the frames before the
    damage, then a :class:`DamagedMediaWarning`.

    Args:
        path: file or folder; the kind is told from the content, not from the name.
        fps: rate of a folder or a still (25 if None); a video or an animation is brought to this rate.

    Raises:
        MediaError: nothing that can be opened is there, or its first frame cannot be decoded.
    """
    return _open(existing_path(path), fps)[1]


def _open(path: Path, fps: Fraction | float | str | None) -> tuple[str, Clip, Fraction | None]:
    """Kind, clip and length in seconds."""
    rate = None if fps is None else exact_rate(fps)
    if path.is_dir():
        files = folder_files(path)
        size = _size(read_image(files[0]))
        return "folder", Clip(FolderFrames(files, size), rate or DEFAULT_FPS, size, len(files)), None
    if is_picture(existing_file(path)):
        return _open_picture(path, rate)
    header = read_header(path)
    native = rate is None or rate == header.fps
    frames = VideoFrames(path, header, rate or header.fps)
    audio = FileAudio.open(path) if header.has_audio else None
    clip = Clip(frames, rate or header.fps, header.size, header.count if native else None, audio)
    return "video", clip, header.seconds


def _open_picture(file: Path, rate: Fraction | None) -> tuple[str, Clip, Fraction | None]:
    animation = read_animation(file)
    if animation is None:
        return "image", Clip(StillFrames(file), rate or DEFAULT_FPS, _size(read_image(file)), 1), None
    count = animation.count if rate is None or rate == animation.fps else None
    fps = rate or animation.fps
    return "animation", Clip(AnimatedFrames(file, fps), fps, animation.size, count), animation.seconds


def _size(image: np.ndarray) -> tuple[int, int]:
    return image.shape[0], image.shape[1]


class _Resampled:
    """Frames of a clip at another rate, as iterable as they were."""

    def __init__(self, frames: Iterable[np.ndarray], source: Fraction, target: Fraction) -> None:
        self._frames, self._source, self._target = frames, source, target

    def __iter__(self) -> Iterator[np.ndarray]:
        timed = ((index / self._source, 1 / self._source, frame) for index, frame in enumerate(self._frames))
        for frame in hold(timed, self._target):
            yield frame.copy()


def at_rate(clip: Clip, fps: Fraction | float | str) -> Clip:
    """The same clip at another frame rate: frames are held or left out, speed and sound stay.

    Raises:
        MediaError: ``fps`` is no frame rate.
    """
    rate = exact_rate(fps)
    if rate == clip.fps:
        return clip
    if clip.count == 1:
        return replace(clip, fps=rate)
    return replace(clip, frames=_Resampled(clip.frames, clip.fps, rate), fps=rate, count=None)
