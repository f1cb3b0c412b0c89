"""Crop geometry against golden values, and the cut itself on drawn pictures."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from vivant.controls.crop import crop_face, crop_window, crop_with_window, mean_window, warp_square
from vivant.core.errors import FaceError
from vivant.core.face import Face

GOLDEN = json.loads((Path(__file__).parents[1] / "golden/data/live_portrait.golden.json").read_text())
GEOMETRY = GOLDEN["golden_geometry"]
SEEDS = {203: 201, 106: 202, 9: 203, 5: 204, 68: 205}


def random_points(count: int) -> np.ndarray:
    generator = torch.Generator().manual_seed(SEEDS[count])
    return (torch.rand(count, 2, generator=generator) * 200 + 100).numpy()


def drawn_face(centre=(300.0, 220.0), height=120.0, lean=0.0) -> Face:
    """478 landmarks on an ellipse, with eyes and lips where the layout wants them."""
    turns = np.linspace(0, 2 * np.pi, 478, endpoint=False)
    points = np.stack([0.4 * np.cos(turns), 0.5 * np.sin(turns), 0.1 * np.sin(turns)], axis=1) * height
    for index, x in (
        (33, -28),
        (133, -12),
        (362, 12),
        (263, 28),
        (159, -20),
        (145, -20),
        (386, 20),
        (374, 20),
    ):
        points[index, :2] = x * height / 120, -20 * height / 120
    for index, x in ((61, -15), (291, 15)):
        points[index, :2] = x * height / 120, 30 * height / 120
    cos, sin = np.cos(lean), np.sin(lean)
    points[:, :2] = points[:, :2] @ np.array([[cos, sin], [-sin, cos]]) + centre
    box = np.array([*points[:, :2].min(0), *points[:, :2].max(0)])
    return Face(points.astype(np.float32), box.astype(np.float32), 1.0)


@pytest.mark.parametrize("count", list(SEEDS))
def test_source_window_golden(count):
    golden = GEOMETRY[f"source_crop_{count}_points"]
    window = crop_window(random_points(count), 2.3, -0.125)
    np.testing.assert_allclose(window.centre, golden["center"], atol=1e-3)
    assert window.side == pytest.approx(golden["size"][0], abs=1e-3)
    assert window.angle == pytest.approx(golden["angle_rad"], abs=1e-5)
    np.testing.assert_allclose(window.to_crop(512, True), golden["M_original_to_crop"], atol=2e-3)


def test_driving_box_golden():
    corners = np.array(GEOMETRY["driving_bbox_203_points"]["bbox_corners"])
    window = crop_window(random_points(203), 2.2, -0.1)
    np.testing.assert_allclose(window.box, [*corners[0], *corners[2]], atol=1e-3)


def test_mean_window_averages_boxes():
    windows = [crop_window(random_points(203) + shift, 2.2, -0.1) for shift in (0, 10)]
    np.testing.assert_allclose(mean_window(windows).box, (windows[0].box + windows[1].box) / 2)
    with pytest.raises(FaceError, match="No face was found"):
        mean_window([])


@pytest.mark.parametrize("lean", [0.0, 0.6, -2.0])
def test_rotating_crop_is_upright_and_maps_back(lean):
    frame = np.full((480, 640, 3), 90, np.uint8)
    face = drawn_face(lean=lean)
    crop = crop_face(frame, face, 2.0, -0.03, 256, True, "mesh")
    eyes = crop.landmarks[[33, 133, 362, 263], :2]
    assert np.ptp(eyes[:, 1]) < 0.05 and eyes[0, 0] < eyes[3, 0]
    back = crop.landmarks[:, :2] @ crop.to_frame[:, :2].T + crop.to_frame[:, 2]
    np.testing.assert_allclose(back, face.landmarks[:, :2], atol=1e-2)
    assert crop.image.shape == (256, 256, 3) and crop.frame_size == (480, 640)


def test_the_picture_lands_where_the_landmarks_say():
    face = drawn_face(lean=0.3)
    frame = np.zeros((480, 640, 3), np.uint8)
    x, y = face.landmarks[61, :2]
    cv2.circle(frame, (round(float(x)), round(float(y))), 4, (255, 255, 255), -1)
    crop = crop_face(frame, face, 2.0, 0.0, 512, True, "mesh")
    rows, columns = np.nonzero(crop.image[..., 0] > 128)
    np.testing.assert_allclose([columns.mean(), rows.mean()], crop.landmarks[61, :2], atol=2.0)


def test_border_is_black_for_the_published_nets_and_repeated_for_ours():
    frame = np.full((200, 200, 3), 77, np.uint8)
    face = drawn_face(centre=(20.0, 100.0))
    assert crop_face(frame, face, points="contour203").image[:, 0].max() == 0
    assert crop_face(frame, face, points="mesh").image.min() == 77


def test_strong_reduction_averages_instead_of_aliasing():
    frame = np.zeros((1200, 1600, 3), np.uint8)
    frame[::2] = 255
    window = crop_window(drawn_face((800, 600), 500).landmarks, 2.0, 0.0, "mesh")
    crop = crop_with_window(frame, drawn_face((800, 600), 500).landmarks, window, 128, False)
    assert crop.image.min() > 100 and crop.image.max() < 155  # 7 rows: 3 or 4 of them white


@pytest.mark.parametrize("angle", [0.0, 0.7])
def test_reduction_keeps_the_position(angle):
    yy, xx = np.mgrid[:1000, :1000]
    frame = np.repeat((np.hypot(xx - 620, yy - 410) < 60).astype(np.uint8)[..., None] * 255, 3, axis=2)
    cos, sin = 0.2 * np.cos(angle), 0.2 * np.sin(angle)
    matrix = np.array([[cos, sin, 0], [-sin, cos, 0]])
    matrix[:, 2] = 64 - matrix[:, :2] @ [600, 400]
    rows, columns = np.nonzero(warp_square(frame, matrix, 128)[..., 0] > 127)
    np.testing.assert_allclose([columns.mean(), rows.mean()], matrix @ [620, 410, 1], atol=0.1)


def test_contour_window_leaves_the_forehead_out():
    face = drawn_face()
    points = face.landmarks.copy()
    points[10, 1] -= 200  # top of the forehead
    assert crop_window(points, 2.0, 0.0).side == crop_window(face.landmarks, 2.0, 0.0).side
    assert crop_window(points, 2.0, 0.0, "mesh").side > crop_window(face.landmarks, 2.0, 0.0, "mesh").side


@pytest.mark.parametrize(
    "points, sentence",
    [
        (np.zeros((7, 2)), "7 landmarks fit no known layout"),
        (np.full((5, 2), np.nan), "not finite"),
        (np.zeros((478, 3)), "only 0.0 pixels wide"),
    ],
)
def test_bad_landmarks_are_named(points, sentence):
    with pytest.raises(FaceError, match=sentence):
        crop_window(points, 2.0, 0.0)
