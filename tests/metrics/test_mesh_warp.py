from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from vivant.core.facemesh import SKULL
from vivant.metrics.reenactment import whole_crop
from vivant.metrics.warp import MeshWarp, border_points, mesh_warp, relative_target, repeat_still, similarity
from vivant.perception.pose import euler_rotation

Maker = Callable[..., np.ndarray]


def grid(size: int, low: float, high: float) -> np.ndarray:
    y, x = np.mgrid[low:high:9j, low:high:9j]
    return np.stack([x.ravel(), y.ravel()], 1)


def test_landmarks_in_place_give_the_picture_back(picture: np.ndarray) -> None:
    points = grid(96, 20, 70)
    assert np.abs(MeshWarp(picture, points)(points).astype(int) - picture).max() <= 1


def test_reproduces_a_known_affine_motion_inside_the_mesh(picture: np.ndarray) -> None:
    affine = np.array([[1.05, 0.12, -4.0], [-0.08, 0.95, 3.0]])
    points = grid(96, 25, 65)
    made = MeshWarp(picture, points)(points @ affine[:, :2].T + affine[:, 2])
    wanted = cv2.warpAffine(picture, affine, (96, 96), flags=cv2.INTER_LINEAR)
    inside = cv2.warpAffine(np.pad(np.ones((36, 36)), 30).astype(np.float32)[:96, :96], affine, (96, 96)) > 0.99
    difference = np.abs(made.astype(int) - wanted)[inside]
    assert inside.sum() > 800
    assert difference.mean() < 0.5 and difference.max() <= 8
    assert np.abs(made[0].astype(int) - picture[0]).max() <= 1


def test_the_nearer_part_stays_on_top() -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    image[:, 20:30] = (255, 0, 0)
    image[:, 34:44] = (0, 255, 0)
    points = np.array([[x, y] for x in (20, 29.5, 34, 43.5) for y in (16, 32, 48)], float)
    target = np.concatenate([points, np.repeat([0, 0, 5, 5], 3)[:, None]], 1)
    target[6:, 0] -= 14
    row = MeshWarp(image, points)(target)[32]
    assert row[25].tolist() == [255, 0, 0]
    target[:, 2] *= -1
    assert MeshWarp(image, points)(target)[32][25].tolist() == [0, 255, 0]


def test_collapsed_triangles_do_no_harm(picture: np.ndarray) -> None:
    points = grid(96, 25, 65)
    assert MeshWarp(picture, points)(np.full_like(points, 48)).shape == picture.shape


def test_border_points_lie_on_the_edge() -> None:
    points = border_points(40, 60)
    on_edge = (points[:, 0] % 59 == 0) | (points[:, 1] % 39 == 0)
    assert on_edge.all() and len(np.unique(points, axis=0)) == len(points)


def test_similarity_finds_what_was_applied() -> None:
    points = np.random.default_rng(0).normal(size=(20, 3))
    turn = euler_rotation(np.array(10), np.array(20), np.array(-30)).T
    scale, found, shift = similarity(points, 1.7 * points @ turn.T + (1, 2, 3))
    assert scale == pytest.approx(1.7)
    assert np.allclose(found, turn) and np.allclose(shift, (1, 2, 3))


def test_relative_target_is_the_portrait_for_the_first_frame(face: Maker) -> None:
    portrait, driver = face(8, -12, 4, size=3.0), face(-5, 20, 0, mouth=0.5)
    assert np.allclose(relative_target(portrait, driver, driver), portrait, atol=1e-3)


def test_relative_target_adds_expression_and_turn_in_the_heads_axes(face: Maker) -> None:
    portrait = face(0, 30, 0, size=3.0)
    made = relative_target(portrait, face(0, -20, 0), face(0, -20, 0, mouth=1.0))
    assert np.allclose(made, face(0, 30, 0, mouth=1.0, size=3.0), atol=1e-2)
    turned = relative_target(portrait, face(0, -20, 0), face(0, -10, 0))
    skull = list(SKULL)
    wanted = face(0, 40, 0, size=3.0)
    _, rotation, _ = similarity(wanted[skull].astype(float), turned[skull].astype(float))
    assert np.allclose(rotation, np.eye(3), atol=1e-3)


def test_baselines_give_one_frame_each(picture: np.ndarray, face: Maker) -> None:
    source = whole_crop(picture, face())
    drivers = [whole_crop(picture, face()), None, whole_crop(picture, face(yaw=15))]
    for relative in (False, True):
        made = list(mesh_warp(source, drivers, relative))
        assert len(made) == 3
        assert np.array_equal(made[0], made[1]) and not np.array_equal(made[1], made[2])
    assert all(np.array_equal(image, picture) for image in repeat_still(source, 3))
