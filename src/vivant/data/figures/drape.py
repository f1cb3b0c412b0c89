"""Pieces that the body does not have, skirts and long hair: rings of points that hang around it."""

from __future__ import annotations

import numpy as np

from vivant.data.figures.body import Shape, body_model
from vivant.data.figures.surface import TRUNK, Piece, chart, vertex_normals

Random = np.random.Generator


def tube(rings: np.ndarray, closed: bool) -> np.ndarray:
    """(T, 3) triangles of ``rings`` (R, N, 3) points, outwards if the points run against the clock seen from above."""
    rows, count = rings.shape[:2]
    index = np.arange(rows * count).reshape(rows, count)
    if closed:
        index = np.concatenate([index, index[:, :1]], 1)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]
    quads = [np.stack([a, c, b], -1), np.stack([b, c, d], -1)]
    return np.concatenate([quad.reshape(-1, 3) for quad in quads]).astype(np.int32)


def height_on(shape: Shape, height: np.ndarray) -> np.ndarray:
    """Heights of the average person -> of this one."""
    names = ("foot.L", "lowerleg01.L", "upperleg01.L", "spine03", "spine01", "neck01", "head")
    joint = body_model().joint
    average = np.array([0.0, *(body_model().joints[joint[name]][1] for name in names)])
    own = np.array([0.0, *(shape.joints[joint[name]][1] for name in names)])
    return np.asarray(np.interp(height, average, own))


def outline(shape: Shape, height: float, directions: np.ndarray, thick: float = 0.03) -> np.ndarray:
    """(N,) how far the trunk and the legs reach in ``directions`` (N, 2) at a height: their convex hull."""
    vertices = shape.vertices
    near = (np.abs(vertices[:, 1] - height) < thick) & (chart().arm < 0.2)
    if not near.any():
        return np.full(len(directions), 0.1)
    return np.asarray((vertices[near][:, [0, 2]] @ directions.T).max(0))


def skirt_piece(rng: Random, shape: Shape, material: int, top: float, hem: float, around: int = 64) -> Piece:
    """A skirt from ``top`` to ``hem``, heights of the average person; it widens and may fall in folds."""
    rows = max(6, int((top - hem) / 0.04))
    heights = height_on(shape, np.linspace(top, hem, rows))
    angle = np.linspace(0, 2 * np.pi, around, endpoint=False)
    directions = np.stack([np.cos(angle), -np.sin(angle)], 1)
    flare, folds = rng.uniform(0.02, 0.4), rng.uniform(0.0, 0.06)
    count, phase = int(rng.integers(6, 13)), rng.uniform(0, 2 * np.pi)
    wave = np.cos(count * angle + phase)
    rings, widest = np.empty((rows, around, 3)), np.zeros(around)
    hips = height_on(shape, np.array([0.93]))[0]
    for row, height in enumerate(heights):
        reach = outline(shape, height, directions) + 0.012
        below = max(0.0, hips - height)
        widest = np.maximum(reach, widest if below > 0 else reach)
        radius = widest * (1 + folds * wave * min(1.0, below / 0.25)) + flare * below
        rings[row] = np.stack([radius * directions[:, 0], np.full(around, height), radius * directions[:, 1]], 1)
    points, triangles = rings.reshape(-1, 3), tube(rings, closed=True)
    average = np.repeat(np.linspace(top, hem, rows), around)
    place = np.stack([points[:, 0], points[:, 2], average], 1)
    return Piece(
        points, vertex_normals(points, triangles), _skirt_weights(points, average), place,
        np.full(len(triangles), TRUNK), triangles, np.stack([0 * average, average - hem, 0 * average], 1), material,
    )  # fmt: skip


def _skirt_weights(points: np.ndarray, height: np.ndarray) -> np.ndarray:
    """The waist follows the hips; below, each side follows its thigh, the middle both."""
    model = body_model()
    weights = np.zeros((len(points), len(model.joints)), np.float32)
    legs = np.clip((0.98 - height) / 0.25, 0, 1)
    legs = legs * legs * (3 - 2 * legs)
    left = 0.5 + 0.5 * np.tanh(points[:, 0] / 0.09)
    spine = np.clip((height - 0.98) / 0.12, 0, 1) * 0.5
    weights[:, model.joint["upperleg02.L"]] = legs * left
    weights[:, model.joint["upperleg02.R"]] = legs * (1 - left)
    weights[:, model.joint["spine04"]] = (1 - legs) * spine
    weights[:, 0] = (1 - legs) * (1 - spine)
    return weights
