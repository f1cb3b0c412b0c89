"""What several scorers cut out of a picture."""

from __future__ import annotations

import cv2
import numpy as np


def face_cut(image: np.ndarray, landmarks: np.ndarray, most: int = 1024) -> np.ndarray:
    """(h, w) float32 luma 0..255 of the face's box at the picture's own resolution, reduced to ``most`` pixels a side;
    empty if the face lies outside the picture."""
    low = np.floor(np.maximum(landmarks[:, :2].min(0), 0)).astype(int)
    high = np.ceil(landmarks[:, :2].max(0)).astype(int) + 1
    part = image[low[1] : high[1], low[0] : high[0]]
    if min(part.shape[:2], default=0) < 8:
        return np.zeros((0, 0), np.float32)
    grey: np.ndarray = cv2.cvtColor(np.ascontiguousarray(part), cv2.COLOR_RGB2GRAY).astype(np.float32)
    if max(grey.shape) > most:
        scale = most / max(grey.shape)
        grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return grey
