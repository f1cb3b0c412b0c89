from fractions import Fraction

import numpy as np
import pytest

from vivant.controls.body_rescale import proportions, rescale
from vivant.controls.openpose import PoseTrack
from vivant.core.errors import BodyError
from vivant.core.skeleton import BODY_LIMBS

# lengths of the bone that ends in each body point, and directions at rest
LENGTHS = {2: 40, 3: 60, 4: 50, 5: 40, 6: 60, 7: 50, 8: 110, 9: 90, 10: 85, 11: 110, 12: 90, 13: 85, 0: 45, 14: 12,
           15: 12, 16: 16, 17: 16}  # fmt: skip
REST = {2: 180, 3: 100, 4: 95, 5: 0, 6: 80, 7: 85, 8: 98, 9: 92, 10: 90, 11: 82, 12: 88, 13: 90, 0: 270, 14: 225,
        15: 315, 16: 170, 17: 10}  # fmt: skip


def person(neck, factor, angles=(), hands=1.0, face=1.0):
    """A whole figure: ``factor`` of each bone by its end (missing: 1), ``angles`` in degrees added at rest."""
    points = np.ones((128, 3))
    points[1, :2] = neck
    for start, end in BODY_LIMBS:
        angle = np.radians(REST[end] + dict(angles).get(end, 0))
        step = LENGTHS[end] * factor.get(end, 1.0) * np.array([np.cos(angle), np.sin(angle)])
        points[end, :2] = points[start, :2] + step
    fan = np.stack([np.linspace(-8, 8, 21), np.linspace(0, 30, 21)], 1) * hands
    points[18:39, :2], points[39:60, :2] = points[7, :2] + fan, points[4, :2] + fan
    ring = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    points[60:, :2] = points[0, :2] + face * np.stack([20 * np.cos(ring), 26 * np.sin(ring)], 1)
    return points


def dance(factor, frames=20, neck=(300, 200)):
    poses = []
    for i in range(frames):
        swing = 40 * np.sin(i / 3)
        angles = {3: swing, 4: 2 * swing, 6: -swing, 9: swing / 2, 12: -swing / 2}
        poses.append(person((neck[0] + 4 * i, neck[1] + 3 * np.sin(i)), factor, angles.items()))
    return PoseTrack(np.stack(poses).astype(np.float32), Fraction(30), (720, 1280))


def lengths(points):
    return {end: np.linalg.norm(points[end, :2] - points[start, :2]) for start, end in BODY_LIMBS}


def test_bones_get_the_persons_lengths_and_keep_the_dancers_directions():
    build = {3: 0.7, 6: 0.7, 4: 0.8, 7: 0.8, 9: 1.25, 12: 1.25, 2: 1.3, 5: 1.3}
    reference = person((500, 150), {end: 0.5 * build.get(end, 1) for end in LENGTHS}, hands=0.6, face=0.55)
    result = rescale(dance({}), reference, (512, 512))
    assert result.size == (512, 512) and result.points.shape == (20, 128, 3)
    assert np.allclose(result.points[0, 1, :2], [500, 150])
    for before, after in zip(dance({}).points, result.points):
        told, wanted = lengths(after), lengths(reference)
        for start, end in BODY_LIMBS:
            if end not in (14, 15, 16, 17):
                assert told[end] == pytest.approx(wanted[end], rel=0.02)
            first, second = before[end, :2] - before[start, :2], after[end, :2] - after[start, :2]
            assert first @ second == pytest.approx(np.linalg.norm(first) * np.linalg.norm(second), rel=1e-4)
        hand = np.linalg.norm(after[38, :2] - after[18, :2]) / np.linalg.norm(before[38, :2] - before[18, :2])
        assert hand == pytest.approx(0.6, rel=0.02)
        assert np.ptp(after[60:, 0]) / np.ptp(before[60:, 0]) == pytest.approx(0.55, rel=0.02)


def test_the_root_moves_at_the_common_scale():
    reference = person((100, 100), dict.fromkeys(LENGTHS, 0.5))
    result = rescale(dance({}), reference, (512, 512))
    assert np.allclose(np.diff(result.points[:, 1, 0]), 2, atol=1e-3)


def test_strength_zero_is_one_similarity():
    build = {3: 0.5, 6: 0.5, 9: 1.5, 12: 1.5}
    reference = person((100, 100), {end: build.get(end, 1) for end in LENGTHS})
    driver = dance({})
    moved = rescale(driver, reference, (512, 512), strength=0).points - driver.points
    assert np.allclose(moved[..., :2], moved[0, 1, :2], atol=1e-2)


def test_coming_nearer_stays_in_the_result():
    points = dance({}).points
    points[10:, :, :2] = points[10:, 1:2, :2] + 0.5 * (points[10:, :, :2] - points[10:, 1:2, :2])
    result = rescale(PoseTrack(points, Fraction(30), (720, 1280)), person((100, 100), {}), (512, 512))
    near, far = lengths(result.points[3]), lengths(result.points[15])
    assert far[8] == pytest.approx(near[8] / 2, rel=0.02)


def test_a_foreshortened_arm_of_the_reference_does_not_become_short():
    reference = person((200, 200), {3: 0.05, 4: 0.05, 6: 0.05, 7: 0.05})
    arm = lengths(rescale(dance({}), reference, (512, 512)).points[5])[3]
    assert arm == pytest.approx(60 / 1.6, rel=0.02)
    reference = person((200, 200), {3: 0.05})  # one arm only: its twin knows better
    assert lengths(rescale(dance({}), reference, (512, 512)).points[5])[3] == pytest.approx(60, rel=0.02)


def test_missing_limbs_are_guessed_or_stay_missing():
    reference = person((200, 200), {2: 0.8, 5: 0.8, 9: 0.5, 12: 0.5})
    reference[[9, 10, 12, 13], 2] = 0  # a half-body portrait
    driver = dance({})
    driver.points[4, 3, 2] = 0  # an elbow gone, the wrist still there
    driver.points[6, 1, 2] = 0  # the neck gone
    result = rescale(driver, reference, (512, 512))
    assert np.isfinite(result.points).all()
    assert lengths(result.points[5])[9] == pytest.approx(90, rel=0.02)  # as the trunk above it
    assert result.points[4, 3, 2] == 0
    steps = np.linalg.norm(np.diff(result.points[:, 4, :2], axis=0), axis=1)
    assert steps.max() < 60
    assert np.linalg.norm(result.points[6, 8, :2] - result.points[5, 8, :2]) < 25


def test_body_only_and_hands_only_arrays_work():
    for count in (18, 60):
        driver = dance({})
        short = PoseTrack(driver.points[:, :count], driver.fps, driver.size)
        assert rescale(short, person((100, 100), {}), (512, 512)).points.shape == (20, count, 3)


def test_pictures_without_a_neck_are_refused():
    blind = person((100, 100), {})
    blind[1, 2] = 0
    with pytest.raises(BodyError, match="reference picture shows no neck"):
        proportions(dance({}).points, blind)
    points = dance({}).points
    points[:, 1, 2] = 0
    with pytest.raises(BodyError, match="driving video shows no neck"):
        proportions(points, person((100, 100), {}))
