"""Replay: a followed clip moves other people, with its sound and its credit."""

from fractions import Fraction

import numpy as np
import pytest

from vivant.core.clip import Audio
from vivant.core.errors import FaceError, MediaError
from vivant.data.synthesis.clip_motion import ClipMotion, Driver, at_rate, follow_driver
from vivant.data.synthesis.curves import smooth_step
from vivant.data.synthesis.random_motion import START
from vivant.media.writer import VideoWriter
from vivant.rig.motion import EXPRESSION_NAMES, RigMotion


@pytest.fixture(scope="module")
def driver(driver_path, tmp_path_factory):
    target = tmp_path_factory.mktemp("drivers") / "talk.npz"
    follow_driver(driver_path, target)
    return Driver("talk", driver_path, target, "CC-BY-4.0", "GRID")


def test_a_clip_is_followed_and_replayed_with_sound_and_credit(driver):
    source = ClipMotion((driver,), frames=4, fps=Fraction(30000, 1001))
    take = source.take(0, 0)
    assert len(take.motion) == 4 and take.talking and take.credit == "GRID" and take.licence == "CC-BY-4.0"
    assert take.audio is not None and take.audio.seconds == pytest.approx(4 * 1001 / 30000, abs=0.01)
    assert np.abs(take.motion.pose[0]).max() < 1e-5 and not take.motion.expression[0].any()
    assert np.array_equal(take.motion.pose, source.take(0, 0).motion.pose)
    assert not np.array_equal(take.motion.pose, source.take(1, 0).motion.pose)


def test_the_face_follows_the_driver_from_the_still_on(driver):
    with np.load(driver.motion) as data:
        followed = data["expression"]
    take = ClipMotion((driver,), fps=Fraction(30000, 1001)).take(0, 0)
    fade = smooth_step(np.arange(5) / (30000 / 1001) / START)
    jaw, brow = EXPRESSION_NAMES.index("jawOpen"), EXPRESSION_NAMES.index("browInnerUp_L")
    assert np.abs(followed[:, jaw]).max() > 0.1
    for row in (jaw, brow):  # the tracker tells mouths at full amplitude already
        assert np.allclose(take.motion.expression[:, row], followed[:, row] * fade, atol=1e-5)


def test_another_frame_rate_shows_the_same_time():
    ramp = np.arange(30, dtype=np.float64)
    motion = RigMotion(30, np.outer(ramp, np.ones(6)), np.zeros((30, 55)), np.zeros((30, 2)))
    slow = at_rate(motion, Fraction(15))
    assert len(slow) == 15 and np.allclose(slow.pose[:, 0], ramp[::2]) and slow.fps == 15


def test_clips_without_a_face_are_refused(tmp_path):
    path = tmp_path / "grey.mp4"
    with VideoWriter(path, 25, audio=Audio(np.zeros((800, 1), np.float32), 8000)) as writer:
        for _ in range(3):
            writer.write(np.full((64, 64, 3), 90, np.uint8))
    with pytest.raises(FaceError):
        follow_driver(path, tmp_path / "x.npz")
    assert not (tmp_path / "x.npz").exists()
    with pytest.raises(MediaError):
        ClipMotion((Driver("x", path, tmp_path / "x.npz"),)).take(0, 0)
