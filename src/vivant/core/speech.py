"""Speech as methods receive it: heard once, told on the timeline of the video."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

SPEECH_RATE = 16_000
"""Samples a second that every speech encoder of the house hears."""


@dataclass(frozen=True)
class Speech:
    """Sound that drives F frames.

    ``samples``: (N,) float32 mono in -1..1 at :data:`SPEECH_RATE`. ``fps``: exact frames per second of the video.
    ``voiced``: (F,) float32 in 0..1, how sure it is that somebody speaks during the frame.
    ``features``: encoder name -> (F, T, D) float32, T steps of D numbers inside each frame. Frame f covers the time
    from f / fps to (f + 1) / fps; steps are resampled to this raster exactly, so any frame rate has the same T.
    """

    samples: np.ndarray
    fps: Fraction
    voiced: np.ndarray
    features: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.voiced)
