"""Coordinates on the surface of the body that stick to it, and pieces of surface cut along them.

Everything here is told on the average person at rest, in metres, so that a hem or a stripe lies on the same part of
every body. Axis letters: V vertices, T triangles, J joints.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from vivant.data.figures.body import Shape, body_model

SKIN, EYES, HAIR, TOP, BOTTOM, JACKET, SHOES, TIGHTS = range(8)
"""Materials."""
TRUNK, LEFT_ARM, RIGHT_ARM, LEFT_LEG, RIGHT_LEG = range(5)
RADIUS = np.array([0.165, 0.055, 0.055, 0.085, 0.085])
"""Metres that a radian around each part is taken for."""


@dataclass(frozen=True)
class Chart:
    """Where each vertex of the average body lies.

    ``part`` (V,): trunk with head, arms, legs. ``place`` (V, 3): two coordinates across the part's axis (of the trunk x
    and z, so that the front is positive in the second) and one along it: height, or the way from the shoulder. ``arm``
    (V,): how much a vertex belongs to an arm, 0..1. ``reach`` (V,): way from the shoulder towards the hand, of all
    vertices. ``head`` (V,): how much a vertex belongs to the head, 0..1.
    """

    part: np.ndarray
    place: np.ndarray
    arm: np.ndarray
    reach: np.ndarray
    head: np.ndarray


@cache
def chart() -> Chart:
    """The chart of the bundled body."""
    model = body_model()
    vertices = model.vertices.astype(np.float64)
    part = np.full(len(vertices), TRUNK)
    place = np.stack([vertices[:, 0], vertices[:, 2], vertices[:, 1]], 1)
    arms, reach = np.zeros(len(vertices)), np.zeros(len(vertices))
    for number, side in ((LEFT_ARM, "L"), (RIGHT_ARM, "R")):
        member = _membership(("upperarm", "lowerarm", "wrist", "finger"), side)
        across, along = _along_arm(vertices, side)
        mine = vertices[:, 0] > 0 if side == "L" else vertices[:, 0] <= 0
        arms, reach = arms + member, np.where(mine, along, reach)
        chosen = member > 0.5
        part[chosen] = number
        place[chosen] = np.column_stack([across, along])[chosen]
    for number, side in ((LEFT_LEG, "L"), (RIGHT_LEG, "R")):
        chosen = _membership(("upperleg", "lowerleg", "foot"), side) > 0.5
        axis = _leg_axis(vertices[:, 1], side)
        part[chosen] = number
        place[chosen, :2] = (vertices[:, [0, 2]] - axis)[chosen]
    return Chart(part, place, np.clip(arms, 0, 1), reach, np.clip(_membership(("neck03", "head", "eye"), ""), 0, 1))


def _membership(starts: tuple[str, ...], side: str) -> np.ndarray:
    """(V,) sum of the skin weights of joints whose names begin so."""
    model = body_model()
    chosen = [
        i for name, i in model.joint.items() if name.startswith(starts) and (not side or name.endswith(f".{side}"))
    ]
    return np.asarray(model.weights[:, chosen].sum(1), np.float64)


def _along_arm(points: np.ndarray, side: str) -> tuple[np.ndarray, np.ndarray]:
    """Across (V, 2) and along (V,) the arm, which is a line from shoulder to elbow and on to the wrist."""
    model = body_model()
    shoulder, elbow, wrist = (model.joints[model.joint[f"{n}.{side}"]] for n in ("upperarm01", "lowerarm01", "wrist"))
    upper, lower = elbow - shoulder, wrist - elbow
    length = np.linalg.norm(upper)
    first, second = upper / length, lower / np.linalg.norm(lower)
    beyond = (points - elbow) @ (first + second) > 0
    origin, direction = np.where(beyond[:, None], elbow, shoulder), np.where(beyond[:, None], second, first)
    away = points - origin
    along = (away * direction).sum(1)
    aside = away - along[:, None] * direction
    front = np.array([0.0, 0.0, 1.0]) - direction[:, 2:3] * direction
    front /= np.linalg.norm(front, axis=1, keepdims=True)
    third = np.cross(direction, front)
    across = np.stack([(aside * third).sum(1), (aside * front).sum(1)], 1)
    return across, along + np.where(beyond, length, 0)


def _leg_axis(height: np.ndarray, side: str) -> np.ndarray:
    """(V, 2) x and z of the middle of the leg at each height."""
    model = body_model()
    joints = np.array([model.joints[model.joint[f"{n}.{side}"]] for n in ("foot", "lowerleg01", "upperleg01")])
    return np.stack([np.interp(height, joints[:, 1], joints[:, axis]) for axis in (0, 2)], 1)


@dataclass(frozen=True)
class Piece:
    """A part of what is drawn, at rest on one person.

    ``rest``, ``normals`` (V, 3); ``weights`` (V, J); ``place`` (V, 3) as in :class:`Chart`; ``part`` (T,) of each
    triangle; ``triangles`` (T, 3); ``tag`` (V, 3) free numbers; ``material``: what it is made of; ``open``: its back
    can be seen, too.
    """

    rest: np.ndarray
    normals: np.ndarray
    weights: np.ndarray
    place: np.ndarray
    part: np.ndarray
    triangles: np.ndarray
    tag: np.ndarray
    material: int
    open: bool = True


def skin_piece(shape: Shape, material: int, tag: np.ndarray) -> Piece:
    """The whole skin of a person, with ``tag`` (V, 3) or (V,), which is filled up with zeros."""
    model, where = body_model(), chart()
    part = where.part[model.triangles]
    if tag.ndim == 1:
        tag = np.stack([tag, np.zeros_like(tag), np.zeros_like(tag)], 1)
    return Piece(
        shape.vertices, vertex_normals(shape.vertices, model.triangles), model.weights, where.place, part.max(1),
        model.triangles, tag, material, open=False,
    )  # fmt: skip


def cut(piece: Piece, values: np.ndarray) -> Piece:
    """What of a piece has ``values`` (V,) above 0, its triangles cut along 0."""
    triangles, part = piece.triangles, piece.part
    above = values[triangles] > 0
    count = above.sum(1)
    whole = count == 3
    pieces, parts = [triangles[whole]], [part[whole]]
    first, second, share = [], [], []
    base = len(values)

    def crossing(inside: np.ndarray, outside: np.ndarray) -> np.ndarray:
        nonlocal base
        first.append(inside)
        second.append(outside)
        share.append(values[inside] / (values[inside] - values[outside]))
        base += len(inside)
        return np.arange(base - len(inside), base)

    for amount in (1, 2):
        rows = np.flatnonzero(count == amount)
        odd = above[rows].argmax(1) if amount == 1 else (~above[rows]).argmax(1)
        turned = np.stack([triangles[rows, (odd + k) % 3] for k in range(3)], 1)
        a, b, c = turned.T
        if amount == 1:
            pieces.append(np.stack([a, crossing(a, b), crossing(a, c)], 1))
            parts.append(part[rows])
        else:
            on_b, on_c = crossing(b, a), crossing(c, a)
            pieces += [np.stack([on_b, b, c], 1), np.stack([on_b, c, on_c], 1)]
            parts += [part[rows], part[rows]]
    return _rebuilt(piece, pieces, parts, first, second, share)


def _rebuilt(
    piece: Piece, pieces: list[np.ndarray], parts: list[np.ndarray], first: list[np.ndarray], second: list[np.ndarray],
    share: list[np.ndarray],
) -> Piece:  # fmt: skip
    """A piece of these triangles whose vertices beyond the old ones lie ``share`` of the way from first to second."""
    old = np.arange(len(piece.rest))
    start, end = np.concatenate([old, *first]).astype(int), np.concatenate([old, *second]).astype(int)
    way = np.concatenate([np.zeros(len(old)), *share]).astype(np.float32)
    triangles = np.concatenate(pieces)
    used, triangles = np.unique(triangles, return_inverse=True)
    start, end, way = start[used], end[used], way[used]

    def mixed(values: np.ndarray) -> np.ndarray:
        column = way.reshape(-1, *([1] * (values.ndim - 1)))
        return np.asarray((1 - column) * values[start] + column * values[end])

    return replace(
        piece, rest=mixed(piece.rest), normals=mixed(piece.normals), weights=mixed(piece.weights),
        place=mixed(piece.place), tag=mixed(piece.tag), triangles=triangles.reshape(-1, 3).astype(np.int32),
        part=np.concatenate(parts),
    )  # fmt: skip


def grown(piece: Piece, amount: np.ndarray | float) -> Piece:
    """A piece moved outwards by ``amount`` metres, (V,) or one number."""
    return replace(piece, rest=piece.rest + piece.normals * np.reshape(amount, (-1, 1)))


@cache
def _average() -> Any:
    return _averaging(body_model().triangles, len(body_model().vertices))


def smoothed(shape: Shape, rounds: int) -> Shape:
    """A body without small hollows, after some rounds of smoothing (Taubin 1995, which does not shrink)."""
    vertices = shape.vertices
    for _ in range(rounds):
        for step in (0.6, -0.63):
            vertices = vertices + step * (_average() @ vertices - vertices)
    return replace(shape, vertices=vertices)


def _averaging(triangles: np.ndarray, count: int) -> Any:
    """Sparse (V, V): each vertex becomes the mean of itself and its neighbours."""
    from scipy.sparse import coo_matrix, diags, eye

    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    near = coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), (count, count)).tocsr()
    near = ((near + near.T) > 0).astype(float) + eye(count)
    return diags(1 / np.asarray(near.sum(1)).ravel()) @ near


def vertex_normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(V, 3) unit normals, outwards."""
    corners = vertices[triangles]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    total = np.stack(
        [np.bincount(triangles.ravel(), np.repeat(normal[:, axis], 3), len(vertices)) for axis in range(3)], 1
    )
    return np.asarray(total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12))
