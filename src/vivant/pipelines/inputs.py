"""Whatever a person hands over (path, array, clip) as a Clip, and the checks that come before any work."""

from __future__ import annotations

import os
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from vivant.core.clip import Clip
from vivant.core.errors import ConfigError, MediaError

DEFAULT_FPS = Fraction(25)
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
MOTION_SUFFIXES = (".safetensors", ".pkl")

Media = str | os.PathLike[str] | np.ndarray | Clip


def is_path(value: Any) -> TypeGuard[str | os.PathLike[str]]:
    """Whether ``value`` names something on disk."""
    return isinstance(value, (str, os.PathLike))


def name_of(value: Any, role: str) -> str:
    """How messages call an input: its file name, or its role when it never was a file."""
    return Path(value).name or str(value) if is_path(value) else f"the {role}"


def as_clip(value: Media, role: str) -> Clip:
    """A clip from a path, an array (H, W, 3) or (F, H, W, 3) uint8 RGB, or a Clip.

    Raises:
        MediaError: missing or unreadable file, an array of another shape or type, or no frames.
    """
    if isinstance(value, Clip):
        return value
    if isinstance(value, np.ndarray):
        return _array_clip(value, role)
    if not is_path(value):
        raise MediaError(f"The {role} is a {type(value).__name__}: give a path, an array or a Clip.")
    if not os.fspath(value):
        raise MediaError(f"The path of the {role} is empty: give a file or a folder.")
    path = Path(value)
    if not path.exists():
        raise MediaError(f"The {role} {path} does not exist: check the path.")
    from vivant.media.video import open_clip

    return open_clip(path)


def _array_clip(value: np.ndarray, role: str) -> Clip:
    frames = value[None] if value.ndim == 3 else value
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or 0 in frames.shape:
        raise MediaError(
            f"The {role} is an array {value.shape} of {value.dtype}: give (H, W, 3) or (F, H, W, 3) uint8 RGB."
        )
    return Clip(list(frames), DEFAULT_FPS, (frames.shape[1], frames.shape[2]), len(frames))


def first_frame(clip: Clip, name: str) -> np.ndarray:
    """First frame of ``clip``.

    Raises:
        MediaError: the clip has none.
    """
    for frame in clip.frames:
        return frame
    raise MediaError(f"There are no frames in {name}: give a file that plays.")


def as_fps(value: float | int | str | Fraction | None) -> Fraction | None:
    """Frames per second as an exact fraction: 25, "30000/1001" or 29.97 (which is 30000/1001).

    Raises:
        ConfigError: not a number, or outside 1..240.
    """
    if value is None:
        return None
    from vivant.media.timeline import exact_rate

    try:
        fps = exact_rate(value)
    except MediaError as error:
        raise ConfigError(str(error)) from None
    if not 1 <= fps <= 240:
        raise ConfigError(f"The frame rate {value} is out of range: give 1 to 240 frames per second.")
    return fps


def check_output(
    path: str | os.PathLike[str], overwrite: bool = True, inputs: Iterable[Any] = (), motion: bool = False
) -> Path:
    """The output path, its folder made and tried out, before any work is done for it.

    ``inputs``: what the output is made from; a file among them is never replaced. ``motion``: the output is saved
    motion or poses.

    Raises:
        MediaError: it is a folder with something in it, one of the inputs, exists and may not be replaced, has an
            unknown suffix, or cannot be written.
    """
    from vivant.media.files import Staged
    from vivant.media.writer import output_suffix

    target = Path(path)
    if target.is_dir() and (target.suffix or any(target.iterdir())):
        raise MediaError(
            f"The output {target} is a folder that holds files: name a file in it, for example {target / 'out.mp4'}, "
            "or a new folder for pictures."
        )
    if target.exists() and not target.is_dir():
        if any(is_path(value) and Path(value).exists() and target.samefile(value) for value in inputs):
            raise MediaError(f"The output {target} is also an input, which it would replace: choose another name.")
        if not overwrite:
            raise MediaError(f"The output {target} exists already: choose another name or allow --overwrite.")
    if target.suffix.lower() not in (*IMAGE_SUFFIXES, *(MOTION_SUFFIXES if motion else ())):
        output_suffix(path)
    Staged(target, folder=not target.suffix)
    return target


def check_folder(path: str | os.PathLike[str], option: str = "--out") -> None:
    """Refuse a folder for results that could not be made or written, before any work is done for it; makes nothing.

    Raises:
        MediaError: a file is in its way, or nothing may be written there.
    """
    place = Path(path)
    while not os.path.lexists(place) and place != place.parent:
        place = place.parent
    if not place.is_dir():
        raise MediaError(f"'{place}' is a file, not a folder: choose another {option}.")
    if not os.access(place, os.W_OK | os.X_OK):
        raise MediaError(f"Nothing can be written in '{place}': choose another {option}.")


def check_moving(output: str | os.PathLike[str], *clips: Clip | None) -> None:
    """Refuse a picture as the output of something that moves.

    Raises:
        MediaError: ``output`` has a picture's suffix and one of ``clips`` has more than one frame.
    """
    if Path(output).suffix.lower() in IMAGE_SUFFIXES and any(clip is not None and clip.count != 1 for clip in clips):
        raise MediaError(f"The result has more frames than the image {output} can hold: name a video, like .mp4.")
