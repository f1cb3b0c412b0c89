"""Curves that move a face: smooth noise, held gestures, blinks, saccades. Times are seconds, t is (F,)."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d

Random = np.random.Generator


def smooth_step(x: np.ndarray) -> np.ndarray:
    """0 below 0, 1 above 1, smooth between."""
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def wander(rng: Random, t: np.ndarray, slowness: float, spread: float, limit: float) -> np.ndarray:
    """(F,) smooth noise: Gaussian of standard deviation ``spread`` and correlation time ``slowness`` in seconds, held
    softly within +-``limit``."""
    step = 0.01
    count = int((t[-1] - t[0]) / step) + 2 + int(8 * slowness / step)
    white = rng.normal(size=count)
    sigma = slowness / step
    noise = gaussian_filter1d(white, sigma, mode="wrap") * np.sqrt(2 * sigma * np.sqrt(np.pi)) * spread
    start = int(4 * slowness / step)
    values = np.interp(t - t[0], np.arange(count - start) * step, noise[start:])
    return np.asarray(limit * np.tanh(values / limit))


def gesture(t: np.ndarray, start: float, rise: float, hold: float, fall: float) -> np.ndarray:
    """(F,) 0 -> 1 over ``rise`` seconds, held, then back to 0 over ``fall`` seconds."""
    up = smooth_step((t - start) / rise)
    down = smooth_step((t - start - rise - hold) / fall)
    return np.asarray(up * (1 - down))


def blink(t: np.ndarray, start: float, close: float, hold: float, open_: float) -> np.ndarray:
    """(F,) a lid's way: shuts fast, opens slower and slowing down."""
    shut = smooth_step((t - start) / close)
    opened = np.clip((t - start - close - hold) / open_, 0, 1)
    return np.asarray(shut * (1 - opened) ** 1.5)


def blinks(rng: Random, t: np.ndarray, mean_gap: float, odd: float = 0.2) -> np.ndarray:
    """(F, 2) lids of left and right eye, 0 open to 1 shut. ``mean_gap``: seconds between blinks; ``odd``: share of
    blinks that are winks, halves, late on one side or held."""
    lids = np.zeros((len(t), 2))
    at = t[0] + rng.uniform(0.1, mean_gap)
    while at < t[-1]:
        times = (rng.uniform(0.07, 0.11), rng.uniform(0.03, 0.1), rng.uniform(0.16, 0.3))
        sides, delay = np.ones(2), np.zeros(2)
        if rng.random() < odd:
            sides, delay, times = _odd_blink(rng, times)
        for side in range(2):
            lids[:, side] = np.maximum(lids[:, side], sides[side] * blink(t, at + delay[side], *times))
        at += sum(times) + rng.exponential(mean_gap * 0.6) + mean_gap * 0.4
    return lids


def _odd_blink(rng: Random, times: tuple[float, float, float]) -> tuple[np.ndarray, np.ndarray, tuple]:
    """Heights (2,), delays (2,) and times of a blink that is not like most."""
    side = int(rng.integers(2))
    heights, delay = np.ones(2), np.zeros(2)
    kind = rng.choice(["wink", "half", "late", "held"], p=[0.35, 0.25, 0.15, 0.25])
    if kind == "wink":
        heights[side] = rng.uniform(0.0, 0.15)
        times = (times[0] * 1.4, rng.uniform(0.1, 0.35), times[2])
    elif kind == "half":
        heights *= rng.uniform(0.4, 0.8)
    elif kind == "late":
        delay[side] = 0.04
    else:
        times = (times[0] * 1.3, rng.uniform(0.25, 0.7), times[2])
    return heights, delay, times


def glances(rng: Random, t: np.ndarray, spread: tuple[float, float], pause: tuple[float, float]) -> np.ndarray:
    """(F, 2) gaze to the right and down in radians: fixations of ``pause`` seconds, joined by saccades of 40 to 70 ms.
    A fifth of the glances return to the middle."""
    gaze = np.zeros((len(t), 2))
    here, at = np.zeros(2), t[0] + rng.uniform(0.02, 0.3)
    while at < t[-1]:
        there = np.zeros(2) if rng.random() < 0.2 else rng.normal(size=2) * spread
        there = np.clip(there, *(np.array([[-1], [1]]) * 2.2 * np.array(spread)))
        length = 0.04 + 0.03 * min(1.0, float(np.abs(there - here).max()) / 0.4)
        gaze += smooth_step((t - at) / length)[:, None] * (there - here)
        here, at = there, at + length + rng.uniform(*pause)
    return gaze + np.stack([wander(rng, t, 0.25, 0.004, 0.012) for _ in range(2)], 1)
