"""How large the face is, and how much of that size is real detail."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from vivant.data.curate.scorers.base import Scorer, Scores, rounded
from vivant.data.curate.scorers.pixels import face_cut
from vivant.data.curate.words import View

_STRIDE = 12  # every so many frames
_LOST = 0.025  # of the deviation of luma; a face loses nothing that one sees when finer detail goes


class Resolution(Scorer):
    """Size in pixels, and the size at which the face would show the same detail: an enlarged or blurred face has
    nothing in the finest part of its spectrum. Noise counts as detail."""

    name = "resolution"
    measures: ClassVar[Mapping[str, str]] = {
        "face": "median of the longer side of the face's box, pixels",
        "least": "5th percentile of that side, pixels",
        "effective": "median side to which the face could be reduced without losing detail, pixels",
        "picture": "shorter side of the picture, pixels",
    }

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self._parts: list[float] = []
        self._number = 0

    def see(self, image: np.ndarray, landmarks: np.ndarray, seen: bool) -> None:
        """Measure every twelfth frame."""
        self._number += 1
        if (self._number - 1) % _STRIDE or not seen:
            return
        grey = face_cut(image, landmarks)
        if grey.size:
            self._parts.append(detail(grey))

    def finish(self) -> Scores:
        """See ``measures``."""
        sizes = self.view.faces.sizes[self.view.faces.seen]
        face = float(np.median(sizes))
        return rounded(
            {
                "face": face,
                "least": float(np.percentile(sizes, 5)),
                "effective": face * float(np.median(self._parts)) if self._parts else None,
                "picture": float(min(self.view.source.size)),
            }
        )


def detail(grey: np.ndarray) -> float:
    """Part of the spectrum in 0..1 that holds all but the least of the detail of (h, w) float32 luma."""
    window = np.outer(np.hanning(grey.shape[0]), np.hanning(grey.shape[1]))
    power = np.abs(np.fft.fft2((grey - grey.mean()) * window)) ** 2
    down, across = (2 * np.abs(np.fft.fftfreq(side)) for side in grey.shape)
    frequency = np.maximum(down[:, None], across).ravel()
    order = np.argsort(frequency)[::-1]
    above = np.cumsum(power.ravel()[order])
    limit = _LOST**2 * above[-1]
    return float(frequency[order][min(int(np.searchsorted(above, limit)), len(order) - 1)])
