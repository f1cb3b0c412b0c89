"""Head pose: where the canonical face has to be turned, scaled and moved to lie on the landmarks.

Angles follow LivePortrait (arXiv 2407.03168) and face vid2vid: points are row vectors with x right, y down, z
into the picture, and ``rotation`` = transpose(Rz(roll) Ry(yaw) Rx(pitch)) with right-handed elementary rotations,
so that ``landmarks = scale * (canonical @ rotation) + translation``. In the picture, positive

- pitch: the head nods, the nose moves down;
- yaw: the head turns so that the nose moves to the left of the picture (the person's right);
- roll: the head tilts clockwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

from vivant.core.rotations import about, fitted_similarity
from vivant.perception.mesh import MESH_POINTS, canonical_face

if TYPE_CHECKING:
    import torch

Array = TypeVar("Array")


@dataclass(frozen=True)
class HeadPose(Generic[Array]):
    """Pose of F heads, or of one (then without the F axis).

    ``pitch``, ``yaw``, ``roll``: (F,) degrees. ``rotation``: (F, 3, 3) for row vectors.
    ``scale``: (F,) landmark units per cm of the canonical face. ``translation``: (F, 3) in landmark units.
    """

    pitch: Array
    yaw: Array
    roll: Array
    rotation: Array
    scale: Array
    translation: Array


def euler_rotation(pitch: np.ndarray, yaw: np.ndarray, roll: np.ndarray) -> np.ndarray:
    """Rotation (..., 3, 3) for row vectors from angles (...) in degrees."""
    x, y, z = (np.radians(np.asarray(angle, np.float64)) for angle in (pitch, yaw, roll))
    return np.swapaxes(about(2, z) @ about(1, y) @ about(0, x), -1, -2)


def rotation_euler(rotation: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pitch, yaw, roll (...) in degrees of rotations (..., 3, 3) for row vectors; yaw lies in -90..90."""
    turn = np.swapaxes(rotation, -1, -2)
    pitch = np.arctan2(turn[..., 2, 1], turn[..., 2, 2])
    yaw = np.arcsin(np.clip(-turn[..., 2, 0], -1, 1))
    roll = np.arctan2(turn[..., 1, 0], turn[..., 0, 0])
    return np.degrees(pitch), np.degrees(yaw), np.degrees(roll)


def head_pose(landmarks: np.ndarray) -> HeadPose[np.ndarray]:
    """Pose of landmarks (478, 3) or (F, 478, 3); a weighted similarity fit (Umeyama 1991).

    The weights are those of Google's face geometry: 33 points around eyes, nose and temples, so that speech
    and expression move the pose little.
    """
    face = canonical_face()
    chosen = face.weights > 0
    weights = face.weights[chosen].astype(np.float64) / face.weights[chosen].sum()
    target = np.asarray(landmarks, np.float64)[..., :MESH_POINTS, :][..., chosen, :]
    rotation, scale, translation = fitted_similarity(face.vertices[chosen].astype(np.float64), target, weights)
    return HeadPose(*rotation_euler(rotation), rotation, scale, translation)


def head_pose_torch(landmarks: torch.Tensor) -> HeadPose[torch.Tensor]:
    """:func:`head_pose` of landmarks (B, 478, 3), differentiable, in their dtype and on their device."""
    import torch

    face = canonical_face()
    chosen = np.flatnonzero(face.weights)
    weights = torch.as_tensor(face.weights[chosen] / face.weights.sum()).to(landmarks)
    source = torch.as_tensor(face.vertices[chosen]).to(landmarks)
    target = landmarks[:, torch.as_tensor(chosen, device=landmarks.device)]
    source_mean, target_mean = weights @ source, torch.einsum("n,bnd->bd", weights, target)
    a, b = source - source_mean, target - target_mean[:, None]
    U, S, Vt = torch.linalg.svd(torch.einsum("n,nd,bne->bde", weights, a, b))
    mirror = torch.sign(torch.linalg.det(U @ Vt)).detach()
    signs = torch.stack([torch.ones_like(mirror), torch.ones_like(mirror), mirror], dim=1)
    rotation = (U * signs[:, None]) @ Vt
    scale = (S * signs).sum(1) / (weights @ (a**2).sum(1))
    translation = target_mean - scale[:, None] * (source_mean @ rotation)
    pitch = torch.atan2(rotation[:, 1, 2], rotation[:, 2, 2])
    yaw = torch.asin((-rotation[:, 0, 2]).clamp(-1 + 1e-6, 1 - 1e-6))  # asin has no slope at its ends
    roll = torch.atan2(rotation[:, 0, 1], rotation[:, 0, 0])
    return HeadPose(pitch.rad2deg(), yaw.rad2deg(), roll.rad2deg(), rotation, scale, translation)
