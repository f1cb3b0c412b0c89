from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from vivant.metrics.motion import (
    absolute_errors,
    change_error,
    euler_error,
    eye_distance,
    face_series,
    gaze,
    jitter,
    landmark_error,
    lid_opening,
    mouth_opening,
    read_motion,
    rotation_angle,
    series_moments,
)
from vivant.perception.pose import euler_rotation

Maker = Callable[..., np.ndarray]


def rotation(pitch: float, yaw: float, roll: float) -> np.ndarray:
    return euler_rotation(*(np.array(angle) for angle in (pitch, yaw, roll)))


def test_a_shift_by_an_eye_distance_is_an_error_of_one(face: Maker) -> None:
    true = face()
    moved = true + np.array([eye_distance(true), 0, 0], np.float32)
    assert landmark_error(moved, true) == pytest.approx(1, abs=1e-5)
    assert landmark_error(true + np.array([0, 0, 50], np.float32), true) == 0
    assert landmark_error(2 * moved, 2 * true) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("angle", [0.0, 1e-3, 20, 90, 179.9, 180])
def test_rotation_angle_is_exact_about_any_axis(angle: float) -> None:
    start = rotation(12, -30, 5)
    turn = rotation(0, angle, 0) if angle < 90 else rotation(0, 0, angle)
    assert rotation_angle(start, turn @ start) == pytest.approx(angle, abs=1e-6)
    assert rotation_angle(turn @ start, start) == pytest.approx(angle, abs=1e-6)


def test_euler_error_wraps() -> None:
    assert euler_error(np.array([179, 0, 0]), np.array([-179, 0, 3])) == pytest.approx((2 + 0 + 3) / 3)


@pytest.mark.parametrize("pose", [(0, 0, 0), (15, 0, 0), (0, 25, 0), (0, 0, 30), (-10, 20, -15)])
def test_openings_do_not_depend_on_pose_or_size(face: Maker, pose: tuple[float, float, float]) -> None:
    for values in ({"mouth": 1.2}, {"lids": 0.3}):
        front, turned = face(**values), face(*pose, **values, size=4.0)
        assert mouth_opening(turned) == pytest.approx(mouth_opening(front), rel=1e-4)
        assert lid_opening(turned) == pytest.approx(lid_opening(front), rel=1e-4)


def test_openings_grow_with_what_opens(face: Maker) -> None:
    mouths = [mouth_opening(face(mouth=gap)) for gap in (0, 0.5, 1.0, 2.0)]
    assert mouths == sorted(mouths) and mouths[0] < 0.1
    assert lid_opening(face(lids=0.5)) == pytest.approx(0.5 * lid_opening(face()), rel=1e-4)
    assert lid_opening(face(mouth=2.0)) == pytest.approx(lid_opening(face()), rel=1e-5)


def test_gaze_points_right_and_down_and_ignores_roll(face: Maker) -> None:
    x, y = gaze(face(gaze=(0.3, 0.2)))
    assert x > 0.05 and y > 0.03
    assert gaze(face()) == pytest.approx((0, 0), abs=1e-5)
    assert gaze(face(gaze=(0.3, 0.2), roll=35)) == pytest.approx((x, y), abs=1e-4)
    assert gaze(face(gaze=(-0.3, 0)))[0] < -0.05


def test_series_mark_missing_frames(face: Maker) -> None:
    series = face_series([face(), None, face(mouth=1)])
    assert np.isnan(series["mouth"][1]) and np.isfinite(series["mouth"][[0, 2]]).all()


def test_jitter_closed_form(face: Maker) -> None:
    still = face()
    size = np.ptp(still[:, :2], axis=0).max()
    step = np.array([0.01 * size, 0, 0], np.float32)
    assert jitter([still, still + step, still, still + step]) == pytest.approx(1, rel=1e-3)
    assert jitter([still] * 3) == 0
    assert jitter([still, None, still + step, still + step]) == 0
    assert np.isnan(jitter([still, None]))


def test_read_motion_finds_the_pose_it_was_given(face: Maker) -> None:
    motion = read_motion([face(10, -20, 5), None])
    assert motion.euler[0] == pytest.approx((10, -20, 5), abs=1e-3)
    assert motion.found.tolist() == [True, False]
    assert np.isnan(motion.rotations[1]).all()


def test_true_motion_has_no_error_and_a_turn_has_its_angle(face: Maker) -> None:
    yaws = (0, 10, 20, -10)
    true = read_motion([face(yaw=yaw, mouth=abs(yaw) / 20) for yaw in yaws])
    none = absolute_errors(true, true)
    assert none["landmark_error"] == 0
    assert none["rotation_error"] == pytest.approx(0, abs=1e-5)
    turned = read_motion([face(yaw=yaw + 6, mouth=abs(yaw) / 20) for yaw in yaws])
    found = absolute_errors(turned, true)
    assert found["rotation_error"] == pytest.approx(6, abs=1e-3)
    assert found["euler_error"] == pytest.approx(2, abs=1e-3)
    assert series_moments(turned, true)["mouth"].gain == pytest.approx(1, rel=1e-3)


def test_change_error_compares_faces_that_start_in_different_poses(face: Maker) -> None:
    start, steps = rotation(10, 25, -5), [rotation(0, 0, 0), rotation(5, 15, 0), rotation(-8, -20, 10)]
    driver = read_motion([face()] * 3)
    result = read_motion([face()] * 3)
    driver = type(driver)(driver.landmarks, np.stack(steps), driver.euler, driver.series)
    follows = type(result)(result.landmarks, np.stack([step @ start for step in steps]), result.euler, result.series)
    still = type(result)(result.landmarks, np.stack([start] * 3), result.euler, result.series)
    assert change_error(follows, driver) == pytest.approx(0, abs=1e-6)
    wanted = np.mean([rotation_angle(steps[0], step) for step in steps[1:]])
    assert change_error(still, driver) == pytest.approx(wanted)
    assert np.isnan(change_error(still.part(np.array([0])), driver.part(np.array([0]))))
