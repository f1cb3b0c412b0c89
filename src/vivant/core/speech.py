"""Speech as methods receive it: heard once, told on the timeline of the video."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

import numpy as np

SPEECH_RATE = 16_000
"""Samples a second that every speech encoder of the house hears."""

SPEECH_FEATURES = {
    "mel": (4, 80),
    "whisper-tiny-en": (2, 5 * 384),
    "whisper-base": (2, 7 * 512),
    "wav2vec2": (2, 768),
    "hubert": (2, 768),
}
"""Encoder -> (T, D) of its features: steps a frame and numbers a step.

``mel``: log-mel energies, 100 steps a second. ``whisper-*``: 50 steps a second; the states of the encoder one after
another, first the input of its first block, then the output of every block (before the last layer norm), so that
``features[..., -384:]`` is what tiny.en's last block says. ``wav2vec2``, ``hubert``: last hidden state, 50 steps a
second. At 25 frames a second, steps of the encoder are kept as they are.
"""


@dataclass(frozen=True)
class Speech:
    """Sound that drives F frames.

    ``samples``: (N,) float32 mono in -1..1 at :data:`SPEECH_RATE`. ``fps``: exact frames per second of the video.
    ``voiced``: (F,) float32 in 0..1, how sure it is that somebody speaks during the frame.
    ``features``: encoder name (:data:`SPEECH_FEATURES`) -> (F, T, D) float32, T steps of D numbers inside each frame.
    Frame f covers the time from f / fps to (f + 1) / fps; steps are resampled to this raster exactly, so any frame
    rate has the same T. Slice them along the frames, ``features[name][a:b]``, before anything else: of a sound from a
    file they are computed piece by piece when sliced, so that three hours need no more memory than a minute.
    """

    samples: np.ndarray
    fps: Fraction
    voiced: np.ndarray
    features: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.voiced)


class HeardWindow(NamedTuple):
    """What a stream has heard so far. ``speech``: its last frames, from number ``start`` of the stream on; ``first``:
    number of the first frame that is to be made now; ``new``: how many; what follows them is only heard."""

    speech: Speech
    start: int
    first: int
    new: int
