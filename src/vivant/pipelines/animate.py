"""Animate: a portrait follows a driver. media -> perception -> controls -> method -> compose -> media, as
iterators."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

from vivant.core.clip import Clip
from vivant.core.errors import ConfigError
from vivant.core.registry import default_method, get_method
from vivant.core.spec import MethodSpec
from vivant.pipelines.animation import Animation
from vivant.pipelines.direct import directed, makes_frames
from vivant.pipelines.drivers import Driver, open_driver, read_motion
from vivant.pipelines.inputs import Media, as_clip, as_fps, check_moving, check_output, name_of
from vivant.pipelines.load import Pipeline, load
from vivant.pipelines.options import build_options, check_acting, ways_to_drive
from vivant.pipelines.say import Saying, said, saying_of
from vivant.pipelines.sources import Portrait, still_portrait, video_portrait
from vivant.pipelines.view import View
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
    audio: Any = None
    keypoints: Any = None
    encoders: Mapping[str, str] | None = None
    saying: Saying | None = None

    @property
    def driven(self) -> bool:
        """Whether anything but sliders moves the portrait."""
        return any(given is not None for given in (self.driving, self.audio, self.keypoints))

    @property
    def inputs(self) -> tuple[str, ...]:
        """Which of a driver, a sound and V-Kps there are."""
        return tuple(name for name in ("driving", "audio", "keypoints") if getattr(self, name) is not None)

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
    audio: Any = None,
    text: str | None = None,
    voice: str = "",
    language: str = "",
    keypoints: Any = None,
    encoders: Mapping[str, str] | None = None,
    method: str | None = None,
    weights: str | os.PathLike[str] | None = None,
    preset: str | None = None,
    device: str = "auto",
    dtype: str = "auto",
    seed: int = 0,
    lora: Sequence[str] = (),
    backend: str = "torch",
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
        driving: path of a video, picture or saved motion (.safetensors, released .pkl), an array, a Clip or a motion
            template; with nothing that drives, the still is edited with ``sliders`` into one frame.
        output: file to write; without it, call ``.save(path)`` on the result.
        audio: speech: path of an audio or video file, an Audio, or samples (N,) at 16 kHz; the result lasts as long.
        text: what the portrait says, instead of ``audio``; ``voice``: "engine" or "engine:name" that says it, empty for
            the first that is installed; ``language``: such as "de", empty for the voice's own.
        keypoints: V-Kps, for methods that take them: see :func:`vivant.pipelines.keypoints.read_keypoints`.
        encoders: speech encoder -> file or folder of its weights, where they are not bundled or on the hub.
        method: name of the method; None is the default for what drives.
        weights, preset, device, dtype, seed, lora, backend: as in :func:`vivant.load`.
        fps: frames per second of the result; None keeps the driver's (a source video's own) exactly; 25, or what the
            method was made for, where only sound drives.
        face: "largest", "all" or an index (0 is the largest) of the faces in ``source``.
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
    for written, motion in ((output, False), (save_motion, True)):
        if written is not None:
            check_output(written, overwrite, (source, driving, audio, keypoints, weights), motion)
    if not 0 <= quality <= 51:
        raise ConfigError(f"The quality {quality} is out of range: give 0 (best, largest) to 51.")
    saying = saying_of(text, voice, language)
    method = method or default_method((audio is not None or saying is not None) and driving is None)
    spec = get_method(method)
    resolved = build_options(spec, options, sliders, strength, seed)
    request = Request(source, driving, resolved, face, driving_face, fps, crop_only, side_by_side)
    request.saying, request.audio = saying, said(saying, audio, seed)
    request.keypoints, request.encoders = keypoints, encoders
    require_control(spec, request, bool(sliders))
    pipe = load(method, weights, preset, device, dtype, seed, lora, backend)
    request.match_color, request.progress = match_color, progress
    request.reference, request.steady_eyes, request.output = reference, steady_eyes, output
    result = run(pipe, request)
    if save_motion is not None:
        if result.motion is None:
            raise ConfigError("There is no driver's motion to keep: leave out --save-motion, or drive by a video.")
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


def require_control(spec: MethodSpec, request: Request, sliders: bool) -> None:
    """Refuse a wish the method cannot serve.

    Raises:
        ConfigError: a control that the method does not take, nothing that drives, or what would act on nothing.
    """
    takes = spec.capabilities
    if request.audio is not None and not takes.audio:
        raise ConfigError(f"The method '{spec.name}' is not driven by audio: leave the method or the sound out.")
    if request.driving is not None and not (takes.driving or takes.pose):
        raise ConfigError(f"The method '{spec.name}' takes no driving video: see vivant methods.")
    if request.keypoints is not None and not takes.keypoints:
        raise ConfigError(f"The method '{spec.name}' takes no keypoints: see vivant methods.")
    if not request.driven and not sliders:
        raise ConfigError(f"Nothing drives the portrait: give {ways_to_drive(spec)}.")
    if request.audio is None and takes.audio and not (takes.driving or takes.sliders):
        raise ConfigError(f"The method '{spec.name}' needs sound: give it with -a, for example -a speech.wav.")
    if request.encoders and request.audio is None:
        raise ConfigError("Speech encoders are given, but no sound that they could hear: add it with -a.")
    check_acting(spec, request.options, request.inputs)


def run(pipe: Pipeline, request: Request) -> Animation:
    """The animation of one request with a loaded method; reads what drives now, renders when frames are asked
    for."""
    if not request.driven:
        from vivant.pipelines.edit import edited

        return edited(pipe, request)
    if makes_frames(pipe.generator):
        return directed(pipe, request)
    begin = time.perf_counter()
    if hasattr(pipe.generator, "check"):
        pipe.generator.check(request.options, request.reference)
    clip = as_clip(request.source, "source")
    driver = open_driver(pipe.spec, request.driving, pipe.config.family == "published")
    if request.output is not None:
        check_moving(request.output, clip, driver.clip)
    fps = as_fps(request.fps) or (driver.fps if clip.count == 1 else clip.fps)
    portrait = _portrait(pipe, request, clip, driver, fps)
    motion, held = read_motion(pipe.generator, pipe.config, driver, request.driving_face, fps, request.progress)
    count = _count(portrait, len(motion))
    sound = (driver.clip.audio if driver.clip else None) or clip.audio
    generate = partial(pipe.generator.animate, **request.generation())
    view = View(
        lambda crop: generate(crop, motion, request.options),
        portrait, fps, count, pipe.config.output_size, driver.clip, request.crop_only, request.side_by_side,
    )  # fmt: skip
    return Animation(
        render=view.frames,
        fps=fps,
        size=view.size,
        count=count,
        audio=sound if count > 1 else None,
        missing=tuple(motion.missing),
        warnings=portrait.warnings + held + size_warning(view.size),
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


def size_warning(size: tuple[int, int]) -> list[str]:
    """A warning for pictures that many players cannot show."""
    if max(size) <= PLAYABLE_SIDE:
        return []
    return [f"The picture is {size[1]}x{size[0]} px: many players show videos only up to {PLAYABLE_SIDE} px."]


def describe(pipe: Pipeline, request: Request) -> dict[str, Any]:
    """What the run record says about method, weights, options and inputs."""
    shown = {key: getattr(request, key) for key in ("face", "driving_face", "fps", "crop_only", "side_by_side")}
    given = {role: getattr(request, role) for role in ("source", "driving", "audio", "keypoints")}
    inputs = {role: value for role, value in given.items() if value is not None}
    files = {Path(file).name: digest for file, digest in pipe.weights_info.files.items()}
    return {
        "method": pipe.spec.name,
        "preset": pipe.preset,
        "weights": {**plain(pipe.weights_info), "files": files},
        "device": pipe.device,
        "dtype": pipe.dtype,
        "seed": pipe.seed,
        "backend": pipe.backend,
        "options": request.options,
        "view": {**shown, "match_color": request.match_color, **request.generation()},
        "inputs": inputs,
        **({} if request.saying is None else {"said": request.saying}),
    }
