"""How far eyes and lips are open, as ratios that do not depend on the size or the place of the face.

A ratio is opening over width: the distance between two lids (or the inner lips) over the distance between
the corners. Open eyes are at about 0.25 to 0.4, closed lips below 0.01; targets of the retargeting nets run
from 0 to 0.8.
"""

from __future__ import annotations

import numpy as np

from vivant.core.errors import FaceError

_Ratio = tuple[int, int, int, int]  # opening from, to; width from, to
_EYES: dict[int, tuple[_Ratio, _Ratio]] = {
    203: ((6, 18, 0, 12), (30, 42, 24, 36)),
    478: ((159, 145, 33, 133), (386, 374, 362, 263)),
}
_LIPS: dict[int, _Ratio] = {203: (90, 102, 48, 66), 478: (13, 14, 61, 291)}


def eye_ratios(landmarks: np.ndarray) -> np.ndarray:
    """Opening of the eyes (2,) float32, the eye on the left of the picture first.

    Args:
        landmarks: (478, 2 or 3) or (203, 2) in any unit; only x and y count.

    Raises:
        FaceError: another number of landmarks.
    """
    points = _points(landmarks)
    return np.array([_ratio(points, indices) for indices in _EYES[len(points)]], dtype=np.float32)


def lip_ratio(landmarks: np.ndarray) -> float:
    """Opening of the inner lips over the width of the mouth; arguments and errors as :func:`eye_ratios`."""
    points = _points(landmarks)
    return _ratio(points, _LIPS[len(points)])


def _points(landmarks: np.ndarray) -> np.ndarray:
    points = np.asarray(landmarks, dtype=np.float64)
    if points.ndim != 2 or len(points) not in _LIPS:
        raise FaceError(f"Opening ratios need 478 or 203 landmarks, not an array of shape {points.shape}.")
    return points[:, :2]


def _ratio(points: np.ndarray, indices: _Ratio) -> float:
    top, bottom, left, right = points[list(indices)]
    return float(np.linalg.norm(top - bottom) / (np.linalg.norm(left - right) + 1e-6))
