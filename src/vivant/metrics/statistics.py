"""How well one series follows another, within clips and over many, with confidence intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

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


def moment_rows(parts: Sequence[Moments]) -> np.ndarray:
    """(N, 4) float64: count, xx, yy, xy of N clips, as :func:`bootstrap` wants them."""
    return np.array([(part.count, part.xx, part.yy, part.xy) for part in parts], np.float64).reshape(-1, 4)


def mean_of(rows: np.ndarray) -> np.ndarray:
    """(..., N, 1) -> (...): mean of the values that are numbers; NaN if there are none."""
    known = np.isfinite(rows[..., 0])
    total, count = np.where(known, rows[..., 0], 0).sum(-1), known.sum(-1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def correlation_of(rows: np.ndarray) -> np.ndarray:
    """Moments (..., N, 4) of N clips -> (...) their pooled correlation; see :class:`Moments`."""
    count, xx, yy, xy = np.moveaxis(rows.sum(-2), -1, 0)
    still = np.minimum(xx, yy) <= _STILL * np.maximum(count, 1)
    return np.where(still, np.nan, np.clip(xy / np.sqrt(np.where(still, 1, xx * yy)), -1, 1))


def gain_of(rows: np.ndarray) -> np.ndarray:
    """Moments (..., N, 4) of N clips -> (...) their pooled gain; see :class:`Moments`."""
    count, xx, _, xy = np.moveaxis(rows.sum(-2), -1, 0)
    still = xx <= _STILL * np.maximum(count, 1)
    return np.where(still, np.nan, xy / np.where(still, 1, xx))


@dataclass(frozen=True)
class Estimate:
    """A statistic over clips: its value and the 95 % percentile bootstrap interval (NaN where undefined)."""

    value: float
    low: float
    high: float
    clips: int


def bootstrap(
    rows: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray], rounds: int = 1000, seed: int = 0
) -> Estimate:
    """Resample whole clips with replacement (Efron 1979); frames of one clip are not independent of each other.

    ``rows``: (N, D), what ``statistic`` needs of N clips; it maps (..., N, D) to (...). With fewer than two clips the
    interval is NaN.
    """
    count, nan = len(rows), float("nan")
    if count == 0:
        return Estimate(nan, nan, nan, 0)
    value = float(statistic(rows))
    if count < 2:
        return Estimate(value, nan, nan, count)
    draw = np.random.default_rng(seed).integers(0, count, (rounds, count))
    found = statistic(rows[draw])
    found = found[np.isfinite(found)]
    low, high = np.percentile(found, [2.5, 97.5]) if len(found) else (nan, nan)
    return Estimate(value, float(low), float(high), count)
