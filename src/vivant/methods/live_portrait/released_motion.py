"""Motion templates that the released code wrote."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from vivant.core.errors import WeightsError
from vivant.methods.live_portrait.motion import MotionTemplate
from vivant.methods.live_portrait.number_pickle import read_numbers


def read_released(path: Path, space: str) -> MotionTemplate:
    """The released layout (a dict with a list ``motion`` of dicts, every array with a leading 1) -> a template.

    Raises:
        WeightsError: the file contains code, is damaged, or holds something else.
    """
    data = read_numbers(path)
    if not isinstance(data, dict) or not isinstance(data.get("motion"), list) or not data["motion"]:
        raise WeightsError(f"{path} is not a motion template of the released code: it has no list 'motion'.")
    try:
        items = data["motion"]
        count = len(items)
        exp = _stack(items, ("exp",), (-1, 3))
        points = exp.shape[1]
        return MotionTemplate(
            fps=Fraction(str(data.get("output_fps", 25))).limit_denominator(1001),
            space=space,
            exp=exp,
            rotation=_stack(items, ("R", "R_d"), (3, 3)),
            scale=_stack(items, ("scale",), (1,)),
            translation=_stack(items, ("t",), (3,)),
            canonical=_stack(items, ("kp",), (points, 3), optional=True),
            keypoints=_stack(items, ("x_s",), (points, 3), optional=True),
            eyes=_ratios(data, ("c_eyes_lst", "c_d_eyes_lst"), (count, 2)),
            lip=_ratios(data, ("c_lip_lst", "c_d_lip_lst"), (count, 1)),
        )
    except (KeyError, TypeError, ValueError, AttributeError, ZeroDivisionError) as error:
        raise WeightsError(
            f"{path} is not a motion template of the released code (wrong or missing: {error}): make it again."
        ) from error


def _stack(items: Sequence[Any], names: tuple[str, ...], shape: tuple[int, ...], optional: bool = False) -> np.ndarray:
    """(F, *shape) float32 from the first of ``names`` that an item has; NaN where it has none and may."""
    rows = []
    for item in items:
        found = next((n for n in names if n in item), None)
        if found is None and not optional:
            raise KeyError(names[0])
        rows.append(np.full(shape, np.nan) if found is None else np.asarray(item[found]).reshape(shape))
    return np.stack(rows).astype(np.float32)


def _ratios(data: Any, names: tuple[str, ...], shape: tuple[int, int]) -> np.ndarray:
    """(F, 2 or 1) opening ratios from a list of small arrays; NaN where the file has no such list."""
    found = next((data[n] for n in names if n in data), None)
    if found is None or len(found) == 0:
        return np.full(shape, np.nan, np.float32)
    return np.stack([np.asarray(row, np.float32).reshape(shape[1]) for row in found])
