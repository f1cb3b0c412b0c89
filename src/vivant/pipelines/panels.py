"""Side by side views: source, driver, result in one row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import cv2
import numpy as np


def panel_width(size: tuple[int, int], height: int) -> int:
    """Width of a picture of ``size`` (height, width) once it is ``height`` pixels high; even, so codecs take
    it."""
    return max(2, round(size[1] * height / size[0] / 2) * 2)


def row_size(sizes: Sequence[tuple[int, int]], height: int) -> tuple[int, int]:
    """(height, width) of pictures of ``sizes`` in one row of ``height``."""
    return height, sum(panel_width(size, height) for size in sizes)


def side_by_side(columns: Sequence[Iterable[np.ndarray]], height: int) -> Iterator[np.ndarray]:
    """Rows (``height``, sum of widths, 3) from columns of (H, W, 3) uint8 frames; the shortest column ends
    it."""
    for frames in zip(*columns):
        yield np.concatenate([_fitted(frame, height) for frame in frames], axis=1)


def _fitted(frame: np.ndarray, height: int) -> np.ndarray:
    width = panel_width(frame.shape[:2], height)
    if frame.shape[:2] == (height, width):
        return frame
    flags = cv2.INTER_AREA if frame.shape[0] > height else cv2.INTER_CUBIC
    return cv2.resize(frame, (width, height), interpolation=flags)
