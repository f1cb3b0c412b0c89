"""The feathered square that decides where a generated crop replaces the picture."""

from __future__ import annotations

import numpy as np

TEMPLATE_SIZE = 512
TEMPLATE_BORDER = 16


def feather_mask(size: int, border: float | None = None) -> np.ndarray:
    """Square mask (size, size) uint8: 255 inside, falling to 0 over ``border`` pixels at the rim.

    Every pixel is floor(255 * clip(1 - d / border, 0, 1)), d being the Euclidean distance of its index to the
    index square border..size-border. With size 512 and border 16 this equals LivePortrait's published
    template; other sizes scale the border along (16 of 512) unless it is given.
    """
    width = size * TEMPLATE_BORDER / TEMPLATE_SIZE if border is None else border
    if width <= 0:
        return np.full((size, size), 255, np.uint8)
    index = np.arange(size, dtype=np.float64)
    outside = np.maximum(np.maximum(width - index, index - (size - width)), 0)
    distance = np.hypot(outside[:, None], outside[None, :])
    return np.floor(255 * np.clip(1 - distance / width, 0, 1)).astype(np.uint8)
