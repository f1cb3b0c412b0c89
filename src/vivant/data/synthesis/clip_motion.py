"""Motion of real clips: the head model follows a filmed face, and other people repeat what it did, with its sound."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from vivant.core.clip import Audio
from vivant.core.errors import ARRAY_ERRORS, FaceError, MediaError
from vivant.data.synthesis.curves import smooth_step
from vivant.data.synthesis.random_motion import START, Range, head
from vivant.data.synthesis.takes import Take, generator
from vivant.rig.motion import RigMotion

FOLDER = "drivers"
WORST = 0.22
"""Largest mean residual in cm that a driver's fit may have."""
_MOST_MISSING = 0.02


@dataclass(frozen=True)
class Driver:
    """A followed clip. ``name``: unique; ``path``: the clip, for its sound; ``motion``: an ``.npz`` of the motion."""

    name: str
    path: Path
    motion: Path
    licence: str = ""
    credit: str = ""


def follow_driver(path: Path, target: Path) -> None:
    """Follow the face of a clip and keep its motion in ``target``.

    Raises:
        MediaError: the clip cannot be read. FaceError: the face is missing too often, or the head does not fit.
    """
    from vivant.media.video import open_clip
    from vivant.perception.tracking import follow
    from vivant.rig.track import RigTracker

    clip = open_clip(path)
    tracker = RigTracker(clip.size)
    for face in follow(clip.frames):
        tracker.add(None if face is None else face.landmarks)
    track = tracker.finish()
    if len(track.missing) > _MOST_MISSING * len(track):
        raise FaceError(f"no face is seen in {len(track.missing)} of {len(track)} frames")
    residual = float(np.nanmean(track.residual))
    if residual > WORST:
        raise FaceError(f"the head fits badly ({residual:.2f} cm)")
    motion = track.motion(clip.fps)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part")
    with part.open("wb") as stream:
        np.savez_compressed(
            stream, fps=np.array([clip.fps.numerator, clip.fps.denominator]), pose=motion.pose,
            expression=motion.expression, gaze=motion.gaze,
        )  # fmt: skip
    os.replace(part, target)


@cache
def _load(path: Path) -> RigMotion:
    try:
        with np.load(path, allow_pickle=False) as data:
            fps = Fraction(*(int(v) for v in data["fps"]))
            return RigMotion(fps, data["pose"], data["expression"], data["gaze"])
    except ARRAY_ERRORS as error:
        raise MediaError(f"{path} cannot be read ({error}): remove it and run again.") from error


@dataclass(frozen=True)
class ClipMotion:
    """Takes of followed clips, in random order, each with gentle head motion added; ``frames`` None takes whole clips.
    A clip that is longer gives another part each time."""

    drivers: tuple[Driver, ...]
    frames: int | None = None
    fps: Fraction = Fraction(25)
    reach: Range = field(default_factory=Range)

    def take(self, number: int, seed: int) -> Take:
        """See :class:`vivant.data.synthesis.takes.MotionSource`."""
        rng = generator(seed, 5, number)
        round_, place = divmod(number, len(self.drivers))
        driver = self.drivers[int(generator(seed, 6, round_).permutation(len(self.drivers))[place])]
        whole = at_rate(_load(driver.motion), self.fps)
        count = min(len(whole), self.frames or len(whole))
        start = int(rng.integers(len(whole) - count + 1))
        motion = self._replayed(whole[start : start + count], rng)
        return Take(
            motion, "replay", _sound(driver.path, start, count, self.fps), talking=True,
            licence=driver.licence or "unknown",
            credit=driver.credit, notes={"driver": driver.name},
        )  # fmt: skip

    def _replayed(self, motion: RigMotion, rng: np.random.Generator) -> RigMotion:
        t = np.arange(len(motion)) / float(self.fps)
        fade = smooth_step(t / START)[:, None]
        pose = motion.pose - motion.pose[0] + fade * head(rng, t, self.reach.scaled(rng.uniform(0.2, 0.6)))
        return RigMotion(self.fps, pose, motion.expression * fade, (motion.gaze - motion.gaze[0] * (1 - fade)) * fade)


def at_rate(motion: RigMotion, fps: Fraction) -> RigMotion:
    """The motion at another frame rate, by straight lines between frames."""
    if motion.fps == fps:
        return motion
    count = max(1, int(len(motion) * fps / motion.fps))
    where = np.arange(count) * float(motion.fps / fps)
    known = np.arange(len(motion))

    def resampled(values: np.ndarray) -> np.ndarray:
        return np.stack([np.interp(where, known, column) for column in values.T], 1)

    return RigMotion(fps, resampled(motion.pose), resampled(motion.expression), resampled(motion.gaze))


def _sound(path: Path, start: int, count: int, fps: Fraction) -> Audio | None:
    """The clip's sound during these frames, mono."""
    from vivant.media.audio import has_sound, read_audio

    if not has_sound(path):
        return None
    audio: Any = read_audio(path, mono=True)
    first, last = (round(float(k / fps) * audio.rate) for k in (start, start + count))
    return Audio(audio.samples[first:last], audio.rate)
