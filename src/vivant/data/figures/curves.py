"""Smooth curves over time, of which motion is made."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d

Random = np.random.Generator


def wander(rng: Random, time: np.ndarray, slow: float, spread: float, columns: tuple[int, ...] = ()) -> np.ndarray:
    """(F, *columns) smooth noise of standard deviation ``spread`` that changes within ``slow`` seconds."""
    step = slow / 8
    count = int((time[-1] - time[0]) / step) + 40
    noise = gaussian_filter1d(rng.normal(size=(count, *columns)), 8 / 2.5, axis=0)
    noise *= spread * np.sqrt(2 * (8 / 2.5) * np.sqrt(np.pi))
    at = (time - time[0]) / step + 16
    low = np.floor(at).astype(int)
    share = (at - low).reshape(-1, *([1] * len(columns)))
    return np.asarray(noise[low] * (1 - share) + noise[low + 1] * share)


def smooth_step(x: np.ndarray) -> np.ndarray:
    """0 below 0, 1 above 1, with a still start and end (minimum jerk)."""
    x = np.clip(x, 0, 1)
    return np.asarray(x**3 * (10 - 15 * x + 6 * x**2))


def between(time: np.ndarray, knots: np.ndarray, values: np.ndarray, rush: float = 1.0) -> np.ndarray:
    """(F, ...) from value to value (K, ...) at times ``knots`` (K,), each way by minimum jerk; ``rush`` below 1 arrives
    early and waits."""
    at = np.clip(np.searchsorted(knots, time, side="right") - 1, 0, len(knots) - 2)
    share = (time - knots[at]) / (knots[at + 1] - knots[at]) / rush
    way = smooth_step(share).reshape(-1, *([1] * (values.ndim - 1)))
    return np.asarray(values[at] * (1 - way) + values[at + 1] * way)


def turned(point: np.ndarray, angle: np.ndarray | float) -> np.ndarray:
    """(..., 3) a point (3,) turned about the vertical by angles (...)."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.stack(
        [cosine * point[0] + sine * point[2], np.full_like(cosine, point[1]), cosine * point[2] - sine * point[0]], -1
    )
