"""What drives: a video, picture, camera clip or saved motion, read once into a motion template."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from vivant.core.clip import Clip
from vivant.core.errors import ConfigError, MediaError
from vivant.core.spec import MethodSpec
from vivant.pipelines.ahead import ahead
from vivant.pipelines.crops import DriverCrops
from vivant.pipelines.inputs import MOTION_SUFFIXES, Media, as_clip, is_path, name_of
from vivant.pipelines.memory import returning_memory
from vivant.pipelines.progress import bar, held_frames


@dataclass
class Driver:
    """``clip``: its pictures, or None for saved motion. ``motion``: the saved motion, or None for
    pictures."""

    name: str
    clip: Clip | None = None
    motion: Any = None

    @property
    def fps(self) -> Fraction:
        """Frames per second of the pictures or of the saved motion."""
        fps: Fraction = self.clip.fps if self.clip is not None else self.motion.fps
        return fps


def open_driver(spec: MethodSpec, value: Media | Any, published: bool) -> Driver:
    """A driver from a path, array, Clip or motion template.

    ``published``: the loaded nets speak the published motion space, which released .pkl templates need.

    Raises:
        MediaError: missing or unreadable media.
        ConfigError: a .pkl template, and the nets are not the published ones.
        WeightsError: a motion file that is damaged, foreign or contains code.
    """
    name = name_of(value, "driver")
    if hasattr(value, "exp") and hasattr(value, "fps"):
        return Driver(name, motion=value)
    if is_path(value) and Path(value).suffix.lower() in MOTION_SUFFIXES:
        return Driver(name, motion=_open_motion(spec, Path(value), published))
    return Driver(name, clip=as_clip(value, "driver"))


def _open_motion(spec: MethodSpec, path: Path, published: bool) -> Any:
    if not path.is_file():
        raise MediaError(f"The motion file {path} does not exist: check the path.")
    template = spec.part("motion").MotionTemplate
    if path.suffix.lower() == ".pkl":
        if not published:
            raise ConfigError(
                f"The motion in {path} is for the published nets: add --preset released, or drive by video."
            )
        return template.import_pickle(path)
    return template.load(path)


def read_motion(
    generator: Any, config: Any, driver: Driver, face: str | int, fps: Fraction, progress: bool
) -> tuple[Any, list[str]]:
    """The driver's motion on a timeline of ``fps``, and warnings about frames without a face.

    Raises:
        MediaError: no frames.
        FaceError: no face in any frame.
    """
    if driver.clip is None:
        return resampled_motion(driver.motion, fps), []
    from vivant.media.video import at_rate

    clip = at_rate(driver.clip, fps)
    frames = bar(clip.frames, clip.count, "read driver", progress)
    crops = DriverCrops(frames, float(fps), config.driving_crop, config.input_size, face, driver.name)
    with returning_memory():
        motion = generator.motion(ahead(crops, 16), fps)
    if not crops.missing:
        return motion, []
    return motion, [held_frames(crops.missing, crops.count, driver.name)]


def resampled_motion(motion: Any, fps: Fraction) -> Any:
    """A motion template on another frame rate, each frame taking what was last seen at its time."""
    if motion.fps == fps or len(motion) == 1:
        return replace(motion, fps=fps)
    step = motion.fps / fps
    rows = [int(index * step) for index in range(-int(-len(motion) // step))]
    arrays = {item.name: getattr(motion, item.name) for item in fields(motion)}
    taken = {name: value[rows] for name, value in arrays.items() if isinstance(value, np.ndarray)}
    held = set(motion.missing)
    missing = tuple(index for index, row in enumerate(rows) if row in held)
    return replace(motion, fps=fps, missing=missing, **taken)
