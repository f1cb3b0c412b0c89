"""Labels of face clips: crop, pose, neutral shape, and the mesh's mirror, on landmarks made to measure."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vivant.core.errors import FaceError
from vivant.core.face import Face
from vivant.core.facemesh import MIRROR, TRAINING_MIRROR, TRAINING_POINTS
from vivant.data.ingest import (
    CROP_SIZE,
    IRISES,
    LOWER_LIP,
    RIGID,
    Square,
    euler,
    full_track,
    label,
    rigid_fit,
    square_around,
    standard_face,
)
from vivant.data.still_motion import euler_angles, rotation_matrices
from vivant.methods.live_portrait.algebra import rotation_matrix, transform_keypoints
from vivant.methods.live_portrait.config import LITE_LANDMARKS, LITE_MIRROR
from vivant.perception.mesh import canonical_face
from vivant.perception.pose import euler_rotation, head_pose

KEEP = np.array(TRAINING_POINTS)
ANGLES = np.array([[0.0, 0.0, 0.0], [12.0, -25.0, 8.0], [-18.0, 30.0, -20.0], [5.0, 10.0, 40.0]])  # degrees


@pytest.fixture(scope="module")
def template() -> np.ndarray:
    return standard_face()


def moved(face: np.ndarray, angles: np.ndarray, scale: float = 0.9, shift: tuple = (0.1, -0.2, 0.0)) -> np.ndarray:
    """(F, 478, 3) heads as the method's equation puts them."""
    return np.stack([scale * face @ euler_rotation(*each) + shift for each in angles])


def test_angles_are_the_inverse_of_the_methods_rotation() -> None:
    degrees = torch.from_numpy(np.random.default_rng(0).uniform(-60, 60, (20, 3)))
    rotation = rotation_matrix(*degrees.unbind(1))
    found = np.degrees([euler(r.numpy().astype(np.float64)) for r in rotation])
    assert np.allclose(found, degrees, atol=1e-3)
    radians = torch.deg2rad(degrees).float()
    assert torch.allclose(rotation_matrices(radians), rotation, atol=1e-5)
    assert torch.allclose(euler_angles(rotation), radians, atol=1e-4)


def test_a_rigid_fit_finds_scale_rotation_and_shift(template: np.ndarray) -> None:
    scale, rotation, shift = rigid_fit(template, moved(template, ANGLES[2:3], 0.7, (0.3, 0.1, -0.4))[0])
    assert scale == pytest.approx(0.7) and np.allclose(shift, [0.3, 0.1, -0.4])
    assert np.allclose(rotation, euler_rotation(*ANGLES[2])) and np.linalg.det(rotation) == pytest.approx(1)


def test_a_mirrored_shape_is_fitted_by_a_rotation(template: np.ndarray) -> None:
    _, rotation, _ = rigid_fit(template, template * [-1, 1, 1])
    assert np.linalg.det(rotation) == pytest.approx(1)


def test_labels_say_the_pose_the_landmarks_were_made_with(template: np.ndarray) -> None:
    found = label(moved(template, ANGLES), template, KEEP)
    assert np.allclose(np.degrees(found["rotation"]), ANGLES, atol=1e-3)
    assert np.allclose(found["scale"], 0.9) and np.allclose(found["translation"], [0.1, -0.2], atol=1e-6)
    assert (found["trust"] == 1).all() and (found["points"] == KEEP).all()


def test_the_methods_equation_gives_the_labelled_landmarks_back(template: np.ndarray) -> None:
    found = label(moved(template, ANGLES), template, KEEP)
    rotation = rotation_matrices(torch.from_numpy(found["rotation"]))
    neutral = torch.from_numpy(found["neutral"]).expand(len(ANGLES), -1, -1)
    shift = torch.from_numpy(np.pad(found["translation"], ((0, 0), (0, 1))))
    x = transform_keypoints(neutral, rotation, torch.zeros_like(neutral), torch.from_numpy(found["scale"]), shift)
    lips = ~np.isin(KEEP, list(LOWER_LIP))  # the neutral shape has them closed
    assert np.allclose(x[:, lips], found["landmarks"][:, lips].astype(float), atol=2e-3)  # float16


def test_depth_is_relative_to_the_head(template: np.ndarray) -> None:
    near = label(moved(template, ANGLES, shift=(0.1, -0.2, 0.8)), template, KEEP)
    far = label(moved(template, ANGLES, shift=(0.1, -0.2, -0.5)), template, KEEP)
    assert np.allclose(near["landmarks"].astype(float), far["landmarks"].astype(float), atol=2e-3)


def test_the_neutral_shape_closes_the_lips_and_ignores_blinks(template: np.ndarray) -> None:
    row = {int(point): i for i, point in enumerate(KEEP)}
    face = template.copy()
    face[14] = face[13] + [0, 0.01, 0]  # never quite closed
    talk = np.repeat(face[None], 20, 0)
    talk[10:, 14, 1] += np.linspace(0.02, 0.2, 10)
    talk[:3, 159] = talk[:3, 145]  # blinks
    frames = np.concatenate([moved(each, ANGLES[i % 4 : i % 4 + 1]) for i, each in enumerate(talk)])
    neutral = label(frames, template, KEEP)["neutral"]
    assert np.allclose(neutral[row[13]], neutral[row[14]], atol=1e-5)
    assert np.allclose(neutral[row[152], 1], face[152, 1] - 0.4 * 0.01, atol=1e-4)
    assert np.allclose(neutral[row[159]], face[159], atol=1e-5)
    for point in (1, 33, 61, 105):
        assert np.allclose(neutral[row[point]], face[point], atol=1e-5)


def test_exact_points_replace_seen_ones_and_are_trusted_more(template: np.ndarray) -> None:
    seen = moved(template, ANGLES)
    exact = np.zeros((len(ANGLES), 5, 2))
    found = label(seen, template, KEEP, (KEEP[:5], exact))
    assert (found["landmarks"][:, :5, :2] == 0).all()
    trust = dict(zip(KEEP.tolist(), found["trust"].tolist()))
    assert all(trust[int(p)] == 1 for p in KEEP[:5]) and all(trust[p] == 1 for p in IRISES if p in trust)
    assert trust[int(KEEP[5])] == 0.5
    assert np.allclose(np.degrees(found["rotation"]), ANGLES, atol=1e-3)  # the pose is still what was seen


def test_the_standard_face_is_symmetric_centred_one_high_and_looks_ahead(template: np.ndarray) -> None:
    assert np.allclose(template, template[list(MIRROR)] * [-1, 1, 1], atol=1e-9)
    assert template[152, 1] - template[10, 1] == pytest.approx(1)
    assert np.allclose(template[RIGID].mean(0), 0, atol=1e-9)
    pose = head_pose(template)
    assert np.allclose([pose.pitch, pose.yaw, pose.roll], 0, atol=0.3)


@pytest.mark.parametrize("side", [100.0, 200.0, 400.0, 700.0, 1100.0])
def test_pixels_and_coordinates_of_a_crop_agree(side: float) -> None:
    """A dot in the frame is found in the crop where ``normalise`` says it is."""
    square = Square(60.3, 41.7, side)
    frame = np.zeros((1200, 1300, 3), np.uint8)
    x, y = 60 + side * 0.31, 41 + side * 0.72
    radius = max(2, round(side / 60))
    rows, columns = np.mgrid[:1200, :1300]
    frame[(columns + 0.5 - x) ** 2 + (rows + 0.5 - y) ** 2 <= radius**2] = 255
    crop = square.cut(frame)
    assert crop.shape == (CROP_SIZE, CROP_SIZE, 3)
    weights = crop[..., 0].astype(float)
    grid = (np.arange(CROP_SIZE) + 0.5) * 2 / CROP_SIZE - 1
    found = [(weights.sum(0) * grid).sum() / weights.sum(), (weights.sum(1) * grid).sum() / weights.sum()]
    wanted = square.normalise(np.array([[x, y, 5.0]]))[0]
    assert np.allclose(found, wanted[:2], atol=0.5 * 2 / CROP_SIZE)  # half a pixel
    assert wanted[2] == pytest.approx(5 * 2 / side)


def test_the_crop_is_two_faces_wide_and_stays_inside_the_picture(template: np.ndarray) -> None:
    landmarks = np.repeat((template * 200 + [640, 360, 0])[None], 3, 0)
    landmarks[1] += 400  # one bad frame does not move the median
    square = square_around(landmarks, 720, 1280)
    size = np.ptp(landmarks[0, :, :2], 0).max()
    assert square.side == pytest.approx(2 * size)
    assert square.left + square.side / 2 == pytest.approx(
        640 + 200 * (np.ptp(template[:, 0]) / 2 + template[:, 0].min())
    )
    corner = square_around(landmarks[:1] - [600, 330, 0], 720, 1280)
    assert corner.left == 0 and corner.top == 0
    assert square_around(landmarks, 300, 1280).side == 300


def test_beyond_the_border_the_edge_repeats() -> None:
    frame = np.full((50, 50, 3), 90, np.uint8)
    assert (Square(-20, -20, 90).cut(frame) == 90).all()


def test_a_gap_in_a_track_is_refused(template: np.ndarray) -> None:
    face = Face(template.astype(np.float32), np.zeros(4, np.float32), 1.0, None)
    assert full_track([face, face]).shape == (2, 478, 3)
    with pytest.raises(FaceError, match="frame 1"):
        full_track([face, None])
    with pytest.raises(FaceError, match="no frames"):
        full_track([])


def test_the_mirror_of_the_mesh_is_the_faces_own_symmetry() -> None:
    mirror = np.array(MIRROR)
    assert sorted(MIRROR) == list(range(478)) and (mirror[mirror] == np.arange(478)).all()
    face = canonical_face().vertices
    flipped = face[mirror[:468]] * [-1, 1, 1]
    assert np.abs(flipped - face).max() < 0.5 and np.abs(flipped - face).mean() < 0.1  # cm
    middle = np.flatnonzero(mirror == np.arange(478))
    assert np.abs(face[middle, 0]).max() < 0.1 and {1, 13, 14, 152, 10} <= set(middle.tolist())
    assert MIRROR[33] == 263 and MIRROR[468] == 473 and MIRROR[61] == 291


def test_mirrors_of_labels_and_keypoints_follow_the_mesh() -> None:
    for points, table in ((TRAINING_POINTS, TRAINING_MIRROR), (LITE_LANDMARKS, LITE_MIRROR)):
        assert [points[row] for row in table] == [MIRROR[point] for point in points]
    assert len(set(TRAINING_POINTS)) == len(TRAINING_POINTS) and set(LITE_LANDMARKS) <= set(TRAINING_POINTS)
