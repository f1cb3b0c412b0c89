"""A soft light that stays where it is while the head turns.

The photo's light is told as low-order shading of the face's normals (spherical harmonics of order two; Ramamoorthi and
Hanrahan 2001). A turned head is brightened or darkened by the ratio of the shading of its normals now and in the still.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from scipy.sparse import coo_matrix, csr_matrix, diags

from vivant.rig.anatomy import BROW_LEFT, BROW_RIGHT, LID_RING_LEFT, LID_RING_RIGHT, anatomy
from vivant.rig.head import HeadModel
from vivant.rig.shape import Shape

_BASE_SMOOTHING, _FOLD_SMOOTHING = 12, 1  # rounds of averaging normals with their neighbours
DARKEST = 0.35
"""Least shading, of a mean of 1."""
_EVEN = np.array([0.0, *np.full(3, 0.05), *np.full(5, 0.5)])  # how much each order is held back


@dataclass(frozen=True)
class Light:
    """``normals``: (N, 3) float32 unit normals of the skull's vertices in head axes, in the still.
    ``coefficients``: (9,) float32 of :func:`harmonics` in camera axes; the mean shading is about 1."""

    normals: np.ndarray
    coefficients: np.ndarray


def harmonics(normals: np.ndarray) -> np.ndarray:
    """(..., 9) order-two basis of unit normals (..., 3), without the usual factors."""
    x, y, z = normals[..., 0], normals[..., 1], normals[..., 2]
    parts = (np.ones_like(x), x, y, z, x * y, x * z, y * z, x * x - y * y, 3 * z * z - 1)
    return np.stack(parts, -1)


def estimate_light(image: np.ndarray, landmarks: np.ndarray, shape: Shape) -> Light:
    """The light on the face of ``image`` (S, S, 3) float32: a robust fit to the brightness of plain skin."""
    count = anatomy().skull_triangles.max() + 1
    normals = vertex_normals(shape.rest[:count], _BASE_SMOOTHING)
    seen = normals @ shape.placement.rotation.T
    chosen = np.flatnonzero(_plain_skin(image, landmarks, shape)[:count] & (seen[:, 2] > 0.25))
    light = cv2.GaussianBlur(image.mean(-1), (0, 0), max(1.0, 0.3 * shape.placement.pixels_per_cm))
    x, y = np.clip(np.round(shape.pixels[chosen]), 0, len(image) - 1).astype(int).T
    level = light[y, x] / max(float(light[y, x].mean()), 1.0) if len(chosen) else np.ones(0)
    basis = harmonics(seen[chosen])
    coefficients, weight = np.array([1.0, *np.zeros(8)]), np.ones(len(chosen))
    for _ in range(5):
        system = basis.T @ (basis * weight[:, None]) / max(len(chosen), 1) + np.diag(_EVEN + 1e-4)
        known = basis.T @ (level * weight) / max(len(chosen), 1)
        coefficients = np.linalg.solve(system, known) if len(chosen) > 50 else coefficients
        weight = 1 / (1 + ((basis @ coefficients - level) / 0.15) ** 2)
    return Light(normals.astype(np.float32), coefficients.astype(np.float32))


def _plain_skin(image: np.ndarray, landmarks: np.ndarray, shape: Shape) -> np.ndarray:
    """(V,) vertices of the face that lie on skin: not on eyes, brows or lips, not in hair."""
    body, side = anatomy(), len(image)
    other = np.zeros((side, side), np.uint8)
    for outline in (LID_RING_LEFT, LID_RING_RIGHT, BROW_LEFT, BROW_RIGHT):
        cv2.fillPoly(other, [cv2.convexHull(np.round(landmarks[list(outline), :2]).astype(np.int32))], 1)
    reach = 2 * max(1, round(0.3 * shape.placement.pixels_per_cm)) + 1
    other = np.asarray(cv2.dilate(other, np.ones((reach, reach))))
    x, y = np.clip(np.round(shape.pixels), 0, side - 1).astype(int).T
    skin: np.ndarray = (body.oval > 1.0) & ~body.lips & (other[y, x] == 0)
    return skin


def vertex_normals(vertices: np.ndarray, rounds: int) -> np.ndarray:
    """(N, 3) unit normals of the skull's vertices (N, 3), averaged ``rounds`` times with their neighbours."""
    triangles = anatomy().skull_triangles
    a, b, c = (vertices[triangles[:, k]].astype(np.float64) for k in range(3))
    faces = np.cross(b - a, c - a)
    normals = np.stack([np.bincount(triangles.ravel(), np.repeat(f, 3), len(vertices)) for f in faces.T], 1)
    normals = _unit(normals)
    for _ in range(rounds):
        normals = _unit(_neighbours() @ normals)
    return normals


def _unit(vectors: np.ndarray) -> np.ndarray:
    unit: np.ndarray = vectors / (np.linalg.norm(vectors, axis=-1, keepdims=True) + 1e-9)
    return unit


@cache
def _neighbours() -> csr_matrix:
    """(N, N) mean over a vertex and its neighbours."""
    triangles = anatomy().skull_triangles
    count = triangles.max() + 1
    pairs = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    links = coo_matrix((np.ones(len(pairs)), pairs.T), shape=(count, count))
    links = ((links + links.T) > 0).astype(float) + diags(np.ones(count))
    return diags(1 / np.asarray(links.sum(1)).ravel()) @ links


@cache
def normal_changes() -> np.ndarray:
    """(E, N, 3) float32 what each expression unit does to the normals: cheeks that rise, folds beside a smile."""
    head = HeadModel.load()
    count = anatomy().skull_triangles.max() + 1
    rest = vertex_normals(head.neutral[:count], _FOLD_SMOOTHING)
    changes = [vertex_normals(head.neutral[:count] + unit[:count], _FOLD_SMOOTHING) - rest for unit in head.expression]
    return np.stack(changes).astype(np.float32)
