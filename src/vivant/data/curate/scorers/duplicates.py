"""What makes a clip the same as another, whatever its size, rate and compression: looks, how the lips move, and how
loud it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from vivant.controls.ratios import lip_ratio
from vivant.core.errors import MissingExtraError
from vivant.data.curate.scorers.base import Scorer, Scores
from vivant.data.curate.scorers.pixels import face_cut
from vivant.data.curate.scorers.sound import frame_levels
from vivant.data.curate.words import FPS, View


class Duplicates(Scorer):
    """Perceptual hashes of the face once a second, and the course of lips and loudness.

    A hash alone calls two takes of one person before one wall the same; how lips and voice move tells them apart.
    """

    name = "duplicates"
    measures: ClassVar[Mapping[str, str]] = {}

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self._hashes: list[str] = []
        self._number = -1
        try:
            import imagehash  # noqa: F401
        except ImportError:
            raise MissingExtraError("ImageHash", "curate", "Finding duplicates") from None

    def see(self, image: np.ndarray, landmarks: np.ndarray, seen: bool) -> None:
        """Hash one frame a second."""
        self._number += 1
        if self._number % FPS == FPS // 2:
            grey = face_cut(image, landmarks)
            if grey.size:
                self._hashes.append(_hash(grey))

    def finish(self) -> Scores:
        """``hashes``: 64 bits each in hexadecimal; ``lips``: opening of the lips in thousandths of the mouth's width;
        ``loud``: level in decibels below full scale, at least -80; both once a frame, ``loud`` empty without sound."""
        lips = [round(1000 * lip_ratio(points)) for points in self.view.faces.landmarks]
        samples = self.view.hear()
        levels = frame_levels(samples) if samples is not None else np.zeros(0)
        loud = np.round(20 * np.log10(np.maximum(levels, 1e-4))).astype(int).tolist()
        return {"hashes": self._hashes, "lips": lips, "loud": loud}


def _hash(grey: np.ndarray) -> str:
    import imagehash
    from PIL import Image

    return str(imagehash.phash(Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8))))
