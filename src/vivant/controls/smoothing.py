"""Less tremble: a smoother for finished sequences and a filter for live ones."""

from __future__ import annotations

import math

import numpy as np

from vivant.core.errors import ConfigError
from vivant.nn.smoothing import kalman_smooth

__all__ = ["OneEuroFilter", "kalman_smooth"]


class OneEuroFilter:
    """Causal low-pass filter that follows fast motion and calms slow motion (Casiez et al., CHI 2012).

    The cutoff of each coordinate is ``min_cutoff + beta * |speed|``: lower ``min_cutoff`` means less tremble
    at rest, higher ``beta`` less lag in motion. The filter knows only frames already given.

    Args:
        rate: frames per second.
        min_cutoff: cutoff at rest in Hz.
        beta: Hz of cutoff per unit of speed (units of the values per second).
        speed_cutoff: cutoff of the speed estimate in Hz.

    Raises:
        ConfigError: a rate or cutoff that is not positive.
    """

    def __init__(
        self, rate: float = 30.0, min_cutoff: float = 4.0, beta: float = 0.3, speed_cutoff: float = 1.0
    ) -> None:
        if not (rate > 0 and min_cutoff > 0 and speed_cutoff > 0 and beta >= 0):
            raise ConfigError("Rate and cutoffs of a One-Euro filter must be positive; give frames per second and Hz.")
        self.rate, self.min_cutoff, self.beta, self.speed_cutoff = float(rate), min_cutoff, beta, speed_cutoff
        self.reset()

    def reset(self) -> None:
        """Forget the past; the next value passes unchanged."""
        self._value: np.ndarray | None = None
        self._speed: np.ndarray | float = 0.0

    def __call__(self, values: np.ndarray, seconds: float | None = None) -> np.ndarray:
        """The filtered ``values`` (any shape, the same in each call).

        ``seconds``: since the previous call; None means one frame at ``rate``.
        """
        seen = np.asarray(values, dtype=np.float64)
        if self._value is None:
            self._value = seen.copy()
            return self._value.copy()
        step = max(seconds if seconds is not None else 1 / self.rate, 1e-6)
        speed = (seen - self._value) / step
        self._speed = self._speed + _weight(self.speed_cutoff, step) * (speed - self._speed)
        cutoff = self.min_cutoff + self.beta * np.abs(self._speed)
        self._value = self._value + _weight(cutoff, step) * (seen - self._value)
        return self._value.copy()


def _weight(cutoff: np.ndarray | float, step: float) -> np.ndarray | float:
    """Share of the new value in a first-order low-pass filter of ``cutoff`` Hz over ``step`` seconds."""
    turn = 2 * math.pi * cutoff * step
    return turn / (turn + 1)
