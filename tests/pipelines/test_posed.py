"""A person's square, and animation by poses end to end, with the bundled reader of bodies."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import vivant
from vivant.core.clip import Clip
from vivant.core.errors import BodyError, ConfigError
from vivant.media.image import read_image
from vivant.pipelines.posed import person_crop

BODIES = Path(__file__).parents[1] / "data" / "bodies"
WISH = {"method": "animate-anyone", "preset": "tiny", "device": "cpu", "dtype": "fp32"}


def clip(*frames: np.ndarray) -> Clip:
    return Clip(list(frames), Fraction(5), frames[0].shape[:2], len(frames))


@pytest.fixture(scope="module")
def man() -> np.ndarray:
    return read_image(BODIES / "signing_man.jpg")


@pytest.fixture(scope="module")
def woman() -> np.ndarray:
    return read_image(BODIES / "signing_woman.jpg")


def test_the_square_gives_room_and_its_map_leads_back():
    frame = np.zeros((300, 200, 3), np.uint8)
    frame[100:110, 60:70] = 255
    crop = person_crop(frame, np.array([50, 90, 90, 150], np.float32), 128)
    linear, shift = crop.to_frame[:, :2], crop.to_frame[:, 2]
    assert linear[0, 0] * 128 == pytest.approx(1.7 * 60) and linear[0, 1] == 0
    rows, columns = np.nonzero(crop.image[..., 0] > 127)
    middle = linear @ [columns.mean(), rows.mean()] + shift
    assert np.allclose(middle, [64.5, 104.5], atol=0.5)


def test_a_square_is_no_larger_than_the_picture():
    frame = np.random.default_rng(0).integers(0, 255, (300, 200, 3), dtype=np.uint8)
    crop = person_crop(frame, np.array([20, 5, 180, 295], np.float32), 64)
    assert crop.to_frame[0, 0] * 64 == pytest.approx(300)
    assert (crop.to_frame @ [31.5, 31.5, 1]) == pytest.approx([99.5, 149.5])


def test_a_person_performs_anothers_poses(man, woman, tmp_path):
    found = vivant.animate(man, clip(woman, man), tmp_path / "out.mp4", **WISH)
    assert found.count == 2 and found.size == man.shape[:2] and (tmp_path / "out.mp4").is_file()


def test_frames_without_a_person_hold_the_pose_and_are_told(man, woman):
    empty = np.zeros_like(woman)
    found = vivant.animate(man, clip(woman, empty), **WISH)
    assert found.count == 2 and "Nobody is seen in 1 of 2 frames" in found.warnings[0]


def test_nobody_to_be_seen_is_refused(man, woman):
    empty = np.zeros_like(woman)
    with pytest.raises(BodyError, match="Nobody was found in any frame"):
        vivant.animate(man, clip(empty, empty), **WISH)
    with pytest.raises(BodyError, match="give a picture that shows a person"):
        vivant.animate(empty, clip(woman, woman), **WISH)


def test_without_a_driver_there_is_nothing_to_perform(man):
    with pytest.raises(ConfigError):
        vivant.animate(man, **WISH)
