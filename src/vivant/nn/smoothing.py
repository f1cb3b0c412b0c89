"""Kalman smoothing of whole sequences and of streams. It lives here so that methods may use it too; the public door of
the first is ``vivant.controls.smoothing``."""

from __future__ import annotations

import numpy as np

_AT_ONCE = 32


def kalman_smooth(values: np.ndarray, observation_variance: float, process_variance: float = 1e-5) -> np.ndarray:
    """Rauch-Tung-Striebel smoother of a random walk seen through noise, for every coordinate on its own.

    Forward Kalman filter, then a backward pass, so each frame knows the past and the future. The state
    starts at the first observation with variance 1. Variances are the same for all coordinates, so their
    gains are scalars a frame.

    Args:
        values: (F, ...) observations, one a frame.
        observation_variance: of the noise, in squared units of ``values``; larger is smoother, 0 or less returns a
            copy. The released LivePortrait model uses 3e-7.
        process_variance: how far the truth walks from one frame to the next, squared.

    Returns:
        (F, ...) float64, or float32 when ``values`` is float32.
    """
    seen = np.asarray(values)
    kind = np.float32 if seen.dtype == np.float32 else np.float64
    if len(seen) == 0 or observation_variance <= 0:
        return seen.astype(kind)
    columns = seen.reshape(len(seen), -1)
    smoothed = np.empty(columns.shape, kind)
    for first in range(0, columns.shape[1], _AT_ONCE):  # in float64, but not all of a long clip at the same time
        part = slice(first, first + _AT_ONCE)
        smoothed[:, part] = _smooth(columns[:, part].astype(np.float64), observation_variance, process_variance)
    return smoothed.reshape(seen.shape)


def _smooth(seen: np.ndarray, observation: float, process: float) -> np.ndarray:
    """Both passes over (F, D) float64."""
    state, variance = _filter(seen, observation, process)
    for i in range(len(state) - 2, -1, -1):  # the prediction of frame i + 1 is state i: the walk has no drift
        gain = variance[i] / (variance[i] + process)
        state[i] += gain * (state[i + 1] - state[i])
    return state


def _filter(seen: np.ndarray, observation: float, process: float) -> tuple[np.ndarray, np.ndarray]:
    """Filtered means (F, ...) and variances (F,)."""
    state, variance, before = seen.copy(), np.empty(len(seen)), 1.0
    for i in range(len(seen)):
        gain = before / (before + observation)
        if i:
            state[i] = state[i - 1] + gain * (seen[i] - state[i - 1])
        variance[i] = (1 - gain) * before
        before = variance[i] + process
    return state, variance


class KalmanFilter:
    """The forward half of :func:`kalman_smooth` for values that come in pieces: each frame knows only the past, and
    the result does not depend on how the frames were grouped."""

    def __init__(self, observation_variance: float, process_variance: float = 1e-5) -> None:
        self._observation, self._process = observation_variance, process_variance
        self._state: np.ndarray | None = None
        self._before = 1.0

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """The next values (F, ...) filtered, in float64; a copy if the observation variance is 0 or less."""
        seen = np.array(values, np.float64)
        if self._observation <= 0:
            return seen
        for i, value in enumerate(seen):
            gain = self._before / (self._before + self._observation)
            self._state = value.copy() if self._state is None else self._state + gain * (value - self._state)
            self._before = (1 - gain) * self._before + self._process
            seen[i] = self._state
        return seen
