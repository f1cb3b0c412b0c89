"""Rotations in space, and the similarity that lays points on others."""

from __future__ import annotations

import numpy as np


def about(axis: int, angle: np.ndarray) -> np.ndarray:
    """Right-handed rotation (..., 3, 3) of column vectors about one axis, radians."""
    first, second = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.zeros((*np.shape(angle), 3, 3))
    matrix[..., axis, axis] = 1
    matrix[..., first, first] = matrix[..., second, second] = np.cos(angle)
    matrix[..., second, first] = np.sin(angle)
    matrix[..., first, second] = -np.sin(angle)
    return matrix


def fitted_similarity(
    source: np.ndarray, target: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The similarity that lays points nearest to others by weighted least squares (Umeyama 1991).

    Args:
        source: (N, 3) points, row vectors.
        target: (..., N, 3) where they should lie.
        weights: (N,), their sum is 1.

    Returns:
        rotation (..., 3, 3), never a mirror image, scale (...) and translation (..., 3), so that
        ``target = scale * (source @ rotation) + translation``.
    """
    source_mean, target_mean = weights @ source, np.einsum("n,...nd->...d", weights, target)
    a, b = source - source_mean, target - target_mean[..., None, :]
    U, S, Vt = np.linalg.svd(np.einsum("n,nd,...ne->...de", weights, a, b))
    signs = np.ones_like(S)
    signs[..., 2] = np.sign(np.linalg.det(U @ Vt))
    rotation = (U * signs[..., None, :]) @ Vt
    scale = (S * signs).sum(-1) / (weights @ (a**2).sum(-1))
    return rotation, scale, target_mean - scale[..., None] * (source_mean @ rotation)
