"""Pose and keypoint algebra of the method (paper section 3.1, equation 2).

Axis letters: B batch (any leading axes), K keypoints. Keypoints are row vectors (x right, y down, z into the
picture) and are multiplied from the left: ``x_canonical @ R``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

_BINS = 66
_DEGREES_PER_BIN = 3.0
_OFFSET = 97.5  # (66 - 1) / 2 bins of 3 degrees: uniform logits decode to 0


def decode_angles(values: Tensor) -> Tensor:
    """Degrees (B,) from bin logits (B, 66); (B, 1) or (B,) is taken to be degrees already."""
    if values.ndim > 1 and values.shape[-1] == _BINS:
        index = torch.arange(_BINS, device=values.device, dtype=torch.float32)
        return (values.float().softmax(dim=-1) * index).sum(dim=-1) * _DEGREES_PER_BIN - _OFFSET
    return values.squeeze(-1) if values.ndim > 1 else values


def rotation_matrix(pitch: Tensor, yaw: Tensor, roll: Tensor) -> Tensor:
    """R = (Rz Ry Rx)' as (B, 3, 3) from degrees (B,) about x, y and z (right-handed elementary rotations)."""
    x, y, z = (angle.float() * (math.pi / 180) for angle in (pitch, yaw, roll))
    one, nil = torch.ones_like(x), torch.zeros_like(x)

    def matrix(*cells: Tensor) -> Tensor:
        return torch.stack(cells, dim=-1).unflatten(-1, (3, 3))

    about_x = matrix(one, nil, nil, nil, x.cos(), -x.sin(), nil, x.sin(), x.cos())
    about_y = matrix(y.cos(), nil, y.sin(), nil, one, nil, -y.sin(), nil, y.cos())
    about_z = matrix(z.cos(), -z.sin(), nil, z.sin(), z.cos(), nil, nil, nil, one)
    return (about_z @ about_y @ about_x).transpose(-1, -2)


def transform_keypoints(
    canonical: Tensor, rotation: Tensor, expression: Tensor, scale: Tensor, translation: Tensor
) -> Tensor:
    """x = s (x_c R + delta) + t (equation 2), with t's depth left out as in the released model.

    Args:
        canonical: (B, K, 3) keypoints of the neutral, frontal face.
        rotation: (B, 3, 3) of :func:`rotation_matrix`.
        expression: (B, K, 3) deformation delta.
        scale: (B, 1) or (B,).
        translation: (B, 3).

    Returns:
        (B, K, 3) keypoints in the picture, -1..1.
    """
    in_plane = torch.cat([translation[..., :2], torch.zeros_like(translation[..., :1])], dim=-1)
    turned = canonical @ rotation + expression
    return scale.reshape(*turned.shape[:-2], 1, 1) * turned + in_plane[..., None, :]


def bounded(values: Tensor, free: float, most: float) -> Tensor:
    """Each of ``values`` as it is up to ``free`` from 0, then ever more slowly towards ``most``, without a kink."""
    room = most - free
    beyond = free + room * torch.tanh((values.abs() - free) / room)
    return torch.where(values.abs() <= free, values, beyond.copysign(values))


Groups = Sequence[tuple[Tensor, Tensor]]
"""Rows of points that move together, and rows of the anchors whose middle they are told from, each (N,)."""


def shape_offsets(points: Tensor, groups: Groups) -> Tensor:
    """(B, N, 2): the N points of all groups, each less the middle of its group's anchors, in the picture plane."""
    offsets = [
        points.index_select(1, moved)[..., :2] - points.index_select(1, anchors)[..., :2].mean(1, keepdim=True)
        for moved, anchors in groups
    ]
    return torch.cat(offsets, 1)


def take_shape(expression: Tensor, points: Tensor, scale: Tensor, groups: Groups, seen: Tensor) -> Tensor:
    """The expression with which lids, irises, brows and lips stand where they were seen.

    A small motion extractor tells where the head is, but answers large openings too small and hardly sees eyes turn
    sideways (the head's own motion hides them), while the landmarks of the tracker do not; a space whose keypoints are
    named landmarks can take the shape of these parts from there.

    Args:
        expression: (B, K, 3) deformation delta.
        points: (B, K, 3) keypoints it gives.
        scale: (B, 1) or (B,).
        groups: rows of each part and of its anchors.
        seen: (B, N, 2), the offsets of :func:`shape_offsets` as seen, in the unit of the points.

    Returns:
        (B, K, 3); only x and y of the moved points differ.
    """
    missing = (seen - shape_offsets(points, groups)) / scale.reshape(-1, 1, 1)
    moved = torch.cat([rows for rows, _ in groups])
    return expression.index_add(1, moved, torch.cat([missing, torch.zeros_like(missing[..., :1])], -1))


def motion_multiplier(source: Tensor | np.ndarray, driving_initial: Tensor | np.ndarray) -> float:
    """sqrt(V(source)) / sqrt(V(driving)), V being the volume of the convex hull of (K, 3) keypoints.

    Adapts the size of a driver's motion to the portrait ("expression-friendly" driving). Returns 1 where
    either set is flat or not finite, which has no volume to compare.
    """
    from scipy.spatial import ConvexHull, QhullError

    try:
        ours, theirs = (ConvexHull(_points(points)).volume for points in (source, driving_initial))
    except (QhullError, ValueError):
        return 1.0
    return float(math.sqrt(ours) / math.sqrt(theirs))


def _points(points: Tensor | np.ndarray) -> np.ndarray:
    array = points.detach().cpu().numpy() if isinstance(points, Tensor) else points
    return np.asarray(array, dtype=np.float64).reshape(-1, 3)
