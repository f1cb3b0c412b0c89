"""Fixtures of the tests of metrics."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
from clips import tone, write
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


@pytest.fixture(scope="session")
def speaker() -> list[np.ndarray]:
    """18 frames (144, 144, 3) of the bundled speaker."""
    from vivant.media.video import open_clip
    from vivant.weights.assets import asset

    frames = islice(open_clip(asset("demo/driver.mp4")).frames, 10, 28)
    return [cv2.resize(frame, (144, 144), interpolation=cv2.INTER_AREA) for frame in frames]


@pytest.fixture(scope="session")
def folders(speaker: list[np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two folders, generated and true: two clips each, the generated ones blurred, one of them shorter."""
    root = tmp_path_factory.mktemp("folders")
    sound = tone(0.8)
    blurred = [cv2.GaussianBlur(frame, (0, 0), 1.5) for frame in speaker]
    for name, count in (("a", 18), ("b", 16)):
        write(root / "true" / f"{name}.mp4", speaker, audio=sound)
        write(root / "made" / f"{name}.mp4", blurred[:count], audio=sound)
    return root / "made", root / "true"
