"""Small inputs that several rooms' tests share, made from the bundled demo files."""

import os
from fractions import Fraction
from itertools import islice

import numpy as np
import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # nets are tiny here, threads only wait for each other


@pytest.fixture(scope="session")
def portrait_path():
    from vivant.weights.assets import asset

    return asset("demo/portrait.jpg")


@pytest.fixture(scope="session")
def portrait(portrait_path):
    from vivant.media.image import read_image

    return read_image(portrait_path)


@pytest.fixture(scope="session")
def driver_frames():
    """Five frames (288, 288, 3) of the bundled speaker, every eighth."""
    from vivant.media.video import open_clip
    from vivant.weights.assets import asset

    return list(islice(open_clip(asset("demo/driver.mp4")).frames, 0, 40, 8))


@pytest.fixture(scope="session")
def driver_path(driver_frames, tmp_path_factory):
    """The five frames as a video at 30000/1001 frames per second, with one second of a tone."""
    from vivant.core.clip import Audio
    from vivant.media.writer import VideoWriter

    tone = np.sin(np.arange(16000) * 2 * np.pi * 440 / 16000).astype(np.float32)[:, None] * 0.3
    path = tmp_path_factory.mktemp("driver") / "talk.mp4"
    with VideoWriter(path, Fraction(30000, 1001), audio=Audio(tone, 16000)) as writer:
        for frame in driver_frames:
            writer.write(frame)
    return path
