"""What drives, as :class:`Controls` on one timeline: sound, driving crops and V-Kps, opened, checked and counted."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice, repeat
from pathlib import Path
from typing import Any

import numpy as np

from vivant.core.clip import Audio, Clip
from vivant.core.controls import Controls
from vivant.core.errors import ConfigError, MediaError
from vivant.core.face import FaceCrop
from vivant.core.speech import Speech
from vivant.pipelines.crops import DriverCrops, no_face
from vivant.pipelines.inputs import Media, as_clip, is_path, name_of
from vivant.pipelines.keypoints import fitted_keypoints, read_keypoints
from vivant.pipelines.progress import bar, held_frames

Sound = Media | Audio
SPEECH_FPS = Fraction(25)
"""Frames per second of a still that speaks, where neither the caller nor the method asks for another rate."""


@dataclass
class Driven:
    """``controls``: for the method. ``sound``: what the result is heard with, or None. ``driver``: the driving clip,
    or None. ``warnings``: what a person should know."""

    controls: Controls
    sound: Audio | None = None
    driver: Clip | None = None
    warnings: list[str] = field(default_factory=list)


def read_controls(pipe: Any, request: Any, fps: Fraction, driver: Clip | None) -> Driven:
    """Everything that ``request`` drives with, on a timeline of ``fps``.

    The result lasts as long as the sound; without sound as long as the driver or the V-Kps. A driver shorter than the
    sound ends it earlier (a picture lasts), V-Kps that last longer are cut.

    Raises:
        MediaError, FaceError, ConfigError, WeightsError: something that drives cannot be used.
    """
    told: list[str] = []
    crops = None if driver is None else DrivingCrops(driver, fps, pipe.config, request)
    keypoints = None if request.keypoints is None else read_keypoints(request.keypoints, fps, pipe.config)
    speech, sound = None, None if driver is None else driver.audio
    if request.audio is not None:
        sound = as_sound(request.audio, "audio")
        speech = _listen(pipe, request, sound, fps, None if crops is None else crops.count)
        if crops is not None and crops.count is not None:
            told = _unequal(speech, crops.count, fps)
    lengths = [len(speech)] if speech is not None else []
    lengths += [crops.count] if crops is not None and crops.count is not None else []
    lengths += [len(keypoints)] if keypoints is not None else [1]
    count = lengths[0]
    if crops is not None:
        crops.count = count
        crops.check()
    stretch = getattr(request.options, "upstream", False)
    fitted = None if keypoints is None else fitted_keypoints(keypoints, count, fps, stretch)
    return Driven(Controls(fps, count, speech, crops, fitted), sound, driver, told)


def _unequal(speech: Speech, driver: int, fps: Fraction) -> list[str]:
    """A warning when sound and driver do not end together, by more than a frame."""
    from vivant.controls.speech import frames_filled

    heard = frames_filled(len(speech.samples), fps)
    if abs(heard - driver) <= 1:
        return []
    longer, end = ("sound", driver) if heard > driver else ("driver", heard)
    return [
        f"The {longer} lasts longer than what else drives: the result ends with that, after {float(end / fps):.2f} s."
    ]


def as_sound(value: Sound, role: str) -> Audio:
    """Sound from a path of an audio or video file, a Clip, an Audio, or (N,) or (N, C) samples at 16 kHz.

    Raises:
        MediaError: missing or unreadable file, or nothing that sounds.
    """
    if isinstance(value, Audio):
        return value
    if isinstance(value, Clip):
        if value.audio is None:
            raise MediaError(f"The {role} is a clip without sound: give one that sounds.")
        return value.audio
    if isinstance(value, np.ndarray):
        from vivant.core.speech import SPEECH_RATE
        from vivant.media.audio import in_floats

        return Audio(in_floats(value if value.ndim > 1 else value[:, None]), SPEECH_RATE)
    if not is_path(value):
        raise MediaError(f"The {role} is a {type(value).__name__}: give a path, an Audio or samples at 16 kHz.")
    from vivant.media.audio import FileAudio

    path = Path(value)
    if not path.exists():
        raise MediaError(f"The {role} {path} does not exist: check the path.")
    found = FileAudio.open(path)
    if found is None:
        raise MediaError(f"'{path}' has no sound that can be decoded: give an audio file or a video with sound.")
    return found


def _listen(pipe: Any, request: Any, sound: Audio, fps: Fraction, limit: int | None) -> Speech:
    from vivant.controls.speech import read_speech
    from vivant.media.audio import FileAudio

    source = sound.path if isinstance(sound, FileAudio) else sound
    encoders = getattr(pipe.config, "speech_encoders", ())
    strange = [name for name in request.encoders or {} if name not in encoders]
    if strange:
        listens = ", ".join(encoders) or "no encoder"
        raise ConfigError(f"'{pipe.spec.name}' does not listen to '{strange[0]}': it uses {listens}.")
    return read_speech(
        source, fps, encoders, limit, request.encoders, pipe.device,
        lambda blocks: bar(blocks, None, "read sound", request.progress),
    )  # fmt: skip


class DrivingCrops:
    """F crops of the driver's face in one steady window; None where it is not seen. Each iteration reads the driver
    again. A driver of one picture is shown in all frames.

    ``count``: F; None until known for a single picture.
    """

    def __init__(self, clip: Clip, fps: Fraction, config: Any, request: Any) -> None:
        from vivant.media.video import at_rate

        self._clip, self._fps, self._view = at_rate(clip, fps), fps, config.driving_crop
        self._side = int(getattr(config, "driving_size", config.input_size))
        self._face, self._name = request.driving_face, name_of(request.driving, "driver")
        self.count: int | None = None if clip.count == 1 else _counted(self._clip, clip, fps)

    def check(self) -> None:
        """Read the driver up to its first face.

        Raises:
            FaceError: none of the F frames shows one, or it is under 32 px. MediaError: there are no frames.
        """
        if all(crop is None for crop in self._all()):
            raise no_face(self.count, self._name)

    def __iter__(self) -> Iterator[FaceCrop | None]:
        """Crops in order; with the last one, a warning names the frames in which no face was seen."""
        missing = []
        for number, crop in enumerate(self._all()):
            missing += [number] * (crop is None)
            if missing and number + 1 == self.count:  # nobody may ask for more than this one
                warnings.warn(held_frames(missing, self.count, self._name), stacklevel=2)
            yield crop

    def _all(self) -> Iterator[FaceCrop | None]:
        crops = DriverCrops(self._clip.frames, float(self._fps), self._view, self._side, self._face, self._name)
        if self._clip.count == 1:
            return repeat(next(iter(crops)), self.count or 1)
        return islice(crops, self.count)


def _counted(resampled: Clip, clip: Clip, fps: Fraction) -> int:
    """Frames at ``fps``; a clip that does not say its length is read once.

    Raises:
        MediaError: there are none.
    """
    if clip.count is not None and resampled.count is None:
        count = -int(-clip.count * fps // clip.fps)
    else:
        count = resampled.count if resampled.count is not None else sum(1 for _ in resampled.frames)
    if count == 0:
        raise MediaError("There are no frames in the driver: give a file that plays.")
    return count


def encoder_paths(words: list[str]) -> Mapping[str, str]:
    """``["wav2vec2=models/w2v"]`` -> {"wav2vec2": "models/w2v"}.

    Raises:
        ConfigError: a word without a name or a path.
    """
    found = {}
    for word in words:
        name, equals, path = word.partition("=")
        if not (name and equals and path):
            raise ConfigError(f"'{word}' names no encoder: write NAME=PATH, for example hubert=models/hubert.")
        found[name] = path
    return found


def driving_clip(value: Media) -> Clip:
    """A driver with pictures.

    Raises:
        ConfigError: saved motion, which only its own method can read.
    """
    from vivant.pipelines.inputs import MOTION_SUFFIXES

    if hasattr(value, "exp") or (is_path(value) and Path(value).suffix.lower() in MOTION_SUFFIXES):
        raise ConfigError("Saved motion drives the method that made it: give this one a video or a picture.")
    return as_clip(value, "driver")
