"""Faces as perception finds them and methods receive them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Face:
    """One face in one picture.

    ``landmarks``: (478, 3) float32, MediaPipe face-mesh order (468 mesh points, then 5 + 5 iris points; 468 and 473
    are the iris centres); x right and y down in pixels of the picture, z in the same unit, smaller is nearer.
    ``box``: (4,) float32 x0, y0, x1, y1 in pixels around the landmarks. ``score``: presence in 0..1.
    ``blendshapes``: (52,) float32 in 0..1 in the order of ``vivant.perception.BLENDSHAPE_NAMES``, or None.
    """

    landmarks: np.ndarray
    box: np.ndarray
    score: float
    blendshapes: np.ndarray | None = None

    @property
    def size(self) -> float:
        """Longer side of the box in pixels."""
        return float(max(self.box[2] - self.box[0], self.box[3] - self.box[1]))


@dataclass(frozen=True)
class FaceCrop:
    """A square view of one face, the unit that methods work on.

    ``image``: (S, S, 3) uint8 RGB. ``landmarks``: (478, 3) float32 in crop pixels. ``to_frame``: (2, 3) float64, maps
    crop pixels (x, y, 1) to picture pixels; its linear part is a similarity (rotation times scale).
    ``frame_size``: (height, width) of the picture. ``alpha``: (S, S) float32 in 0..1, how far each pixel belongs to the
    person, for methods whose ``config.needs_alpha`` asks for it, else None.
    """

    image: np.ndarray
    landmarks: np.ndarray
    to_frame: np.ndarray
    frame_size: tuple[int, int]
    alpha: np.ndarray | None = None
