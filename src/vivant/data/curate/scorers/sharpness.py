"""Is the face sharp, and has compression left its blocks?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import cv2
import numpy as np
from scipy.ndimage import uniform_filter1d

from vivant.data.curate.scorers.base import Scorer, Scores, rounded
from vivant.data.curate.scorers.pixels import face_cut
from vivant.data.curate.words import View

_STRIDE = 12
_SIDE = 128


class Sharpness(Scorer):
    """Of every twelfth frame, then the median."""

    name = "sharpness"
    measures: ClassVar[Mapping[str, str]] = {
        "blur": "blur of the face at its own resolution, 0 sharp to 1 (Crete et al. 2007)",
        "laplacian": "variance of the Laplacian of the face's luma at 128 px, grey levels squared",
        "blocks": "step of luma across borders of 8 x 8 pixels over the step elsewhere; about 1 without blocks",
        "bits": "bits of the file for each pixel of a frame, sound included",
    }

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self._rows: list[tuple[float, float, float]] = []
        self._number = 0

    def see(self, image: np.ndarray, landmarks: np.ndarray, seen: bool) -> None:
        """Measure every twelfth frame."""
        self._number += 1
        if (self._number - 1) % _STRIDE or not seen:
            return
        grey = face_cut(image, landmarks)
        if grey.size:
            scale = _SIDE / max(grey.shape)
            small = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            self._rows.append((blur(grey), float(cv2.Laplacian(small, cv2.CV_32F).var()), blockiness(image)))

    def finish(self) -> Scores:
        """See ``measures``."""
        source = self.view.source
        pixels = source.size[0] * source.size[1] * (source.seconds or 0) * _rate(source.fps)
        bits = 8 * source.bytes / pixels if pixels else None
        if not self._rows:
            return {**dict.fromkeys(self.measures), **rounded({"bits": bits})}
        values = np.median(np.array(self._rows), axis=0)
        return rounded({**dict(zip(("blur", "laplacian", "blocks"), map(float, values))), "bits": bits})


def _rate(fps: str) -> float:
    top, _, bottom = fps.partition("/")
    return float(top or 0) / float(bottom or 1)


def blur(grey: np.ndarray, length: int = 11) -> float:
    """0 for sharp to 1 for blurred luma (h, w): how little a strong blur changes it (Crete et al. 2007, "The blur
    effect"), of both directions the blurrier one."""
    values = []
    for axis in (0, 1):
        steps = np.abs(np.diff(grey, axis=axis))
        softer = np.abs(np.diff(uniform_filter1d(grey, length, axis=axis), axis=axis))
        lost = np.maximum(0, steps - softer)
        values.append(1 - float(lost.sum()) / (float(steps.sum()) + 1e-6))
    return max(values)


def blockiness(image: np.ndarray) -> float:
    """Mean step of luma across the borders of a grid of 8 x 8 pixels over the mean step elsewhere, for (H, W, 3)
    uint8; of both directions the mean."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    ratios = []
    for axis in (0, 1):
        steps = np.abs(np.diff(grey, axis=axis)).mean(axis=1 - axis)
        border = np.arange(len(steps)) % 8 == 7
        if border.any() and not border.all():
            ratios.append(float(steps[border].mean()) / (float(steps[~border].mean()) + 1e-3))
    return float(np.mean(ratios)) if ratios else 1.0
