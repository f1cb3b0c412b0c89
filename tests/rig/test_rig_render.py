"""A rig's frames against the photo, its labels against the frames, and both rasterisers against each other."""

from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np
import pytest
import torch

from vivant.core.errors import ConfigError
from vivant.perception.faces import FaceFinder
from vivant.rig import raster
from vivant.rig.build import PhotoRig, RigRejected
from vivant.rig.limits import reach_of
from vivant.rig.motion import EXPRESSION_NAMES, RigMotion, expression_vector
from vivant.rig.render import Region

SIZE = 192


def moved(expression=None, pose=(0, 0, 0, 0, 0, 0), gaze=(0, 0)):
    units = expression_vector(expression or {})
    return RigMotion(Fraction(25), np.array([pose]), units[None], np.array([gaze]))


def rendered(rig, size=SIZE, **parts):
    return next(rig.render(moved(**parts), size, device="cpu"))


def shown(rig, picture, size=SIZE):
    """What the window shows of a picture of the still's size."""
    scale, window = size / rig.window.side, rig.window
    matrix = np.array([[scale, 0, (0.5 - window.left) * scale - 0.5], [0, scale, (0.5 - window.top) * scale - 0.5]])
    return cv2.warpAffine(picture, matrix, (size, size), flags=cv2.INTER_LINEAR)


def test_the_first_frame_is_the_photo(rig):
    frame = rendered(rig)
    person = shown(rig, rig.layers.matte) > 0.95
    difference = np.abs(frame.image.astype(float) - shown(rig, rig.image)).mean(-1)
    assert person.mean() > 0.3
    assert difference[person].mean() < 1.5 and np.percentile(difference[person], 99) < 10


@pytest.fixture(scope="module")
def turned(rig):
    """A still whose head is turned to the person's right, so that the far cheek is hidden."""
    frame = rendered(rig, 256, pose=(16, 0, 0, 0, 0, 0))
    return PhotoRig.build(frame.image, frame.landmarks, (frame.regions > 0).astype(np.float32), window="all")


def test_a_hidden_cheek_takes_colours_of_the_other_one_only_when_it_is_turned_into_view(turned):
    plain = replace(turned, skin=replace(turned.skin, mirror=turned.skin.mirror * 0))
    differ = []
    for yaw in (0, 5, -16):
        ours, without = (rendered(one, 256, pose=(yaw, 0, 0, 0, 0, 0)).image.astype(int) for one in (turned, plain))
        differ.append(np.abs(ours - without).max())
    assert turned.skin.mirror.max() > 0.9 and differ[0] == differ[1] == 0 and differ[2] > 10


def test_a_turned_head_goes_back_only_as_far_as_its_far_side_is_known(turned):
    own, reach = turned.shape.placement.angles()[0], reach_of(turned)
    assert own > 10
    assert reach.lowest[0] == pytest.approx(-(28 - (own - 4))) and reach.highest[0] == pytest.approx(30 - own)


def test_labels_lie_where_a_detector_sees_them(rig):
    finder = FaceFinder(threads=1)
    for pose, units, limit in ((0, {}, 1.2), (15, {}, 3.0), (0, {"jawOpen": 0.3}, 2.5)):
        frame = rendered(rig, pose=(pose, 0, 0, 0, 0, 0), expression=units)
        found = finder.find(frame.image)[0].landmarks
        assert np.linalg.norm(found[:468, :2] - frame.landmarks[:468, :2], axis=1).mean() < limit


def test_landmarks_move_as_asked(rig):
    rest = rendered(rig).landmarks
    right = rendered(rig, pose=(0, 0, 0, 1.0, 0, 0)).landmarks
    cm = SIZE / rig.window.side * rig.shape.placement.pixels_per_cm
    assert np.median(right[:468, 0] - rest[:468, 0]) == pytest.approx(cm, rel=0.05)
    turned, nodded = (rendered(rig, pose=pose).landmarks for pose in ((12, 0, 0, 0, 0, 0), (0, 10, 0, 0, 0, 0)))
    nose_from_oval = [mesh[1, :2] - mesh[[234, 454], :2].mean(0) for mesh in (rest, turned, nodded)]
    assert nose_from_oval[1][0] < nose_from_oval[0][0] - cm  # to the left of the picture
    assert nose_from_oval[2][1] > nose_from_oval[0][1] + 0.5 * cm  # down
    looked = rendered(rig, gaze=(0.3, 0)).landmarks
    assert looked[468, 0] > rest[468, 0] + 0.15 * cm and looked[473, 0] > rest[473, 0] + 0.15 * cm


def test_regions_and_depth_name_what_is_drawn(rig):
    shut, opened = rendered(rig), rendered(rig, expression={"jawOpen": 0.4})
    assert set(np.unique(opened.regions)) == {int(region) for region in Region}
    assert (opened.regions == Region.MOUTH).sum() > 3 * max(1, (shut.regions == Region.MOUTH).sum())
    assert np.isnan(shut.depth[shut.regions == Region.BACKGROUND]).all()
    skin = shut.depth[shut.regions == Region.SKIN]
    assert 62 < skin.min() < skin.max() < 80
    x, y = np.round(shut.landmarks[468, :2]).astype(int)
    assert shut.regions[y, x] == Region.EYES
    assert np.isclose(opened.expression - shut.expression, expression_vector({"jawOpen": 0.4}), atol=1e-6).all()
    assert opened.expression.shape == (len(EXPRESSION_NAMES),)


def test_the_background_can_be_replaced(rig):
    green = np.full((SIZE, SIZE, 3), (0, 255, 0), np.uint8)
    frame = next(rig.render(RigMotion.still(), SIZE, background=green, device="cpu"))
    away = shown(rig, rig.layers.matte) < 0.001
    assert away.any() and (frame.image[away] == (0, 255, 0)).mean() > 0.99
    with pytest.raises(ConfigError, match="background"):
        next(rig.render(RigMotion.still(), SIZE, background=green[:10], device="cpu"))


def test_both_rasterisers_agree(rig, monkeypatch):
    pytest.importorskip("numba")
    motion = RigMotion.joined([moved({"jawOpen": 0.3}, (10, 5, 0, 0, 0, 0), (0.2, 0)), moved({"eyeBlink": 1})])
    fast = list(rig.render(motion, 96, device="cpu"))
    monkeypatch.setattr(raster, "_compiled_module", lambda: None)
    plain = list(rig.render(motion, 96, device="cpu", batch=2))
    for a, b in zip(fast, plain):
        difference = np.abs(a.image.astype(int) - b.image)
        assert (difference > 2).mean() < 0.002 and (a.regions != b.regions).mean() < 0.002
        assert np.allclose(a.landmarks, b.landmarks, atol=1e-3)


def test_the_nearest_triangle_wins_by_tensor_operations():
    points = torch.tensor([[[0.0, 0], [8, 0], [0, 8], [8, 8]]])
    depth = torch.tensor([[0.0, 0, 0, 5.0]])
    triangles = torch.tensor([[1, 3, 2], [0, 1, 2], [0, 1, 3]], dtype=torch.int32)
    seen, weights = torch.full((2, 9, 9), -1, dtype=torch.int32), torch.zeros(2, 9, 9, 2)
    raster._draw(torch.cat([points, points + 1]), depth.repeat(2, 1), triangles, seen, weights)
    triangle = seen[0]
    assert (seen[1, 1:, 1:] == triangle[:-1, :-1]).all()
    assert triangle[3, 1] == 1 and triangle[7, 7] == 2 and triangle[7, 5] == 0 and triangle[0, 0] == 1


def test_stills_that_cannot_be_a_rig_are_refused(still):
    picture, landmarks, _ = still
    with pytest.raises(ConfigError, match="landmarks"):
        PhotoRig.build(picture, landmarks[:468])
    with pytest.raises(ConfigError, match="matte"):
        PhotoRig.build(picture, landmarks, np.ones((3, 3)))
    noise = landmarks + np.random.default_rng(0).normal(0, 40, landmarks.shape).astype(np.float32)
    with pytest.raises(RigRejected, match="fit"):
        PhotoRig.build(picture, noise)
