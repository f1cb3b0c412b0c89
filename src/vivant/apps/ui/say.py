"""Speech for the page: the voices there are, and a video's sound as a file."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np

from vivant.core.errors import MediaError
from vivant.tts.engines import engine, installed


def voices() -> list[str]:
    """Voices that can be used here, as ``engine:voice``."""
    return [f"{name}:{voice}" for name in installed() for voice in engine(name).voices]


def sound_of(video: Path, path: Path) -> Path:
    """The sound of a video as a WAV file.

    Raises:
        MediaError: it has none.
    """
    from vivant.media.video import open_clip

    audio = open_clip(video).audio
    if audio is None:
        raise MediaError(f"There is no sound in {video.name}: choose another file.")
    return write_wav(path, audio.samples.mean(axis=1), audio.rate)


def write_wav(path: Path, samples: np.ndarray, rate: int) -> Path:
    """(N,) samples in -1..1 as 16-bit WAV."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return path
