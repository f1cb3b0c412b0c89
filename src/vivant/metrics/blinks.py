"""Blinks from the opening of the lids."""

from __future__ import annotations

import numpy as np

OPEN_PERCENTILE = 90
CLOSED = 0.5
"""Part of the open level below which an eye counts as closed."""
SHORTEST, LONGEST = 0.04, 0.5
"""Seconds that a blink lasts below :data:`CLOSED`; longer closings are sleep or a look down."""


def blinks(opening: np.ndarray, fps: float) -> tuple[float, float]:
    """Blinks a second and their mean length in seconds.

    ``opening``: (F,) lid opening over eye width; NaN where no face is seen. A blink is a stretch below half of the
    open level (90th percentile) between two open frames; its ends are interpolated between frames, and a stretch that
    lasts less than 40 ms or more than 500 ms is none. Time without a face does not count.

    Returns:
        (blinks a second of seen time, mean length), the first NaN without a face, the second NaN without a blink.
    """
    values = np.asarray(opening, np.float64)
    seen = np.isfinite(values)
    if not seen.any():
        return float("nan"), float("nan")
    level = CLOSED * float(np.percentile(values[seen], OPEN_PERCENTILE))
    lengths = [length for length in _stretches(values, level, fps) if SHORTEST <= length <= LONGEST]
    rate = len(lengths) * fps / int(seen.sum())
    return rate, float(np.mean(lengths)) if lengths else float("nan")


def _stretches(values: np.ndarray, level: float, fps: float) -> list[float]:
    """Seconds of each stretch below ``level`` that has a frame above it on both sides, without unseen frames."""
    found: list[float] = []
    begin: float | None = None
    for number in range(1, len(values)):
        before, now = values[number - 1], values[number]
        if not (np.isfinite(before) and np.isfinite(now)):
            begin = None
        elif before >= level > now:
            begin = number - 1 + (before - level) / (before - now)
        elif before < level <= now and begin is not None:
            found.append((number - 1 + (level - before) / (now - before) - begin) / fps)
            begin = None
    return found
