"""Small clips of a real face for the tests of metrics."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import numpy as np

from vivant.core.clip import Audio
from vivant.media.writer import VideoWriter

RATE = 16_000


def tone(seconds: float, hertz: float = 440.0) -> Audio:
    """A tone that starts and stops twice a second."""
    time = np.arange(round(seconds * RATE)) / RATE
    return Audio((0.4 * np.sin(2 * np.pi * hertz * time) * (time % 0.5 < 0.25)).astype(np.float32)[:, None], RATE)


def write(path: Path, frames: Iterable[np.ndarray], fps: float = 25, audio: Audio | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with VideoWriter(path, Fraction(fps), audio=audio, quality=4) as writer:
        for frame in frames:
            writer.write(frame)
    return path
