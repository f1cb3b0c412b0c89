"""How a method wants its squares cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


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
