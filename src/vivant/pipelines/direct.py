"""Animations of methods that make frames from controls themselves (``Generator.generate``), in one phase."""

from __future__ import annotations

import time
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from vivant.core.clip import Clip
from vivant.core.errors import ConfigError
from vivant.pipelines.animation import Animation
from vivant.pipelines.controls import SPEECH_FPS, driving_clip, read_controls
from vivant.pipelines.inputs import as_clip, as_fps, check_moving, name_of
from vivant.pipelines.posed import drawn, kept_poses, person_and_poses
from vivant.pipelines.sources import Portrait, still_portrait
from vivant.pipelines.view import View

if TYPE_CHECKING:
    from vivant.pipelines.animate import Request
    from vivant.pipelines.load import Pipeline


def makes_frames(generator: Any) -> bool:
    """Whether a method's Generator makes frames from controls; else it makes motion first, which is then rendered."""
    return hasattr(generator, "generate")


def directed(pipe: Pipeline, request: Request) -> Animation:
    """The animation of one request; controls are read now, frames are made when they are asked for.

    Raises:
        ConfigError: the source is a video, the driver is saved motion, something is asked that only motion has, or
            options do not go together.
        MediaError, FaceError: an input cannot be used.
    """
    from vivant.pipelines.animate import describe, size_warning

    begin = time.perf_counter()
    if hasattr(pipe.generator, "check"):
        pipe.generator.check(request.options)
    clip, name = as_clip(request.source, "source"), name_of(request.source, "source")
    if clip.count != 1:
        raise ConfigError(f"The method '{pipe.spec.name}' moves a still, and {name} is a video: give a picture.")
    for option in request.generation():
        raise ConfigError(f"The method '{pipe.spec.name}' knows no {_FOR_MOTION[option]}: leave that out.")
    track = kept_poses(request.driving) if pipe.spec.capabilities.pose else None
    if track is not None:
        driver: Clip | None = drawn(track)
    else:
        driver = None if request.driving is None else driving_clip(request.driving)
    if request.output is not None:
        check_moving(request.output, driver, *([_SPEAKS] if request.audio is not None else []))
    fps = _fps(pipe, request, driver)
    if pipe.spec.capabilities.pose:
        portrait, driven = person_and_poses(pipe, request, clip, driver, fps, track)
    else:
        portrait = still_portrait(pipe.finder, clip, pipe.config, request.face, name)
        driven = read_controls(pipe, request, fps, driver)
    portrait.match_color = request.match_color
    controls = driven.controls
    view = View(
        lambda crop: pipe.generator.generate(crop, controls, request.options),
        portrait, controls.fps, controls.count, _side(pipe.config, portrait), driver, request.crop_only,
        request.side_by_side,
    )  # fmt: skip
    return Animation(
        render=view.frames,
        fps=controls.fps,
        size=view.size,
        count=controls.count,
        audio=driven.sound if controls.count > 1 or request.audio is not None else None,
        warnings=untrained(pipe) + portrait.warnings + driven.warnings + size_warning(view.size),
        request=describe(pipe, request),
        seconds=time.perf_counter() - begin,
    )


def untrained(pipe: Any) -> list[str]:
    """A warning if a preset that is meant to be of use has random weights; ``tiny`` is there for tests."""
    if pipe.weights_info.files or pipe.preset == "tiny":
        return []
    return [
        f"The preset '{pipe.preset}' of {pipe.spec.name} has no trained weights here, so what is made means nothing: "
        "give --weights."
    ]


def _side(config: Any, portrait: Portrait) -> int:
    """Side of the squares that are made: the configuration's, or that of the crops where it is ``native``."""
    return len(portrait.crops[0].image) if getattr(config, "native", False) else int(config.output_size)


_FOR_MOTION = {"reference": "neutral frame (--neutral-frame)", "steady_eyes": "steady eyes (--steady-eyes)"}
"""What can be asked of methods that make motion first, in words."""
_SPEAKS = Clip((), SPEECH_FPS, (1, 1))
"""Stands for something that moves, where sound drives."""


def _fps(pipe: Pipeline, request: Request, driver: Clip | None) -> Fraction:
    """The rate asked for, else the driver's, else the method's own (``config.fps``), else 25."""
    from_driver = None if driver is None or driver.count == 1 else driver.fps
    return as_fps(request.fps) or from_driver or Fraction(getattr(pipe.config, "fps", SPEECH_FPS))
