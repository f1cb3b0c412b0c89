"""Fixtures of the tests of metrics."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from known_faces import SIZE, KnownFinder, make_face


@pytest.fixture
def face() -> Callable[..., np.ndarray]:
    return make_face


@pytest.fixture
def finder() -> KnownFinder:
    return KnownFinder()


@pytest.fixture
def picture() -> np.ndarray:
    """(96, 96, 3) uint8, smooth colours with detail."""
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    layers = [np.sin(9 * x + k) * np.cos(7 * y - k) + 0.3 * np.sin(40 * (x + k * y)) for k in (1, 2, 3)]
    return ((np.stack(layers, -1) + 1.5) / 3 * 255).clip(0, 255).astype(np.uint8)
