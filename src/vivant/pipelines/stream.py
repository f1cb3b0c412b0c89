"""Stream: frames come out as the driver's frames come in, looking only back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import tee
from typing import Any

import numpy as np

from vivant.core.clip import Clip
from vivant.core.errors import ConfigError, MediaError
from vivant.core.face import FaceCrop
from vivant.pipelines.crops import SteadyWindow, cut, followed
from vivant.pipelines.inputs import Media, as_clip, is_path, name_of
from vivant.pipelines.load import Pipeline
from vivant.pipelines.options import check_acting
from vivant.pipelines.sources import still_portrait

CAMERA_FPS = 25.0


def stream(
    pipe: Pipeline,
    source: Media,
    driving: Any,
    options: Any,
    face: str | int = "largest",
    crop_only: bool = False,
) -> Iterator[np.ndarray]:
    """Whole pictures (H, W, 3) uint8 RGB, one for every driver frame.

    Raises:
        ConfigError: the method does not stream, the source is a video, or an option acts on sound.
        FaceError: no usable face in the source.
    """
    if not pipe.spec.capabilities.streams:
        raise ConfigError(f"The method '{pipe.spec.name}' does not stream: use animate.")
    if not (pipe.spec.capabilities.driving or pipe.spec.capabilities.pose):
        raise ConfigError(f"The method '{pipe.spec.name}' streams from sound: give it with -a.")
    check_acting(pipe.spec, options, ("driving",))
    clip = as_clip(source, "source")
    name = name_of(source, "source")
    if clip.count != 1:
        raise ConfigError(f"A stream moves a still, and {name} is a video: use animate.")
    portrait = still_portrait(pipe.finder, clip, pipe.config, face, name)
    frames, fps = _driver_frames(driving)
    crops = causal_crops(frames, fps, pipe.config.driving_crop, pipe.config.input_size)
    copies = tee(crops, len(portrait.crops))
    streams = [pipe.generator.stream(crop, each, options) for crop, each in zip(portrait.crops, copies)]
    return portrait.cropped(streams) if crop_only else portrait.pasted(streams)


def _driver_frames(driving: Any) -> tuple[Iterable[np.ndarray], float]:
    """Frames and their rate of a path, array, Clip or any iterable of frames."""
    if isinstance(driving, Clip | np.ndarray) or is_path(driving):
        clip = as_clip(driving, "driver")
        return clip.frames, float(clip.fps)
    return driving, CAMERA_FPS


def causal_crops(frames: Iterable[np.ndarray], fps: float, view: Any, size: int) -> Iterator[FaceCrop | None]:
    """Driver crops for live use; None where no face is seen."""
    steady = SteadyWindow(view, fps)
    for frame, found in followed(frames):
        if found is None:
            steady.reset()
        yield None if found is None else cut(frame, found, steady(found), view, size)


def camera_frames(index: int) -> Iterator[np.ndarray]:
    """Frames (H, W, 3) uint8 RGB of a camera until it is closed.

    Raises:
        MediaError: there is no such camera.
    """
    import cv2

    log = cv2.utils.logging
    usual = log.setLogLevel(log.LOG_LEVEL_SILENT)  # a missing camera is told below, in one sentence
    camera = cv2.VideoCapture(index)
    log.setLogLevel(usual)
    try:
        if not camera.isOpened():
            raise MediaError(f"There is no camera {index}: check that it is connected and free.")
        while True:
            good, frame = camera.read()
            if not good:
                return
            yield np.ascontiguousarray(frame[..., ::-1])
    finally:
        camera.release()
