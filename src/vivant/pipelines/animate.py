"""Animate: a portrait follows a driver. media -> perception -> controls -> method -> compose -> media, as
iterators."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np

from vivant.core.clip import Clip
from vivant.core.errors import ConfigError
from vivant.core.registry import DEFAULT_METHOD, get_method
from vivant.pipelines.ahead import ahead
from vivant.pipelines.animation import Animation
from vivant.pipelines.drivers import Driver, open_driver, read_motion
from vivant.pipelines.inputs import Media, as_clip, as_fps, check_moving, check_output, name_of
from vivant.pipelines.load import Pipeline, load
from vivant.pipelines.options import build_options
from vivant.pipelines.panels import row_size, side_by_side
from vivant.pipelines.sources import Portrait, still_portrait, video_portrait
from vivant.provenance.record import plain

PLAYABLE_SIDE = 4096


@dataclass
class Request:
    """One wish: what moves, what drives it, and how the result is shown; see :func:`animate` for the
    fields."""

    source: Media
    driving: Media | None
    options: Any
    face: str | int = "largest"
    driving_face: str | int = "largest"
    fps: float | str | Fraction | None = None
    crop_only: bool = False
    side_by_side: bool = False
    match_color: bool = False
    progress: bool = False
    reference: str | int = "first"
    steady_eyes: bool = False
    output: str | os.PathLike[str] | None = None

    def generation(self) -> dict[str, Any]:
        """What is asked of the method's Generator beyond its defaults."""
        asked = {"reference": self.reference, "steady_eyes": self.steady_eyes}
        usual = {"reference": "first", "steady_eyes": False}
        return {name: value for name, value in asked.items() if value != usual[name]}


def animate(
    source: Media,
    driving: Media | None = None,
    output: str | os.PathLike[str] | None = None,
    *,
    audio: Media | None = None,
    method: str = DEFAULT_METHOD,
    weights: str | os.PathLike[str] | None = None,
    preset: str | None = None,
    device: str = "auto",
    dtype: str = "auto",
    seed: int = 0,
    fps: float | str | Fraction | None = None,
    face: str | int = "largest",
    driving_face: str | int = "largest",
    sliders: Mapping[str, Any] | None = None,
    strength: Mapping[str, float] | None = None,
    crop_only: bool = False,
    side_by_side: bool = False,
    match_color: bool = False,
    quality: int = 18,
    overwrite: bool = True,
    progress: bool = False,
    save_motion: str | os.PathLike[str] | None = None,
    reference: str | int = "first",
    steady_eyes: bool = False,
    **options: Any,
) -> Animation:
    """Bring ``source`` to life.

    Args:
        source: portrait: path of a picture or video, (H, W, 3) uint8 RGB, or a Clip.
        driving: path of a video, picture or saved motion (.safetensors, released .pkl), an array, a Clip or a
        motion
            template; None edits the still with ``sliders`` into one frame.
        output: file to write; without it, call ``.save(path)`` on the result.
        audio: speech, for methods that take it.
        method: name of the method; ``weights``, ``preset``, ``device``, ``dtype``, ``seed`` as in
        :func:`vivant.load`. fps: frames per second of the result; None keeps the driver's (a source video's
        own), exactly. face: "largest", "all" or an index (0 is the largest) of the faces in ``source``.
        driving_face: "largest" or an index of the faces in ``driving``.
        sliders, strength, options: the method's own, see ``vivant animate --help``.
        crop_only: return the generated square instead of the whole picture.
        side_by_side: show source, driver and result in a row.
        match_color: match the colours of the pasted crop to the picture at its rim.
        quality: constant rate factor of H.264, 0..51; ``overwrite``: replace an existing ``output``.
        progress: bars on stderr.
        save_motion: file (.safetensors) to keep the driver's motion in, which can drive again without the
        video.

    Raises:
        VivantError: bad input; the message is one sentence that says what to do.
    """
    if save_motion is not None:
        check_motion_output(save_motion)
    for written in (output, save_motion):
        if written is not None:
            check_output(written, overwrite, (source, driving))
    if not 0 <= quality <= 51:
        raise ConfigError(f"The quality {quality} is out of range: give 0 (best, largest) to 51.")
    spec = get_method(method)
    resolved = build_options(spec, options, sliders, strength)
    require_control(spec, driving, audio, sliders)
    pipe = load(method, weights, preset, device, dtype, seed)
    request = Request(source, driving, resolved, face, driving_face, fps, crop_only, side_by_side)
    request.match_color, request.progress = match_color, progress
    request.reference, request.steady_eyes, request.output = reference, steady_eyes, output
    result = run(pipe, request)
    if save_motion is not None and result.motion is not None:
        result.motion.save(save_motion)
    if output is not None:
        result.save(output, quality, overwrite, progress)
    return result


def check_motion_output(path: str | os.PathLike[str]) -> None:
    """Refuse a name for saved motion that could not be used as a driver later.

    Raises:
        ConfigError: another suffix than .safetensors.
    """
    if not os.fspath(path).endswith(".safetensors"):
        raise ConfigError(f"Saved motion needs the suffix .safetensors, and {path} has another: rename it.")


def require_control(spec: Any, driving: Any, audio: Any, sliders: Any) -> None:
    """Refuse a wish the method cannot serve.

    Raises:
        ConfigError: audio or driving for a method without it, or nothing that drives.
    """
    if audio is not None and not spec.capabilities.audio:
        raise ConfigError(f"The method '{spec.name}' is not driven by audio: give a driving video instead.")
    if driving is not None and not spec.capabilities.driving:
        raise ConfigError(f"The method '{spec.name}' takes no driving video: see vivant methods.")
    if driving is None and audio is None and not sliders:
        raise ConfigError("Nothing drives the portrait: give a driving video or picture (-d), or sliders.")


def run(pipe: Pipeline, request: Request) -> Animation:
    """The animation of one request with a loaded method; reads the driver now, renders when frames are asked
    for."""
    if request.driving is None:
        from vivant.pipelines.edit import edited

        return edited(pipe, request)
    begin = time.perf_counter()
    clip = as_clip(request.source, "source")
    driver = open_driver(pipe.spec, request.driving, pipe.config.family == "published")
    if request.output is not None:
        check_moving(request.output, clip, driver.clip)
    fps = as_fps(request.fps) or (driver.fps if clip.count == 1 else clip.fps)
    portrait = _portrait(pipe, request, clip, driver, fps)
    motion, held = read_motion(pipe.generator, pipe.config, driver, request.driving_face, fps, request.progress)
    count = _count(portrait, len(motion))
    sound = (driver.clip.audio if driver.clip else None) or clip.audio
    view = _View(pipe, request, portrait, driver, motion, fps, count)
    return Animation(
        render=view.frames,
        fps=fps,
        size=view.size,
        count=count,
        audio=sound if count > 1 else None,
        missing=tuple(motion.missing),
        warnings=portrait.warnings + held + _size_warning(view.size),
        request=describe(pipe, request),
        motion=motion,
        seconds=time.perf_counter() - begin,
    )


def _portrait(pipe: Pipeline, request: Request, clip: Clip, driver: Driver, fps: Fraction) -> Portrait:
    from vivant.media.video import at_rate

    name = name_of(request.source, "source")
    if clip.count == 1:
        portrait = still_portrait(pipe.finder, clip, pipe.config, request.face, name)
    else:
        length = _driver_length(driver, fps)
        portrait = video_portrait(at_rate(clip, fps), pipe.config, request.face, name, length, request.progress)
    portrait.match_color = request.match_color
    return portrait


def _driver_length(driver: Driver, fps: Fraction) -> int | None:
    """Frames that the driver will give at ``fps``; None when unknown, or for a single picture, which
    lasts."""
    known = len(driver.motion) if driver.clip is None else driver.clip.count
    return None if known in (None, 1) else -int(-known * fps // driver.fps)


def _count(portrait: Portrait, motion: int) -> int:
    """Frames of the result: the shorter of source and driver; stills and single pictures last as long as
    needed."""
    if portrait.count is None:
        return motion
    return portrait.count if motion == 1 else min(portrait.count, motion)


def _size_warning(size: tuple[int, int]) -> list[str]:
    if max(size) <= PLAYABLE_SIDE:
        return []
    return [f"The picture is {size[1]}x{size[0]} px: many players show videos only up to {PLAYABLE_SIDE} px."]


@dataclass
class _View:
    """Renders one animation, from its first frame on every call of :meth:`frames`."""

    pipe: Pipeline
    request: Request
    portrait: Portrait
    driver: Driver
    motion: Any
    fps: Fraction
    count: int

    def frames(self) -> Iterator[np.ndarray]:
        """Result frames (H, W, 3) uint8 RGB."""
        generate = partial(self.pipe.generator.animate, **self.request.generation())
        streams = [ahead(generate(crop, self.motion, self.request.options)) for crop in self.portrait.crops]
        crop_only = self.request.crop_only
        frames = self.portrait.cropped(streams) if crop_only else self.portrait.pasted(streams)
        if self.request.side_by_side:
            frames = side_by_side([*self._others(), frames], self.result_size[0])
        return islice(frames, self.count)

    def _others(self) -> list[Iterable[np.ndarray]]:
        if self.driver.clip is None:
            return [self.portrait.backgrounds()]
        from vivant.media.video import at_rate

        frames = at_rate(self.driver.clip, self.fps).frames
        return [self.portrait.backgrounds(), cycle(frames) if self.driver.clip.count == 1 else frames]

    @property
    def result_size(self) -> tuple[int, int]:
        """(height, width) of the result alone."""
        if self.request.crop_only:
            side = self.pipe.config.output_size
            return side, side * len(self.portrait.crops)
        return self.portrait.clip.size

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of what :meth:`frames` yields."""
        if not self.request.side_by_side:
            return self.result_size
        sizes = [self.portrait.clip.size, self.result_size]
        if self.driver.clip is not None:
            sizes.append(self.driver.clip.size)
        return row_size(sizes, self.result_size[0])


def describe(pipe: Pipeline, request: Request) -> dict[str, Any]:
    """What the run record says about method, weights, options and inputs."""
    shown = {key: getattr(request, key) for key in ("face", "driving_face", "fps", "crop_only", "side_by_side")}
    inputs = {"source": request.source}
    files = {Path(file).name: digest for file, digest in pipe.weights_info.files.items()}
    if request.driving is not None:
        inputs["driving"] = request.driving
    return {
        "method": pipe.spec.name,
        "preset": pipe.preset,
        "weights": {**plain(pipe.weights_info), "files": files},
        "device": pipe.device,
        "dtype": pipe.dtype,
        "seed": pipe.seed,
        "options": request.options,
        "view": {**shown, "match_color": request.match_color, **request.generation()},
        "inputs": inputs,
    }
