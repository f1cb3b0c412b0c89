"""A person's square, and animation by poses end to end, with the bundled reader of bodies."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from safetensors.numpy import save_file

import vivant
from vivant.controls.openpose import PoseTrack
from vivant.core.clip import Clip
from vivant.core.errors import BodyError, ConfigError, MediaError
from vivant.media.image import read_image
from vivant.pipelines.posed import person_crop
from vivant.pipelines.poses import read_poses

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


def test_kept_poses_drive_as_the_video_does_that_they_were_read_from(man, woman, tmp_path):
    given = clip(woman, np.zeros_like(woman), man)
    track, _ = read_poses(given)
    track.save(tmp_path / "kept.safetensors")
    plain = vivant.animate(man, given, **WISH)
    kept = vivant.animate(man, tmp_path / "kept.safetensors", **WISH)
    assert kept.fps == plain.fps and "Nobody is seen in 1 of 3 frames" in kept.warnings[0]
    for frame, wanted in zip(kept.frames, plain.frames, strict=True):
        assert np.array_equal(frame, wanted)
    slower = vivant.animate(man, tmp_path / "kept.safetensors", fps=2.5, side_by_side=True, **WISH)
    assert slower.count == 2 and len(list(slower.frames)) == 2
    body = PoseTrack(track.points[:, :18], track.fps, track.size)
    body.save(tmp_path / "body.safetensors")
    assert vivant.animate(man, tmp_path / "body.safetensors", **WISH).count == 3
    with pytest.raises(ConfigError, match="leave --driving-face out"):
        vivant.animate(man, tmp_path / "kept.safetensors", driving_face=1, **WISH)
    save_file({"points": np.zeros(3, np.float32)}, tmp_path / "other.safetensors")
    with pytest.raises(MediaError, match="not a saved pose track"):
        vivant.animate(man, tmp_path / "other.safetensors", **WISH)


def test_the_person_who_performs_is_chosen(man, woman):
    small = cv2.resize(woman, None, fx=0.7, fy=0.7)
    picture = np.full((len(man), man.shape[1] + small.shape[1], 3), 128, np.uint8)
    picture[:, : man.shape[1]], picture[-len(small) :, man.shape[1] :] = man, small
    crops = {}
    for choice in ("largest", 0, 1):
        found = vivant.animate(picture, clip(woman), face=choice, crop_only=True, **WISH)
        crops[choice] = next(iter(found.frames))
        assert ("shows 2 people" in str(found.warnings)) == (choice == "largest")
    assert np.array_equal(crops["largest"], crops[0]) and not np.array_equal(crops[0], crops[1])
    with pytest.raises(BodyError, match="no person 2 in the source, which shows 2"):
        vivant.animate(picture, clip(woman), face=2, **WISH)
    with pytest.raises(ConfigError, match="One person performs"):
        vivant.animate(picture, clip(woman), face="all", **WISH)


def test_what_only_motion_has_is_refused(man, woman):
    for option, said in (({"reference": "auto"}, "--neutral-frame"), ({"steady_eyes": True}, "--steady-eyes")):
        with pytest.raises(ConfigError, match=f"knows no .*{said}"):
            vivant.animate(man, clip(woman, woman), **option, **WISH)
