import numpy as np
import torch

from vivant.perception.mesh import canonical_face
from vivant.perception.pose import euler_rotation, head_pose, head_pose_torch

ANGLES = np.array([[0, 0, 0], [10, 20, 30], [-25, 40, -5], [5, -60, 100], [0, 0, 179]], float)


def turned(angles: np.ndarray) -> np.ndarray:
    """The canonical face turned by (F, 3) pitch, yaw, roll in degrees, 4 pixels a cm, moved: (F, 478, 3)."""
    points = np.zeros((len(angles), 478, 3))
    points[:, :468] = 4 * (canonical_face().vertices @ euler_rotation(*angles.T)) + [100, 80, -7]
    return points


def test_known_angles_scale_and_place_come_back():
    pose = head_pose(turned(ANGLES))
    np.testing.assert_allclose(np.stack([pose.pitch, pose.yaw, pose.roll], 1), ANGLES, atol=1e-4)
    np.testing.assert_allclose(pose.scale, 4, rtol=1e-6)
    np.testing.assert_allclose(pose.translation, [[100, 80, -7]] * 5, atol=1e-4)


def test_one_face_has_no_frame_axis():
    pose = head_pose(turned(ANGLES)[1])
    assert pose.rotation.shape == (3, 3) and np.shape(pose.pitch) == ()
    assert np.isclose(pose.yaw, 20, atol=1e-4)


def test_golden_rotation_of_the_published_convention():
    """transpose(Rz(30) Ry(20) Rx(10)), computed by hand from the elementary matrices."""
    (sx, cx), (sy, cy), (sz, cz) = ((np.sin(np.radians(a)), np.cos(np.radians(a))) for a in (10, 20, 30))
    Rx, Ry = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]]), np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    Rz = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    np.testing.assert_allclose(euler_rotation(10, 20, 30), (Rz @ Ry @ Rx).T, atol=1e-12)


def test_signs_in_the_picture():
    """Positive pitch moves the nose down, positive yaw to the left, positive roll tilts clockwise."""
    rest, nod, turn, tilt = turned(np.array([[0, 0, 0], [15, 0, 0], [0, 15, 0], [0, 0, 15]], float))
    assert nod[1, 1] > rest[1, 1] + 5
    assert turn[1, 0] < rest[1, 0] - 5
    assert tilt[263, 1] > rest[263, 1] and tilt[33, 1] < rest[33, 1]


def test_a_mirrored_portrait_has_mirrored_yaw_and_roll(finder, woman):
    (face,), (mirrored,) = finder.find(woman), finder.find(np.ascontiguousarray(woman[:, ::-1]))
    a, b = head_pose(face.landmarks), head_pose(mirrored.landmarks)
    assert abs(a.yaw) > 3, "the portrait is turned a little"
    np.testing.assert_allclose([b.pitch, b.yaw, b.roll], [a.pitch, -a.yaw, -a.roll], atol=4)


def test_torch_agrees_and_has_gradients():
    points = torch.tensor(turned(ANGLES), requires_grad=True)
    pose, expected = head_pose_torch(points), head_pose(turned(ANGLES))
    for name in ("pitch", "yaw", "roll", "rotation", "scale", "translation"):
        np.testing.assert_allclose(getattr(pose, name).detach(), getattr(expected, name), atol=1e-3)
    pose.yaw.sum().backward()
    assert torch.isfinite(points.grad).all() and points.grad.abs().sum() > 0


def test_gradient_of_yaw_turns_the_head():
    points = torch.tensor(turned(np.zeros((1, 3))) + np.random.default_rng(0).normal(0, 0.2, (1, 478, 3)))
    for _ in range(60):
        points.requires_grad_(True)
        loss = (head_pose_torch(points).yaw - 10).pow(2).sum()
        (slope,) = torch.autograd.grad(loss, points)
        points = (points - 0.3 * slope).detach()
    assert abs(float(head_pose_torch(points).yaw) - 10) < 1
