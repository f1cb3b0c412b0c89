"""Constant frame rates: choosing one for a file, and holding frames on its timeline.

Rule, everywhere in this room: slot k of a timeline of rate r stands for the time k / r seconds after the first frame
and shows the last source frame whose time lies before (k + 1/2) / r. A frame is thus held until the next one comes;
two frames in one slot leave the later one. A source of constant rate comes out frame for frame, however coarse its
container's timestamps are, and one of variable rate keeps its speed and its sound in step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from math import floor
from typing import TypeVar

from vivant.core.errors import MediaError

Item = TypeVar("Item")

DEFAULT_FPS = Fraction(25)
"""Frames per second of a folder of pictures or of a still."""

COMMON_RATES = tuple(
    Fraction(rate)
    for rate in ("24000/1001", "24", "25", "30000/1001", "30", "48", "50", "60000/1001", "60", "100", "120", "240")
)
_HALF = Fraction(1, 2)
_ROUNDING = Fraction(1, 5000)  # containers and people round 30000/1001 to 29.97; 30 is five times farther


def exact_rate(fps: Fraction | float | str) -> Fraction:
    """Frames per second as an exact fraction: 29.97 becomes 30000/1001, and 25 stays 25.

    Raises:
        MediaError: not a number above 0 and up to 1000.
    """
    try:
        rate = Fraction(fps)
    except (ValueError, TypeError, OverflowError, ZeroDivisionError) as error:
        raise MediaError(f"'{fps}' is no frame rate: give frames per second such as 25 or 30000/1001.") from error
    if isinstance(fps, float | str):
        rate = _nearest_common(rate, _ROUNDING) or rate.limit_denominator(1001)
    if not 0 < rate <= 1000:
        raise MediaError(f"{float(rate):g} is no frame rate: give frames per second above 0 and up to 1000.")
    return rate


def choose_rate(average: Fraction | None, base: Fraction | None) -> Fraction:
    """The constant rate for a file.

    ``average``: frames divided by duration. ``base``: the lowest rate that can hold all timestamps exactly. They
    agree for constant rates. A base slightly off (within 10 %) is the nominal rate of a recording that lost or
    gained some frames; one far off shows a variable rate, for which the common rate nearest to the average is taken
    (within 2 %), or else the average itself.
    """
    if not average or average <= 0:
        return base if base and 0 < base <= 240 else DEFAULT_FPS
    if base == average:
        return _nearest_common(average, _ROUNDING) or average
    common = _nearest_common(average, Fraction(1, 50))
    if base and abs(base / average - 1) <= Fraction(1, 10) and base <= 240:
        return _nearest_common(base, _ROUNDING) or base.limit_denominator(1001)
    return common or average.limit_denominator(1001)


def _nearest_common(rate: Fraction, tolerance: Fraction) -> Fraction | None:
    nearest = min(COMMON_RATES, key=lambda common: abs(common - rate))
    return nearest if abs(nearest - rate) <= tolerance * rate else None


def hold(timed: Iterable[tuple[Fraction, Fraction, Item]], fps: Fraction) -> Iterator[Item]:
    """Items on a timeline of constant rate, by the rule on top of this file.

    Args:
        timed: (time, duration, item), times in seconds from the first item and rising; the last duration counts.
        fps: rate of the timeline.

    Yields:
        One item for each slot; the same object several times where it is held. At least one if there is any item.
    """
    held: Item | None = None
    due = end = 0
    for time, duration, item in timed:
        slot = floor(time * fps + _HALF)
        for _ in range(due, slot if held is not None else 0):
            yield held  # type: ignore[misc]
        due, held = max(due, slot), item
        end = floor((time + duration) * fps + _HALF)
    if held is not None:
        for _ in range(due, max(end, 1)):
            yield held
