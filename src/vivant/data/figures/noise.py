"""Smooth noise in space, the same for the same point, for folds of cloth, strands of hair and walls."""

from __future__ import annotations

import numpy as np


class Waves:
    """A sum of waves in random directions: smooth, never repeating in what a person covers, cheap."""

    def __init__(self, rng: np.random.Generator, dimensions: int, length: float, count: int = 6, spread: float = 0.5):
        """``length``: of the waves, in the unit of the points; ``spread``: how much lengths differ, log scale."""
        direction = rng.normal(size=(count, dimensions))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        lengths = length * np.exp(spread * rng.normal(size=(count, 1)))
        self._waves = (2 * np.pi * direction / lengths).astype(np.float32)
        self._phase = rng.uniform(0, 2 * np.pi, count).astype(np.float32)

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """(...) about -1..1 at points (..., D)."""
        return np.asarray(np.sin(points.astype(np.float32) @ self._waves.T + self._phase).mean(-1) * 1.6)
