"""Whatever a person hands over (path, array, clip) as a Clip, and the checks that come before any work."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from vivant.core.clip import Clip
from vivant.core.errors import ConfigError, MediaError

DEFAULT_FPS = Fraction(25)
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
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


def check_output(path: str | os.PathLike[str], overwrite: bool = True) -> Path:
    """The output path, its folder made, before any work is done for it.

    Raises:
        MediaError: it is a folder, exists and may not be replaced, or its folder cannot be written.
    """
    target = Path(path)
    if target.is_dir():
        raise MediaError(f"The output {target} is a folder: name a file in it, for example {target / 'out.mp4'}.")
    if target.exists() and not overwrite:
        raise MediaError(f"The output {target} exists already: choose another name or allow --overwrite.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MediaError(f"The folder {target.parent} cannot be made ({error.strerror}): choose another.") from error
    if not os.access(target.parent, os.W_OK):
        raise MediaError(f"The folder {target.parent} may not be written: choose another output.")
    return target
