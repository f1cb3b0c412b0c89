import hashlib
from fractions import Fraction

import numpy as np
import pytest

from vivant.controls.openpose import PoseTrack, draw_pose, fill_gaps, relative_to, smooth_poses
from vivant.core.errors import ConfigError, MediaError
from vivant.core.skeleton import BODY_LIMBS, BODY_NAMES, MIRROR


def published_pose():
    """The points that the published drawer was fed with to get the digests below."""
    body, hand, face = np.arange(18), np.arange(21), np.arange(68)
    points = np.ones((128, 3))
    points[:18, 0], points[:18, 1] = 0.5 + 0.3 * np.cos(body), 0.1 + 0.8 * body / 17
    points[18:39, 0], points[18:39, 1] = 0.2 + 0.01 * hand, 0.3 + 0.005 * hand
    points[39:60, 0], points[39:60, 1] = 0.7 + 0.01 * hand, 0.6 - 0.006 * hand
    points[60:, 0], points[60:, 1] = 0.4 + 0.002 * face, 0.1 + 0.001 * face
    points[[10, 18 + 7], 2] = 0
    points[:, :2] = points[:, :2] * 2 - 1
    return points


@pytest.mark.parametrize(
    ("count", "digest"),
    [
        (18, "963afd98e101c47ff0a13543cf00ee256e578a2b5b98080e5acff78ae60b5ce5"),
        (60, "9a6654ed51c6d528cfc9e583cb83809df669333d5edcc2ffd2f6648ccafca6cd"),
        (128, "7599bf7ad8c2bbf5a3ed62d0a9a6cdf340a46ab55794b9a13c7ed7384a79f084"),
    ],
)
def test_drawings_equal_the_published_drawer_pixel_for_pixel(count, digest):
    drawn = draw_pose(published_pose()[:count], (512, 384), canvas_side=None)
    assert hashlib.sha256(drawn.tobytes()).hexdigest() == digest


def test_colours_widths_and_order_on_the_canvas():
    points = np.zeros((18, 3))
    points[1] = [0, 0, 1]  # neck in the middle, right shoulder left of it
    points[2] = [-0.5, 0, 1]
    drawn = draw_pose(points, (512, 512))
    assert tuple(drawn[256, 192]) == (153, 0, 0)  # the first limb, red times 0.6
    assert (drawn[:, 192].any(1)).sum() == 9  # half width 4 on both sides and the middle
    assert tuple(drawn[256, 256]) == (255, 85, 0) and tuple(drawn[256, 128]) == (255, 170, 0)
    assert (drawn[:, 256].any(1)).sum() == 9  # joints of radius 4
    assert not drawn[300:].any()


def test_small_pictures_show_what_the_large_canvas_showed():
    points = published_pose()
    small, large = draw_pose(points, (256, 192), 384), draw_pose(points, (512, 384), canvas_side=None)
    averaged = large.reshape(256, 2, 192, 2, 3).mean((1, 3))
    assert np.abs(small - averaged).max() <= 1
    assert draw_pose(points, (256, 192), canvas_side=None).any(-1).mean() > 1.3 * small.any(-1).mean()
    assert draw_pose(points, (64, 48)).shape == (64, 48, 3)


def test_unseen_and_unfinished_points_draw_nothing():
    points = published_pose()
    points[:, 2] = 0.29
    assert not draw_pose(points, (64, 64)).any()
    points[:, 2], points[:, :2] = 1, np.nan
    assert not draw_pose(points, (64, 64)).any()
    points[:, :2] = 1e12
    assert not draw_pose(points[:18], (64, 64)).any()


def test_two_people_lie_on_one_canvas():
    one = published_pose()
    other = one * [-1, 1, 1]
    both = draw_pose(np.stack([one, other]), (256, 256), hands=False, face=False)
    assert both.any(-1).sum() > 1.5 * draw_pose(one, (256, 256), hands=False, face=False).any(-1).sum()


def test_wrong_shapes_are_refused():
    with pytest.raises(ConfigError, match=r"one of 18, 60, 128"):
        draw_pose(np.zeros((17, 3)), (64, 64))
    with pytest.raises(ConfigError, match="two positive"):
        draw_pose(np.zeros((18, 3)), (0, 64))
    with pytest.raises(ConfigError, match="pose track"):
        PoseTrack(np.zeros((2, 18, 2)), Fraction(25), (8, 8))


def track(frames=12, fps=Fraction(30000, 1001)):
    points = np.repeat(published_pose()[None], frames, 0).astype(np.float32)
    points[..., 0] = (points[..., 0] + 1) * 192 + np.arange(frames)[:, None]
    points[..., 1] = (points[..., 1] + 1) * 256
    return PoseTrack(points, fps, (512, 384))


def test_drawings_are_lazy_and_sliced():
    drawings = track().drawings((128, 96))
    assert len(drawings) == 12 and len(drawings[2:5]) == 3
    assert np.array_equal(drawings[2:5][1], drawings[3])
    assert np.stack(list(drawings)).shape == (12, 128, 96, 3)
    assert np.array_equal(drawings[-1], list(drawings)[11])
    assert np.array_equal(track().drawings()[0], draw_pose(relative_to(track().points[0], (512, 384)), (512, 384)))


def test_a_track_comes_back_from_its_file(tmp_path):
    path = track().save(tmp_path / "dance.safetensors")
    again = PoseTrack.load(path)
    assert np.array_equal(again.points, track().points)
    assert again.fps == Fraction(30000, 1001) and again.size == (512, 384)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(MediaError, match="extract the poses again"):
        PoseTrack.load(path)


def test_poses_are_told_in_a_turned_crop():
    turn = np.array([[0.0, -2.0, 300.0], [2.0, 0.0, 40.0]])  # crop (x, y) lies at picture (300 - 2 y, 40 + 2 x)
    points = np.array([[[300.0, 40.0, 0.9], [300 - 2 * 64.0, 40 + 2 * 32.0, 0.5]]])
    told = relative_to(points, (512, 384), turn, 64)
    assert np.allclose(told, [[[-1, -1, 0.9], [0, 1, 0.5]]], atol=1e-6)
    with pytest.raises(ConfigError, match="side of the crop"):
        relative_to(points, (512, 384), turn)


def test_short_gaps_are_bridged_and_long_ones_stay():
    points = np.ones((20, 18, 3), np.float32)
    points[:, :, 0] = np.arange(20)[:, None]
    points[5:8, 3], points[10:18, 3] = 0, 0
    filled = fill_gaps(points, 3)
    assert np.allclose(filled[5:8, 3, 0], [5, 6, 7]) and (filled[10:18, 3] == 0).all()


def test_smoothing_calms_noise_and_keeps_motion_and_gaps():
    rng = np.random.default_rng(0)
    time = np.arange(90)
    truth = np.stack([200 + 60 * np.sin(time / 9), 300 + 40 * np.cos(time / 9)], -1)
    points = np.ones((90, 18, 3), np.float32)
    points[..., :2] = truth[:, None] + np.arange(18)[None, :, None] * 20 + rng.normal(0, 3, (90, 18, 2))
    points[40:60, 7] = 0
    calm = smooth_poses(points, 1.5)
    clean = truth[:, None] + np.arange(18)[None, :, None] * 20
    others = [joint for joint in range(18) if joint != 7]
    before = np.abs(points[..., :2] - clean)[:, others].mean()
    after = np.abs(calm[..., :2] - clean)[:, others].mean()
    assert after < 0.7 * before
    assert (calm[40:60, 7] == 0).all()
    assert np.array_equal(smooth_poses(points, 0), points)
    doubled = points * np.array([2, 2, 1], np.float32)
    assert np.allclose(smooth_poses(doubled, 1.5)[..., :2], calm[..., :2] * 2, atol=1e-2)


def test_the_mirror_swaps_sides_and_is_its_own_inverse():
    assert [MIRROR[point] for point in MIRROR] == list(range(128))
    for point, name in enumerate(BODY_NAMES):
        swapped = name.replace("left", "LEFT").replace("right", "left").replace("LEFT", "right")
        assert BODY_NAMES[MIRROR[point]] == swapped
    limbs = {frozenset(limb) for limb in BODY_LIMBS}
    assert {frozenset(MIRROR[point] for point in limb) for limb in limbs} == limbs
