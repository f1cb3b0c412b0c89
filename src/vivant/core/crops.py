"""How a method wants its squares cut, and when squares of two frames are no longer of one scene."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

_JUMP, _GROWTH = 0.25, 1.33  # sides of the square, and its sides' ratio, that neighbouring frames do not reach


@dataclass(frozen=True)
class CropConfig:
    """How a face is framed. ``scale``: side of the square over the longer side of the landmarks' box (the box is taken
    in the face's upright frame); ``shift_y``: shift along the face's own vertical in units of that side, negative
    moves towards the forehead; ``points``: which landmarks span the box, "contour203" the ones that match the
    published 203-point net (no forehead), "mesh" all 468; ``rotate``: turn the face upright."""

    scale: float
    shift_y: float
    rotate: bool
    points: Literal["contour203", "mesh"]


RENDERED_VIEW = CropConfig(1.4, -0.02, False, "mesh")
"""As close as the clips of rendered people are, which most people that the small presets learn from appear in. Seen
from further away, eyes and mouths are smaller than they were learned, and smear."""


def jumped(before: tuple[np.ndarray, float], now: tuple[np.ndarray, float]) -> bool:
    """Whether two squares around a face, (centre, side) each, are of two scenes: no head moves by half its size, a
    quarter of the square, or grows by a third from one frame to the next."""
    (start, small), (end, large) = before, now
    far = float(np.linalg.norm(end - start)) > _JUMP * max(small, large)
    return far or not 1 / _GROWTH < large / small < _GROWTH
