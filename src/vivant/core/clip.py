"""Clips and sound as they travel between rooms."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np


@dataclass(frozen=True)
class Audio:
    """Sound. ``samples``: (N, C) float32 in -1..1; ``rate``: samples per second."""

    samples: np.ndarray
    rate: int

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.rate


@dataclass(frozen=True)
class Clip:
    """Frames on a timeline.

    ``frames``: iterable of (H, W, 3) uint8 RGB arrays, read lazily, so memory does not grow with length; a clip read
    from a file may be iterated again, which reads the file again.
    ``fps``: exact frames per second as a fraction. ``size``: (height, width) in pixels.
    ``count``: number of frames when the container says it, else None (an estimate is never stored here).
    """

    frames: Iterable[np.ndarray]
    fps: Fraction
    size: tuple[int, int]
    count: int | None = None
    audio: Audio | None = None
