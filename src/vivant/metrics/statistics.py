"""How well one series follows another, within clips and over many, with confidence intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

T = TypeVar("T")

# below this mean square about the mean a series counts as constant: rounding noise of ratios near 1, not
# motion
_STILL = 1e-12


@dataclass(frozen=True)
class Moments:
    """Centred sums of a driver's series x and a result's series y over one or more clips.

    ``count``: frames; ``xx``, ``yy``, ``xy``: sums of (x - mean x)^2 and so on, means taken per clip, so
    that adding the moments of clips pools their motion and ignores constant differences between people.
    """

    count: int = 0
    xx: float = 0.0
    yy: float = 0.0
    xy: float = 0.0

    def __add__(self, other: Moments) -> Moments:
        return Moments(self.count + other.count, self.xx + other.xx, self.yy + other.yy, self.xy + other.xy)

    @property
    def correlation(self) -> float:
        """Pearson correlation in -1..1, higher is better; NaN if either series is constant."""
        if min(self.xx, self.yy) <= _STILL * max(self.count, 1):
            return float("nan")
        return float(np.clip(self.xy / np.sqrt(self.xx * self.yy), -1, 1))

    @property
    def gain(self) -> float:
        """Least-squares slope of the result on the driver: 1 is full amplitude, 0 no motion; NaN if x is
        constant.
        """
        return float("nan") if self.xx <= _STILL * max(self.count, 1) else self.xy / self.xx


def moments(driver: np.ndarray, result: np.ndarray) -> Moments:
    """Moments of one clip. Both (F,); frames where either is NaN are left out."""
    x, y = np.asarray(driver, np.float64), np.asarray(result, np.float64)
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known], y[known]
    if len(x) < 2:
        return Moments(count=len(x))
    x, y = x - x.mean(), y - y.mean()
    return Moments(len(x), float(x @ x), float(y @ y), float(x @ y))


def correlation(driver: np.ndarray, result: np.ndarray) -> float:
    """Pearson correlation of two series (F,); see :class:`Moments`."""
    return moments(driver, result).correlation


def gain(driver: np.ndarray, result: np.ndarray) -> float:
    """Slope of the result (F,) regressed on the driver (F,); see :class:`Moments`."""
    return moments(driver, result).gain


def pool(parts: Sequence[Moments]) -> Moments:
    """Moments over several clips."""
    return sum(parts, Moments())


def mean(values: Sequence[float]) -> float:
    """Mean of the values that are numbers; NaN if there are none."""
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")


@dataclass(frozen=True)
class Estimate:
    """A statistic over clips: its value and the 95 % percentile bootstrap interval (NaN where undefined)."""

    value: float
    low: float
    high: float
    clips: int


def bootstrap(
    clips: Sequence[T], statistic: Callable[[Sequence[T]], float], rounds: int = 1000, seed: int = 0
) -> Estimate:
    """Resample whole clips with replacement (Efron 1979); frames of one clip are not independent of each
    other.

    With fewer than two clips the interval is NaN.
    """
    value = statistic(clips) if clips else float("nan")
    if len(clips) < 2:
        return Estimate(value, float("nan"), float("nan"), len(clips))
    draw = np.random.default_rng(seed).integers(0, len(clips), (rounds, len(clips)))
    found = np.array([statistic([clips[i] for i in row]) for row in draw])
    found = found[np.isfinite(found)]
    if not len(found):
        return Estimate(value, float("nan"), float("nan"), len(clips))
    low, high = np.percentile(found, [2.5, 97.5])
    return Estimate(value, float(low), float(high), len(clips))
