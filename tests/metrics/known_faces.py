"""Faces for the tests: the canonical head turned, moved and given expressions, and a finder that knows them."""

from __future__ import annotations

import numpy as np

from vivant.core.face import Face
from vivant.perception.mesh import canonical_face
from vivant.perception.pose import euler_rotation

SIZE = 96


def make_face(
    pitch: float = 0.0,
    yaw: float = 0.0,
    roll: float = 0.0,
    mouth: float = 0.0,
    gaze: tuple[float, float] = (0.0, 0.0),
    lids: float = 1.0,
    size: float = 2.6,
) -> np.ndarray:
    """(478, 3) float32: ``mouth`` moves the lower inner lip (cm), ``lids`` scales the gap, ``gaze`` the irises (cm)."""
    points = np.zeros((478, 3))
    points[:468] = canonical_face().vertices[:468]
    points[14, 1] += mouth
    for upper, lower in ((159, 145), (386, 374)):
        middle = (points[upper] + points[lower]) / 2
        points[[upper, lower]] = middle + lids * (points[[upper, lower]] - middle)
    for corners, iris in (((33, 133), 468), ((362, 263), 473)):
        points[iris : iris + 5] = points[list(corners)].mean(0) + np.array([*gaze, 0])
    turned = points @ euler_rotation(np.array(pitch), np.array(yaw), np.array(roll))
    return (size * turned + (SIZE / 2, SIZE / 2, 0)).astype(np.float32)


class KnownFinder:
    """Finds the faces that were told for given pictures, by their bytes."""

    def __init__(self) -> None:
        self.known: dict[bytes, np.ndarray] = {}

    def tell(self, image: np.ndarray, landmarks: np.ndarray) -> None:
        self.known[image.tobytes()] = landmarks

    def find(self, image: np.ndarray) -> list[Face]:
        points = self.known.get(image.tobytes())
        if points is None:
            return []
        box = np.concatenate([points[:, :2].min(0), points[:, :2].max(0)])
        return [Face(points, box, 1.0)]
