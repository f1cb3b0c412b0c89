"""Whole numbers as people write them."""

from __future__ import annotations

import math
import numbers
from typing import Any

MOST = 10**9
"""No count of steps, samples, frames or the like is larger; what is, is a slip of the hand."""


def whole(value: Any) -> int:
    """``value`` as a whole number: 4, 4.0, "4" and "1e3" (which YAML takes for text) are some.

    Raises:
        ValueError: it is none: with a fraction, infinite, not a number, true or false, or nothing of the kind.
    """
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, numbers.Real | str):
        raise ValueError(f"{value!r:.60} is no number")
    number = float(value)
    if not math.isfinite(number) or number != int(number):
        raise ValueError(f"{value!r:.60} is no whole number")
    return int(number)
