"""Captions, logos, tickers: rows of letters that lie over the picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import cv2
import numpy as np

from vivant.data.curate.scorers.base import Scorer, Scores, rounded
from vivant.data.curate.words import FPS, View

_SIDE = 480  # pixels of the shorter side at which letters are looked for
_TALL = (0.02, 0.12)  # height of a row of letters over the picture's height
_LONG = 3.0  # least length of a row in its heights
_FULL = 0.6  # least share of a row's box that strokes and the gaps between them fill
_TURNS = (1.3, 8.0)  # changes between light and dark along a row, for each height of length
_CONTRAST = 90  # grey levels between the dark and the light of a row
_STROKE = 70  # grey levels by which a stroke stands out of its surroundings


class Text(Scorer):
    """Once a second: long flat bands of thin strokes of strong contrast, outside face and hair. What stays in place in
    two looks or more counts as laid over the picture."""

    name = "text"
    measures: ClassVar[Mapping[str, str]] = {
        "share": "share of the picture's area that rows of letters cover, mean over looks",
        "overlay": "the same, counting only rows that stay in place for a second or more",
    }

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self._masks: list[np.ndarray] = []
        self._number = -1

    def see(self, image: np.ndarray, landmarks: np.ndarray, seen: bool) -> None:
        """Look once a second."""
        self._number += 1
        if self._number % FPS == FPS // 2:
            self._masks.append(letters(image, landmarks))

    def finish(self) -> Scores:
        """See ``measures``."""
        if not self._masks:
            return dict.fromkeys(self.measures)
        stack = np.stack(self._masks)
        lasting = stack[1:] & stack[:-1]
        overlay = float(lasting.mean((1, 2)).max()) if len(lasting) else float(stack.mean())
        return rounded({"share": float(stack.mean()), "overlay": overlay})


def letters(image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """(h, w) bool of a small copy: where rows of letters are."""
    scale = min(1.0, _SIDE / min(image.shape[:2]))
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    height, short = grey.shape[0], min(grey.shape)
    strokes = _strokes(grey, max(5, round(short * 0.03) | 1))
    for x0, y0, x1, y1 in _head(landmarks[:, :2] * scale):
        strokes[y0:y1, x0:x1] = 0
    bands = cv2.morphologyEx(strokes, cv2.MORPH_CLOSE, _box(1, short * 0.05))
    bands = cv2.morphologyEx(bands, cv2.MORPH_OPEN, _box(height * 0.022, short * 0.1))
    found = np.zeros(grey.shape, bool)
    _, _, boxes, _ = cv2.connectedComponentsWithStats(bands)
    for x, y, w, h, area in boxes[1:]:
        flat = _TALL[0] * height <= h <= _TALL[1] * height and w >= _LONG * h and area >= _FULL * w * h
        if flat and _is_row(grey[y : y + h, x : x + w]):
            found[y : y + h, x : x + w] = True
    return found


def _box(height: float, width: float) -> np.ndarray:
    return np.ones((max(1, round(height)), max(3, round(width))), np.uint8)


def _strokes(grey: np.ndarray, width: int) -> np.ndarray:
    """(h, w) uint8, 1 where something thinner than ``width`` pixels is much lighter or darker than around it."""
    kernel = np.ones((width, width), np.uint8)
    hats = [cv2.morphologyEx(grey, kind, kernel) for kind in (cv2.MORPH_TOPHAT, cv2.MORPH_BLACKHAT)]
    thin: np.ndarray = (np.maximum(*hats) > _STROKE).astype(np.uint8)
    return thin


def _head(points: np.ndarray) -> list[tuple[int, int, int, int]]:
    """Boxes x0, y0, x1, y1 of a face and of the hair above and beside it, which are full of strokes, too."""
    low, high = points.min(0), points.max(0)
    width, height = high - low
    x0, y0 = np.maximum([low[0] - 0.45 * width, low[1] - 0.6 * height], 0).astype(int)
    cheek = int(low[1] + 0.75 * height)
    hair = (int(x0), int(y0), int(high[0] + 0.45 * width), cheek)
    return [hair, (max(0, int(low[0])), cheek, int(high[0]), int(high[1] + 0.02 * height))]


def _is_row(grey: np.ndarray) -> bool:
    """Whether a band (h, w) holds letters: two tones far apart that change often along its middle."""
    h, w = grey.shape
    dark, light = np.percentile(grey, (8, 92))
    middle = grey[h // 4 : max(h // 4 + 1, 3 * h // 4)] > (dark + light) / 2
    turns = float(np.abs(np.diff(middle.astype(np.int8), axis=1)).sum(1).mean()) / (w / h)
    return bool(light - dark >= _CONTRAST and _TURNS[0] <= turns <= _TURNS[1])
