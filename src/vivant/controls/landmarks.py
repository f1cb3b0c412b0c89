"""Which landmarks are the eyes, the lips and the outline of a face, for every layout that face trackers use.

"Left" and "right" are sides of the picture. Layouts are told apart by their number of points: 478 MediaPipe
face mesh, 203 the landmark net of LivePortrait, 106 insightface, 101, 68 iBUG (from 0), 9 animals, 5 eyes,
nose, mouth corners.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vivant.core.errors import FaceError


@dataclass(frozen=True)
class Layout:
    """Indices whose means are the centres of the eyes and of the lips."""

    left_eye: tuple[int, ...]
    right_eye: tuple[int, ...]
    lips: tuple[int, int]


LAYOUTS: dict[int, Layout] = {
    478: Layout((33, 133, 159, 145), (362, 263, 386, 374), (61, 291)),
    203: Layout((0, 6, 12, 18), (24, 30, 36, 42), (48, 66)),
    106: Layout((33, 35, 40, 39), (87, 89, 94, 93), (52, 61)),
    101: Layout((39, 42, 45, 48), (51, 54, 57, 60), (75, 81)),
    68: Layout((36, 39), (42, 45), (48, 54)),
    9: Layout((2, 3), (0, 1), (5, 6)),
    5: Layout((0,), (1,), (3, 4)),
}
MESH = tuple(range(468))
"""The face mesh without its ten iris points."""

_JAW = (
    127, 234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361, 323,
    454, 356,
)  # fmt: skip
_BROWS = (70, 63, 105, 66, 107, 46, 53, 52, 65, 55, 300, 293, 334, 296, 336, 276, 283, 282, 295, 285)
_EYES = (33, 159, 133, 145, 362, 386, 263, 374)
_NOSE = (168, 6, 197, 195, 5, 4, 1, 98, 2, 327)
_LIPS = (61, 40, 37, 0, 267, 270, 291, 321, 314, 17, 84, 91)
CONTOUR203 = _JAW + _BROWS + _EYES + _NOSE + _LIPS
"""Mesh points that reach as far as the 203-point layout: jaw, brows, eyes, nose and lips, no forehead."""


def layout_of(points: np.ndarray) -> Layout:
    """The layout of (N, 2) or (N, 3) points.

    Raises:
        FaceError: no layout has N points, or a coordinate is not finite.
    """
    if len(points) not in LAYOUTS:
        known = ", ".join(str(count) for count in LAYOUTS)
        raise FaceError(f"{len(points)} landmarks fit no known layout; pass one of {known} points.")
    if not np.isfinite(points[:, :2]).all():
        raise FaceError("The landmarks of this face hold numbers that are not finite; detect the face again.")
    return LAYOUTS[len(points)]


def eye_and_lip_centres(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centre between the eyes and centre of the lips, each (2,), of (N, 2 or 3) landmarks."""
    layout, flat = layout_of(points), points[:, :2]
    eyes = (flat[list(layout.left_eye)].mean(axis=0) + flat[list(layout.right_eye)].mean(axis=0)) / 2
    return eyes, flat[list(layout.lips)].mean(axis=0)
