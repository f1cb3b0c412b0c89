"""Frames of rendered people, their exact skeletons, and the reader of poses on them."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from vivant.core.skeleton import FACE, LEFT_HAND
from vivant.data.figures.clips import Style, draw_shot
from vivant.data.figures.figure import posed
from vivant.data.figures.motion import draw_motion
from vivant.data.figures.render import FIRST_GARMENT, HEAD_SKIN, Renderer
from vivant.data.figures.scene import Camera, draw_camera
from vivant.data.figures.truth import keypoints
from vivant.perception.body import BlazeBodyFinder

SMALL = Style(frames=3, size=96, supersample=1, kinds=("stand",))
NUMBERS = (3, 4, 11)


@pytest.fixture(scope="module")
def shots():
    return {number: draw_shot(number, number, SMALL, 0) for number in NUMBERS}


@pytest.fixture(scope="module")
def drawn(shots):
    return {number: list(shot.frames(1)) for number, shot in shots.items()}


def test_frames_show_a_person_before_a_place_that_stands_still(drawn):
    for frames in drawn.values():
        images = np.stack([frame.image for frame, _ in frames])
        masks = np.stack([frame.regions > 0 for frame, _ in frames])
        assert images.shape == (3, 96, 96, 3) and images.dtype == np.uint8
        assert 0.03 < masks.mean() < 0.7
        assert images.std() > 15
        empty = ~masks.any(0)
        still = np.abs(images[1:].astype(int) - images[0])[:, empty]
        assert np.median(still) == 0 and (still > 40).mean() < 0.02  # only shadows move there


def test_every_region_that_clothes_must_have_is_seen(drawn):
    for frames in drawn.values():
        regions = np.concatenate([frame.regions.ravel() for frame, _ in frames])
        seen = set(np.unique(regions))
        assert HEAD_SKIN in seen and FIRST_GARMENT in seen
        assert (regions >= FIRST_GARMENT).sum() > 0.35 * (regions > 0).sum()


def test_joints_lie_on_the_person(drawn):
    for frames in drawn.values():
        for frame, points in frames:
            shown = points[points[:, 2] == 1]
            column, row = ((shown[:, :2] + 1) / 2 * 96).astype(int).T
            near = cv2.dilate((frame.regions > 0).astype(np.uint8), np.ones((3, 3), np.uint8))  # fingers are thin
            assert near[row, column].mean() > 0.97 and (frame.regions[row, column] > 0).mean() > 0.8
            assert len(shown) > 10 and np.abs(shown[:, :2]).max() <= 1


def test_the_same_seed_gives_the_same_frames_and_another_another_person(drawn):
    again = list(draw_shot(3, 3, SMALL, 0).frames(1))
    for (before, told), (after, retold) in zip(drawn[3], again):
        assert np.array_equal(before.image, after.image) and np.array_equal(told, retold)
    other = next(iter(draw_shot(3, 3, SMALL, 1).frames(1)))
    assert np.abs(other[0].image.astype(int) - drawn[3][0][0].image).mean() > 5


def test_one_take_moves_several_people_alike(shots):
    first, second = draw_shot(3, 77, SMALL, 0), draw_shot(4, 77, SMALL, 0)
    assert first.words["top"] == shots[3].words["top"]  # the person stays
    bends = []
    for shot in (first, second):
        joints = np.stack([pose.joints for pose in shot.poses])
        bones = np.diff(joints, axis=1)
        bends.append(bones / (np.linalg.norm(bones, axis=-1, keepdims=True) + 1e-9))
    assert (bends[0] * bends[1]).sum(-1).mean() > 0.97


def turned_away(shot, angle):
    """The shot's person turned by ``angle`` before the same camera: one frame and its points."""
    plan, _ = draw_motion(np.random.default_rng(2), shot.figure.shape, 2, 25, "stand")
    plan.heading += angle - plan.heading[0]
    pose = next(iter(posed(shot.figure, plan)))
    frame = Renderer(shot.figure, shot.scenery, np.ones(len(shot.figure.rest)), 1).draw(pose)
    return keypoints(pose, shot.scenery.camera, frame.depth)


def test_what_is_turned_away_is_not_told():
    shot = draw_shot(1, 1, replace(SMALL, kinds=("turn",)), 0)
    front, back = turned_away(shot, 0.0), turned_away(shot, np.pi)
    assert front[0, 2] == 1 and (front[FACE, 2] > 0).all()
    assert back[0, 2] == 0 and (back[FACE, 2] == 0).all() and (back[[14, 15], 2] == 0).all()
    assert back[2, 2] > 0 and back[2, 0] > back[5, 0] and front[2, 0] < front[5, 0]  # right shoulder, left shoulder


def test_points_outside_the_picture_are_not_told():
    half = next(
        shot for shot in (draw_shot(i, i, SMALL, 5) for i in range(12)) if shot.scenery.camera.project(
            shot.poses[0].joints[6][None])[0][0, 1] > 96
    )  # fmt: skip
    told = next(iter(half.frames(1)))[1]
    assert (told[[10, 13]] == 0).all() and told[1, 2] == 1


def test_the_camera_holds_what_it_was_given():
    rng = np.random.default_rng(0)
    for _ in range(20):
        low, high = np.array([-0.6, 0.0, -0.4]), np.array([0.7, 1.8, 0.5])
        camera = draw_camera(rng, low, high, (128, 96))
        corners = np.stack(np.meshgrid(*np.stack([low, high], 1)), -1).reshape(-1, 3)
        pixels, away = camera.project(corners)
        assert (away > 0).all() and pixels.min() > -12 and (pixels < [108, 140]).all()
        assert np.ptp(pixels[:, 1]) > 60


def test_rays_and_projection_agree():
    camera = Camera(np.diag([1.0, -1.0, -1.0]), np.array([0.1, 1.2, 3.0]), 100.0, (64, 48))
    points = camera.place + 2.5 * camera.rays()[5:60:11, 3:40:7].reshape(-1, 3)
    pixels, _ = camera.project(points)
    rows, columns = np.meshgrid(np.arange(5, 60, 11), np.arange(3, 40, 7), indexing="ij")
    assert np.allclose(pixels, np.stack([columns.ravel(), rows.ravel()], 1) + 0.5, atol=1e-9)


def test_the_reader_of_poses_finds_rendered_joints():
    """Both against each other: the bundled reader was trained on photographs, the renderer knows the truth."""
    style = replace(SMALL, size=320, kinds=("stand", "wave"))
    finder, errors, missed = BlazeBodyFinder(hands=False, face=False, threads=1), [], 0
    for number in range(4):
        frame, truth = next(iter(draw_shot(number, number, style, 9).frames(1)))
        found = finder.find(frame.image)
        if not found:
            missed += 1
            continue
        pixels = (truth[:18, :2] + 1) / 2 * 320
        both = (truth[:18, 2] == 1) & (found[0].keypoints[:18, 2] > 0.5)
        trunk = np.linalg.norm(pixels[1] - pixels[[8, 11]].mean(0)) if truth[8, 2] and truth[11, 2] else 90
        errors.append(np.linalg.norm(found[0].keypoints[:18, :2] - pixels, axis=1)[both].mean() / trunk)
    assert missed <= 1 and np.mean(errors) < 0.15


def test_hands_in_view_have_whole_skeletons(drawn):
    parts = [points[LEFT_HAND, 2] for frames in drawn.values() for _, points in frames]
    assert any(part.all() for part in parts)
    assert all((part > 0).sum() > 6 or not part.any() for part in parts)  # a hand is told whole or not at all
