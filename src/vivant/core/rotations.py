"""Rotations in space."""

from __future__ import annotations

import numpy as np


def about(axis: int, angle: np.ndarray) -> np.ndarray:
    """Right-handed rotation (..., 3, 3) of column vectors about one axis, radians."""
    first, second = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.zeros((*np.shape(angle), 3, 3))
    matrix[..., axis, axis] = 1
    matrix[..., first, first] = matrix[..., second, second] = np.cos(angle)
    matrix[..., second, first] = np.sin(angle)
    matrix[..., first, second] = -np.sin(angle)
    return matrix
