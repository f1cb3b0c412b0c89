"""Where the crops of a driver lie: a square that moves is no motion, a jump is none either."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from portraits import SIDE, DotFinder, crop, generator

from vivant.core.errors import FaceError
from vivant.core.face import FaceCrop
from vivant.methods.live_portrait.config import PRESETS
from vivant.methods.live_portrait.generate import Generator
from vivant.methods.live_portrait.prepare import Square, Trail


def view(picture: np.ndarray, centre: tuple[float, float], half: float, degrees: float = 0) -> FaceCrop:
    """The square of ``picture`` around ``centre``."""
    angle, scale = np.deg2rad(degrees), 2 * half / SIDE
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    to_frame = np.concatenate([linear, (np.array(centre) - linear @ np.full(2, SIDE / 2))[:, None]], 1)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return replace(crop(0), image=cv2.warpAffine(picture, to_frame, (SIDE, SIDE), flags=flags), to_frame=to_frame)


def test_a_driver_square_that_moves_causes_no_motion() -> None:
    picture = np.zeros((480, 640, 3), np.uint8)
    cv2.circle(picture, (330, 230), 20, (255, 255, 255), -1, cv2.LINE_AA)
    make = Generator({**generator().modules, "motion_extractor": DotFinder()}, PRESETS["tiny"])
    squares = [((320, 240), 100.0, 0.0), ((350, 250), 100.0, 0.0), ((310, 200), 130.0, 0.0), ((340, 240), 100.0, 40.0)]
    made = make.motion([view(picture, *square) for square in squares])
    np.testing.assert_allclose(made.translation[:, :2], np.tile([0.1, -0.1], (4, 1)), atol=0.012)
    np.testing.assert_allclose(made.scale, np.full((4, 1), made.scale[0]), rtol=0.03)


def test_another_shot_or_person_goes_on_where_the_last_was() -> None:
    trail = Trail()
    picture = np.zeros((480, 1600, 3), np.uint8)
    near = [trail(view(picture, (320, 240), 100.0)), trail(view(picture, (340, 250), 110.0))]
    assert [tuple(square.centre) for square in near] == [(320, 240), (340, 250)], "what moves on is told as it is"
    far = trail(view(picture, (1300, 200), 50.0, 30))
    np.testing.assert_allclose((*far.centre, far.half), (340, 250, 110))
    np.testing.assert_allclose(far.turn, near[1].turn, atol=1e-9)
    right = trail(view(picture, (1300 + 5 * np.cos(np.pi / 6), 200 + 5 * np.sin(np.pi / 6)), 55.0, 30))
    np.testing.assert_allclose((*right.centre, right.half), (340 + 11, 250, 121))


def test_a_driver_who_jumps_does_not_take_the_portrait_along() -> None:
    picture = np.zeros((480, 1600, 3), np.uint8)
    for place in ((330, 230), (1330, 230)):
        cv2.circle(picture, place, 20, (255, 255, 255), -1, cv2.LINE_AA)
    make = Generator({**generator().modules, "motion_extractor": DotFinder()}, PRESETS["tiny"])
    made = make.motion([view(picture, (320, 240), 100.0), view(picture, (1320, 240), 100.0)])
    np.testing.assert_allclose(made.translation[:, :2], np.tile([0.1, -0.1], (2, 1)), atol=0.012)


def test_a_mirrored_crop_is_refused() -> None:
    with pytest.raises(FaceError, match="rotation and a scale"):
        Square.of(crop(1, to_frame=np.array([[-2.0, 0, 100], [0, 2.0, 60]])))
