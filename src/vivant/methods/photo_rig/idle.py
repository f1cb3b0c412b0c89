"""What a portrait does that only speaks: it keeps its head moving a little, nods with its voice, and blinks."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from scipy.ndimage import gaussian_filter1d

from vivant.core.speech import Speech
from vivant.rig.motion import EXPRESSION_NAMES, RigMotion, expression_rows

_SPREAD = np.array([3.5, 1.8, 1.8, 0.25, 0.15, 0.006])  # yaw, pitch, roll in degrees, x, y in cm, log scale
_SLOW, _FAST = 0.05, 0.45  # Hz; head motion lies between
_WAVES = 9
_FADE = 0.8  # seconds from the photo's own pose
_NOD = 1.6  # degrees with the loudest voice
_BLINK = np.array([0.0, 0.45, 0.95, 1.0, 0.7, 0.4, 0.15, 0.0])  # over 0.28 s
_BLINK_SECONDS = 0.28
_PAUSE = (1.8, 5.0)  # seconds between blinks


def idle_motion(speech: Speech | None, fps: Fraction, count: int, strength: float, seed: int) -> RigMotion:
    """``count`` frames: slow head motion that starts at the photo's pose, nods where the voice is loud, blinks.

    ``strength``: 1 is usual, 0 keeps head and lids still. The same ``seed`` gives the same motion.
    """
    rng = np.random.default_rng(seed)
    seconds = np.arange(count) / float(fps)
    rate = np.exp(rng.uniform(np.log(_SLOW), np.log(_FAST), (6, _WAVES)))
    phase, size = rng.uniform(0, 2 * np.pi, (6, _WAVES)), rng.normal(size=(6, _WAVES))
    size *= _SPREAD[:, None] * np.sqrt(2 / _WAVES)
    waves = (np.sin(2 * np.pi * rate[..., None] * seconds + phase[..., None]) * size[..., None]).sum(1)
    pose = (waves * np.minimum(seconds / _FADE, 1)).T
    if speech is not None:
        pose[:, 1] += _NOD * _loudness(speech, count)
    expression = np.zeros((count, len(EXPRESSION_NAMES)))
    expression[:, list(expression_rows("eyeBlink"))] = _blinks(rng, seconds)[:, None] * min(strength, 1)
    return RigMotion(fps, pose * strength, expression, np.zeros((count, 2)))


def _blinks(rng: np.random.Generator, seconds: np.ndarray) -> np.ndarray:
    """(F,) how far the lids are shut."""
    shut = np.zeros(len(seconds))
    start = rng.uniform(*_PAUSE) / 2
    while len(seconds) and start < seconds[-1]:
        shut = np.maximum(shut, np.interp((seconds - start) / _BLINK_SECONDS * 7, np.arange(8), _BLINK, 0, 0))
        start += _BLINK_SECONDS + rng.uniform(*_PAUSE)
    return shut


def _loudness(speech: Speech, count: int) -> np.ndarray:
    """(F,) 0..1 how loud the voice is, slow."""
    edges = (np.arange(count + 1) * len(speech.samples) / max(count, 1)).astype(int)
    power = np.concatenate([[0.0], np.cumsum(speech.samples.astype(np.float64) ** 2)])
    level = np.sqrt((power[edges[1:]] - power[edges[:-1]]) / np.maximum(np.diff(edges), 1))
    level /= max(float(np.percentile(level, 95)), 1e-4)
    smooth = gaussian_filter1d(np.clip(level, 0, 1), 4.0)
    quiet: np.ndarray = smooth * np.minimum(np.arange(count) / 12, 1)
    return quiet
