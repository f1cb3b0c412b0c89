"""The sheet: a grid over the photograph that carries hair, ears, neck and shoulders behind the face.

It is lifted by the same head, follows it rigidly near the head and not at all at the shoulders.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from vivant.rig.anatomy import CHIN, anatomy, smoothstep
from vivant.rig.head import HeadModel
from vivant.rig.shape import Shape
from vivant.rig.sides import Grid, Hits, Sides, grid_over, head_hits, side_of

_CELLS, _MARGIN = 88, 14


@dataclass(frozen=True)
class Sheet:
    """N nodes. ``pixels``: (N, 2) of the still. ``seen``: (N, 3) camera axes in the still. ``limited``, ``true``:
    (N, 3) in head axes, with the two depths of ``sides.py``. ``side``: (N,). ``follow``: (N,) how far a node moves with
    the head, 0..1. ``free``: (N,) 1 where a node may move at all. ``expression``: (E, N, 3) float32, what each unit
    moves. ``corners`` (N, 3) int64, ``weights`` (N, 3): the skull's vertices whose light a node takes, fading beside
    the head. ``triangles``: (T, 3) int32."""

    pixels: np.ndarray
    seen: np.ndarray
    limited: np.ndarray
    true: np.ndarray
    side: np.ndarray
    follow: np.ndarray
    free: np.ndarray
    expression: np.ndarray
    corners: np.ndarray
    weights: np.ndarray
    triangles: np.ndarray


def make_sheet(shape: Shape, sides: Sides, side: int, hold_border: bool) -> Sheet:
    """The sheet of a still of ``side`` pixels. ``hold_border``: nothing moves at any edge of the still."""
    grid = grid_over(side, _CELLS, _MARGIN)
    nodes, hits = grid.nodes(), head_hits(shape, grid)
    near, beside = _nearest_hits(hits, grid, shape)
    in_face = _in_face(hits)
    limited, true = _depths(shape, sides, grid, nodes, hits, near, beside, in_face)
    place = shape.placement
    seen = place.points(nodes.astype(np.float64), limited, shape.centre)
    seen_true = place.points(nodes.astype(np.float64), true, shape.centre)
    in_head = place.back(seen)
    free = _free(nodes, side) if hold_border else np.ones(nodes.shape[:2], np.float32)
    follow = _follow(shape, in_head, beside, nodes, side) * free

    def flat(values: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(values.reshape(grid.count**2, -1).astype(np.float32))

    corners, weights, fade = _attachment(hits, near, beside)
    return Sheet(
        pixels=flat(nodes),
        seen=flat(seen),
        limited=flat(in_head),
        true=flat(place.back(seen_true)),
        side=side_of(shape, seen).reshape(-1),
        follow=follow.reshape(-1).astype(np.float32),
        free=free.reshape(-1),
        expression=_expression_moves(shape, grid, corners, weights * fade[..., None], in_face),
        corners=corners.reshape(-1, 3),
        weights=flat(weights * (fade * smoothstep(0.0, 0.9, follow))[..., None]),
        triangles=_triangles(grid.count),
    )


def _nearest_hits(hits: Hits, grid: Grid, shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    """(N, N) flat index of the nearest node that sees the head, and the distance to it in cm."""
    missed = (hits.triangle < 0).astype(np.uint8)
    distance, label = cv2.distanceTransformWithLabels(missed, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    known = np.flatnonzero(missed.reshape(-1) == 0)
    node_of = np.zeros(label.max() + 1, np.int64)
    node_of[label.reshape(-1)[known]] = known
    return node_of[label], distance * grid.step / shape.placement.pixels_per_cm


def _in_face(hits: Hits) -> np.ndarray:
    """(N, N) weight of nodes under the face layer, soft at its edge."""
    body = anatomy()
    opacity = body.alpha[body.skull_triangles[hits.triangle]].mean(-1) * (hits.triangle >= 0)
    return cv2.GaussianBlur(opacity.astype(np.float32), (0, 0), 1.0)


def _depths(
    shape: Shape, sides: Sides, grid: Grid, nodes: np.ndarray, hits: Hits, near: np.ndarray, beside: np.ndarray,
    in_face: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """(N, N) limited and true depth. Exact under the face, smooth elsewhere, falling away beside the head."""
    cells_per_cm = shape.placement.pixels_per_cm / grid.step
    away = np.clip(beside, 0, 6) * 0.10

    def smooth(depth: np.ndarray, sigma_cm: float, least: float) -> np.ndarray:
        soft = cv2.GaussianBlur(depth.astype(np.float32), (0, 0), max(least, sigma_cm * cells_per_cm))
        return depth * in_face + soft * (1 - in_face) - away

    limited = smooth(sides.depth_at(nodes).reshape(-1)[near], 1.6, 1.5)
    true = smooth(hits.depth.reshape(-1)[near], 0.8, 1.2)
    # hair outside the head's outline keeps most of the limited depth, or long hair vanishes behind the cheek
    hair = cv2.GaussianBlur((0.7 * smoothstep(0.1, 1.8, beside)).astype(np.float32), (0, 0), 1.5) * (1 - in_face)
    return limited, true * (1 - hair) + limited * hair


def _follow(shape: Shape, in_head: np.ndarray, beside: np.ndarray, nodes: np.ndarray, side: int) -> np.ndarray:
    """(N, N) how far nodes follow the head: fully down to the chin, then less and less, not at all far away."""
    chin, height = shape.rest[CHIN, 1], in_head[..., 1]
    follow = smoothstep(chin - 9.0, chin - 0.8, height) * smoothstep(22, 10, beside)
    x, y = nodes[..., 0], nodes[..., 1]
    from_side = np.minimum(x, side - 1 - x) / side
    low = smoothstep(chin + 4, chin - 3, height)
    follow *= 1 - low * (1 - smoothstep(0.0, 0.16, from_side))
    below = smoothstep(chin + 1, chin - 4, height)
    follow *= 1 - below * (1 - smoothstep(0, 0.12, (side - 1 - y) / side))
    return cv2.GaussianBlur(follow.astype(np.float32), (0, 0), 2.5)


def _free(nodes: np.ndarray, side: int) -> np.ndarray:
    """(N, N) float32: 0 at all edges of the still, 1 well inside."""
    from_edge = np.minimum(nodes, side - 1 - nodes).min(-1) / side
    return smoothstep(0.02, 0.12, from_edge).astype(np.float32)


def _attachment(hits: Hits, near: np.ndarray, beside: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of the nearest hit of every node: corners (N, N, 3) and their weights, and how far it counts (N, N)."""
    corners = anatomy().skull_triangles[hits.triangle.reshape(-1)[near]].astype(np.int64)
    return corners, hits.weights.reshape(-1, 3)[near], np.exp(-((beside / 2.5) ** 2)).astype(np.float32)


def _expression_moves(
    shape: Shape, grid: Grid, corners: np.ndarray, weights: np.ndarray, in_face: np.ndarray
) -> np.ndarray:
    """(E, N, 3) what each unit moves: with the head's skin, blurred and fading beside it."""
    sigma = max(1.5, 1.2 * shape.placement.pixels_per_cm / grid.step)
    keep = in_face[..., None]
    moves = []
    for unit in HeadModel.load().expression:
        exact = np.einsum("hwck,hwc->hwk", (unit * shape.loose)[corners], weights)
        moves.append(exact * keep + cv2.GaussianBlur(exact, (0, 0), sigma) * (1 - keep))
    return np.stack(moves).reshape(len(moves), -1, 3).astype(np.float32)


def _triangles(count: int) -> np.ndarray:
    index = np.arange(count * count).reshape(count, count)
    a, b, c, d = (part.ravel() for part in (index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]))
    return np.concatenate([np.stack([a, c, b], 1), np.stack([b, c, d], 1)]).astype(np.int32)
