"""Colour match at the seam of a pasted crop."""

from __future__ import annotations

import numpy as np


def match_rim(patch: np.ndarray, original: np.ndarray, weight: np.ndarray, limit: float = 24.0) -> np.ndarray:
    """Shift the colours of ``patch`` so that its rim agrees with the picture underneath.

    ``patch``, ``original``: (H, W, 3) uint8 RGB of the same place; ``weight``: (H, W) float32 mask in 0..1,
    the rim is where it lies strictly between 0 and 1. The shift is one offset per channel, the median
    difference over the rim, at most ``limit`` grey levels, so that moving hair at the rim does not tint the
    face. Returns uint8.
    """
    rim = (weight > 0) & (weight < 1)
    if not rim.any():
        return patch
    difference = original[rim].astype(np.float32) - patch[rim].astype(np.float32)
    offset = np.clip(np.median(difference, axis=0), -limit, limit)
    return np.clip(patch.astype(np.float32) + offset, 0, 255).round().astype(np.uint8)
