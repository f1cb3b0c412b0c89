"""Is the face lit so that one can see it?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import cv2
import numpy as np

from vivant.data.curate.scorers.base import Scorer, Scores, rounded
from vivant.data.curate.words import View

_STRIDE = 5  # every so many frames


class Exposure(Scorer):
    """Luma inside the oval of the face, of every fifth frame."""

    name = "exposure"
    measures: ClassVar[Mapping[str, str]] = {
        "mean": "mean luma of the face, 0..255",
        "contrast": "standard deviation of the luma within the face",
        "dark": "share of the face's pixels at 16 or less",
        "bright": "share of the face's pixels at 250 or more",
        "flicker": "standard deviation over time of the face's mean luma",
    }

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self._rows: list[tuple[float, float, float, float]] = []
        self._number = 0

    def see(self, image: np.ndarray, landmarks: np.ndarray, seen: bool) -> None:
        """Measure every fifth frame."""
        self._number += 1
        if (self._number - 1) % _STRIDE or not seen:
            return
        luma = face_luma(image, landmarks)
        if len(luma):
            self._rows.append((luma.mean(), luma.std(), (luma <= 16).mean(), (luma >= 250).mean()))

    def finish(self) -> Scores:
        """See ``measures``."""
        if not self._rows:
            return dict.fromkeys(self.measures)
        mean, contrast, dark, bright = np.array(self._rows).T
        values = (mean.mean(), contrast.mean(), dark.mean(), bright.mean(), mean.std())
        return rounded(dict(zip(self.measures, map(float, values))))


def face_luma(image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """(n,) luma 0..255 of the pixels inside the hull of the landmarks, of a copy of 128 px at most."""
    low = np.floor(np.maximum(landmarks[:, :2].min(0), 0)).astype(int)
    high = np.ceil(landmarks[:, :2].max(0)).astype(int) + 1
    part = image[low[1] : high[1], low[0] : high[0]]
    if min(part.shape[:2]) < 2:
        return np.zeros(0)
    scale = min(1.0, 128 / max(part.shape[:2]))
    small = cv2.resize(part, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    hull = cv2.convexHull(((landmarks[:, :2] - low) * scale).astype(np.float32)).round().astype(np.int32)
    mask = cv2.fillConvexPoly(np.zeros(small.shape[:2], np.uint8), hull, 1)
    grey: np.ndarray = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    return grey[mask > 0].astype(np.float64)
