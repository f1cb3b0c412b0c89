"""Paste back: the mask's numbers, untouched surroundings, exact return of an unchanged crop."""

import cv2
import numpy as np
import pytest

from vivant.compose.color import match_rim
from vivant.compose.mask import feather_mask
from vivant.compose.paste import Paster


def smooth_picture(height=180, width=240):
    y, x = np.mgrid[:height, :width].astype(np.float32)
    return (np.stack([x / width, y / height, 0.5 + 0.4 * np.sin(x / 30)], -1) * 255).astype(np.uint8)


def crop_of(frame, to_frame, size):
    return cv2.warpAffine(frame, to_frame, (size, size), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)


def test_mask_follows_the_published_template():
    mask = feather_mask(512)
    assert mask[16, 16] == 255 and mask[496, 496] == 255 and mask[256, 256] == 255
    assert mask[0, 256] == 0 and mask[8, 256] == 127
    assert mask[511, 256] == int(255 * (1 - 15 / 16))
    assert mask[4, 4] == int(255 * max(0.0, 1 - np.hypot(12, 12) / 16))


def test_mask_border_scales_with_the_crop():
    assert feather_mask(256)[8, 128] == 255 and feather_mask(256)[4, 128] == 127
    assert (feather_mask(64, border=0) == 255).all()


@pytest.mark.parametrize("scale, angle", [(0.4, 0.0), (0.8, 12.0), (1.3, -7.0)])
def test_an_unchanged_crop_leaves_the_picture_nearly_as_it_was(scale, angle):
    frame = smooth_picture()
    size = 96
    c, s = scale * np.cos(np.radians(angle)), scale * np.sin(np.radians(angle))
    to_frame = np.array([[c, -s, 90.0], [s, c, 40.0]])
    result = Paster(frame.shape[:2], to_frame, size).paste(frame, crop_of(frame, to_frame, size))
    assert np.abs(result.astype(int) - frame).max() <= 6
    assert np.abs(result.astype(int) - frame).mean() < 0.5


def test_outside_the_box_nothing_changes_and_inside_the_crop_wins():
    frame = smooth_picture()
    paster = Paster(frame.shape[:2], np.array([[1.0, 0, 60], [0, 1.0, 50]]), 64)
    result = paster.paste(frame, np.full((64, 64, 3), 200, np.uint8))
    x0, y0, x1, y1 = paster.box
    outside = np.ones(frame.shape[:2], bool)
    outside[y0:y1, x0:x1] = False
    assert (result[outside] == frame[outside]).all()
    assert (result[82, 92] == 200).all()


def test_a_generated_crop_of_another_side_shows_the_same_square():
    frame = np.zeros((100, 100, 3), np.uint8)
    paster = Paster((100, 100), np.array([[1.0, 0, 20], [0, 1.0, 20]]), 60)
    marked = np.zeros((60, 60, 3), np.uint8)
    marked[20:40, 20:40] = 255
    double = cv2.resize(marked, (120, 120), interpolation=cv2.INTER_NEAREST)
    once, twice = paster.paste(frame, marked), paster.paste(frame, double)
    assert np.abs(once.astype(int) - twice).mean() < 1.0
    assert once[50, 50, 0] == 255 and twice[50, 50, 0] == 255


def test_a_crop_outside_the_picture_is_harmless():
    frame = smooth_picture(40, 40)
    result = Paster((40, 40), np.array([[1.0, 0, 500], [0, 1.0, 500]]), 32).paste(
        frame, np.zeros((32, 32, 3), np.uint8)
    )
    assert (result == frame).all()


def test_wrong_frame_size_is_refused():
    with pytest.raises(ValueError, match="made for"):
        Paster((40, 40), np.eye(2, 3), 16).paste(np.zeros((41, 40, 3), np.uint8), np.zeros((16, 16, 3), np.uint8))


def test_colour_match_moves_the_crop_to_the_rim():
    original = np.full((64, 64, 3), (120, 100, 90), np.uint8)
    patch = np.full((64, 64, 3), (110, 105, 90), np.uint8)
    matched = match_rim(patch, original, feather_mask(64).astype(np.float32) / 255)
    assert (matched == original).all()
    far = match_rim(np.zeros_like(patch), original, feather_mask(64).astype(np.float32) / 255)
    assert far.max() == 24
