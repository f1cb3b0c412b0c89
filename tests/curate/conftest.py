"""Small videos with faces, made from the bundled demo files."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from vivant.core.clip import Audio
from vivant.media.image import read_image
from vivant.media.video import open_clip
from vivant.media.writer import VideoWriter
from vivant.weights.assets import asset

RATE = 16_000


@pytest.fixture(scope="session")
def speaker() -> tuple[list[np.ndarray], np.ndarray]:
    """30 frames (288, 288, 3) of the bundled speaker and their samples (N,) at 16 kHz."""
    clip = open_clip(asset("demo/driver.mp4"))
    frames = list(islice(clip.frames, 15, 45))
    from vivant.media.audio import read_audio

    sound = read_audio(asset("demo/driver.mp4"), RATE, mono=True).samples[15 * 640 : 45 * 640, 0]
    return frames, sound


@pytest.fixture(scope="session")
def stranger() -> list[np.ndarray]:
    """30 frames (288, 288, 3) of the bundled portrait, moving slowly."""
    image = cv2.resize(read_image(asset("demo/portrait.jpg")), (320, 320), interpolation=cv2.INTER_AREA)
    return [np.ascontiguousarray(image[k // 2 : k // 2 + 288, k : k + 288]) for k in range(30)]


def write_video(path: Path, frames: list[np.ndarray], sound: np.ndarray | None, quality: int = 16) -> Path:
    """A video at 25 frames a second."""
    audio = None if sound is None else Audio(sound[:, None], RATE)
    with VideoWriter(path, 25, audio=audio, quality=quality) as writer:
        for frame in frames:
            writer.write(frame)
    return path


@pytest.fixture(scope="session")
def raw(tmp_path_factory, speaker, stranger) -> Path:
    """A folder of raw videos: a good one, one with a cut, one cut short so that nothing of it can be read, a text."""
    folder = tmp_path_factory.mktemp("raw")
    frames, sound = speaker
    write_video(folder / "good.mp4", frames, sound)
    write_video(folder / "cut.mp4", frames[:25] + stranger[:25], None)
    (folder / "broken.mp4").write_bytes((folder / "good.mp4").read_bytes()[:3000])
    (folder / "notes.txt").write_text("no video")
    return folder
