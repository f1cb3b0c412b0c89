"""Hair as simple volumes: a shell over the scalp, a curtain that hangs from it, a bun or tail, a beard, a cap."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from scipy.spatial import cKDTree

from vivant.data.figures.body import Shape, body_model
from vivant.data.figures.drape import tube
from vivant.data.figures.noise import Waves
from vivant.data.figures.patterns import linear
from vivant.data.figures.surface import HAIR, TRUNK, Piece, chart, cut, grown, skin_piece, vertex_normals

Random = np.random.Generator
# heights of the hairline (m, average person) from nape to forehead, by how far forward the point lies
_LINE_Z = (-0.08, -0.04, 0.0, 0.03, 0.055, 0.085, 0.11, 0.15)
_LINE_Y = (1.585, 1.605, 1.64, 1.652, 1.655, 1.70, 1.728, 1.742)
_COLOURS = np.array([(0.06, 0.05, 0.05), (0.14, 0.09, 0.07), (0.26, 0.17, 0.1), (0.42, 0.28, 0.16),
                     (0.68, 0.52, 0.32), (0.45, 0.2, 0.1), (0.82, 0.7, 0.48)])  # fmt: skip
_THICK = {"short": (0.006, 0.016), "medium": (0.018, 0.035), "afro": (0.05, 0.1), "bob": (0.014, 0.025),
          "long": (0.012, 0.022), "tail": (0.007, 0.013)}  # fmt: skip
STYLES = {"shaved": 0.08, "short": 0.27, "medium": 0.18, "afro": 0.08, "bob": 0.12, "long": 0.17, "tail": 0.1}


@dataclass(frozen=True)
class Hair:
    """``pieces`` to draw; ``colour``: linear; ``stubble`` (V,): how much of the skin shows short hair; ``words``."""

    pieces: list[Piece]
    colour: np.ndarray
    stubble: np.ndarray
    brows: np.ndarray
    words: str
    streaks: Waves = field(repr=False)


def hairline() -> np.ndarray:
    """(V,) metres above the hairline on the head, negative elsewhere; the ears are left out."""
    model = body_model()
    y, z = model.vertices[:, 1].astype(np.float64), model.vertices[:, 2].astype(np.float64)
    above = y - np.interp(z, _LINE_Z, _LINE_Y)
    above = np.where(chart().head > 0.3, above, -0.1)
    return np.minimum(above, 0.02 - 0.08 * model.tags["ears"])


def draw_hair(rng: Random, shape: Shape) -> Hair:
    """Random hair; long hair more often on women, beards on men, grey on the old."""
    long_share = 0.15 + 0.85 * shape.female
    shares = np.array([share * (long_share if name in ("bob", "long", "tail") else 1.3 - long_share if name in
                       ("shaved", "short") else 1.0) for name, share in STYLES.items()])  # fmt: skip
    style = str(rng.choice(list(STYLES), p=shares / shares.sum()))
    colour = _colour(rng, shape.age)
    above = hairline() - rng.uniform(-0.004, 0.012)
    streaks = Waves(rng, 3, 0.012, count=8)
    beard = _beard_field()
    bearded = shape.female < 0.5 and rng.random() < 0.35
    stubble = np.clip(above / 0.01, 0, 1) * (0.75 if style == "shaved" else 1.0)
    if shape.female < 0.5:
        stubble = np.maximum(stubble, np.clip(beard / 0.02, 0, 1) * (0.85 if bearded else rng.uniform(0, 0.3)))
    pieces = []
    if style != "shaved":
        pieces.append(_shell(rng, shape, above, style))
    if style in ("bob", "long"):
        pieces.append(_curtain(rng, shape, rng.uniform(0.1, 0.16) if style == "bob" else rng.uniform(0.22, 0.45)))
    if style == "tail":
        pieces.append(_tail(rng, shape))
    if bearded and rng.random() < 0.6:
        whole = skin_piece(shape, HAIR, np.full(len(beard), rng.uniform(0.003, 0.012)))
        part = cut(whole, beard)
        pieces.append(grown(part, part.tag[:, 0]))
    return Hair(pieces, colour, stubble, colour * 0.6, style + (" and beard" if bearded else ""), streaks)


def _colour(rng: Random, age: float) -> np.ndarray:
    """Linear colour: mostly dark, some fair, some red, some dyed, grey with age."""
    if rng.random() < max(0.05, 2.2 * (age - 0.75)):
        return linear(np.full(3, rng.uniform(0.45, 0.85)))
    if rng.random() < 0.06:
        from vivant.data.figures.patterns import hsv

        return linear(hsv(rng.random(), rng.uniform(0.4, 0.8), rng.uniform(0.4, 0.8)))
    chosen = _COLOURS[rng.choice(len(_COLOURS), p=[0.28, 0.24, 0.18, 0.11, 0.08, 0.05, 0.06])]
    return linear(np.clip(chosen * rng.uniform(0.85, 1.15), 0, 1))


def _shell(rng: Random, shape: Shape, above: np.ndarray, style: str) -> Piece:
    """The scalp let out: thin at the hairline, thick on the crown, uneven."""
    thick = rng.uniform(*_THICK[style])
    rise = np.clip(above / (0.02 if style != "afro" else 0.035), 0, 1)
    rough = 0.25 if style in ("medium", "afro") else 0.1
    amount = thick * np.sqrt(rise) * (1 + rough * Waves(rng, 3, 0.04)(body_model().vertices)) + 0.002
    part = cut(skin_piece(shape, HAIR, amount), above)
    return replace(grown(part, part.tag[:, 0]), open=True)


def _beard_field() -> np.ndarray:
    """(V,) metres inside the beard: cheeks, chin and upper lip, not the lips."""
    model = body_model()
    x, y, z = model.vertices.T.astype(np.float64)
    side = np.interp(np.abs(x), (0.0, 0.02, 0.03, 0.06, 0.08), (1.617, 1.617, 1.602, 1.62, 1.645))
    front = np.minimum(side - y, (z - 0.045) * 0.8)
    front = np.minimum(front, y - (1.545 + 0.1 * np.abs(x)))
    front = np.where(chart().head > 0.3, front, -0.1)
    return np.minimum(front, 0.012 - 0.04 * model.tags["lips"])


def _curtain(rng: Random, shape: Shape, length: float, around: int = 40) -> Piece:
    """Hair that hangs from the level of the brows, open in front, pushed out of the body; long hair falls behind."""
    rows = max(5, int(length / 0.025))
    head = body_model().vertices[chart().head > 0.9]
    own = shape.vertices[chart().head > 0.9]
    centre = own[:, [0, 2]].mean(0)
    level = float(own[:, 1].min() + (1.70 - head[:, 1].min()) / np.ptp(head[:, 1]) * np.ptp(own[:, 1]))
    opening = rng.uniform(1.3, 1.5)  # radians from straight ahead to the curtain's edge
    turn = np.linspace(-1, 1, around) * (np.pi - opening)  # from the middle of the back
    bare = shape.vertices[(chart().head > 0.9) & (body_model().tags["ears"] < 0.1)]
    spread = np.array([np.abs(bare[:, 0]).max(), centre[1] - bare[:, 2].min()])  # the skull without ears and nose
    thick, wave = rng.uniform(0.008, 0.02), Waves(rng, 2, 0.35)
    edge = np.clip((np.abs(turn) - (np.pi - opening - 0.5)) / 0.5, 0, 1)
    rings = np.empty((rows, around, 3))
    for row in range(rows):
        down = length * row / (rows - 1)
        behind = 1 - 0.55 * min(1.0, max(0.0, down - 0.08) / 0.1) if length > 0.2 else 1.0
        angle = 1.5 * np.pi + turn * behind
        across = np.stack([np.cos(angle), np.sin(angle)], 1)
        radius = 1 / np.sqrt((across[:, 0] / spread[0]) ** 2 + (across[:, 1] / spread[1]) ** 2)
        uneven = 1 + 0.08 * wave(np.stack([turn, np.full(around, 4 * down)], 1)) * min(1.0, down / 0.1)
        out = radius * (1 - 0.15 * min(1.0, max(0.0, down - 0.1) / 0.15)) * uneven + thick * min(1.0, down / 0.05)
        height = level - down * (1 - 0.35 * edge**2)  # the front is shorter
        rings[row] = np.column_stack([centre[0] + out * across[:, 0], height, centre[1] + out * across[:, 1]])
    clearance = 0.018 + 0.02 * (np.repeat(np.linspace(0, length, rows), around) > 0.13)
    points = _pushed_out(rings.reshape(-1, 3), shape, clearance)
    triangles = tube(points.reshape(rows, around, 3), closed=False)[:, ::-1]
    fall = np.repeat(np.linspace(0, length, rows), around)
    weights = _hanging_weights(points, shape, np.clip((fall - 0.14) / 0.16, 0, 1))
    return _hair_piece(points, triangles, weights)


def _tail(rng: Random, shape: Shape) -> Piece:
    """A bun or a tail at the back of the head."""
    own = shape.vertices[chart().head > 0.9]
    back = own[:, 2].min()
    start = np.array([0.0, own[:, 1].max() - rng.uniform(0.04, 0.11), back + 0.005])
    length = rng.uniform(0.04, 0.3)
    rows, around = 10, 16
    t = np.linspace(0, 1, rows)
    middle = start + np.stack([np.zeros(rows), -length * t**1.3, -0.05 * np.sqrt(t) * (1 + (length < 0.08))], 1)
    thick = 0.034 * np.sqrt(np.clip(t * (1 - t) * 4, 0.02, 1)) * (1.0 if length < 0.1 else 0.75)
    angle = np.linspace(0, 2 * np.pi, around, endpoint=False)
    ring = np.stack([np.cos(angle), np.zeros(around), -np.sin(angle)], 1)
    points = (middle[:, None] + thick[:, None, None] * ring).reshape(-1, 3)
    points = _pushed_out(points, shape, 0.008)
    triangles = tube(points.reshape(rows, around, 3), closed=True)
    fall = np.repeat(length * t, around)
    return _hair_piece(points, triangles, _hanging_weights(points, shape, 0.5 * np.clip((fall - 0.15) / 0.2, 0, 1)))


def _hair_piece(points: np.ndarray, triangles: np.ndarray, weights: np.ndarray) -> Piece:
    place = np.stack([points[:, 0], points[:, 2], points[:, 1]], 1)
    return Piece(points, vertex_normals(points, triangles), weights, place, np.full(len(triangles), TRUNK), triangles,
                 np.zeros((len(points), 3)), HAIR)  # fmt: skip


def _pushed_out(points: np.ndarray, shape: Shape, clearance: np.ndarray | float) -> np.ndarray:
    """Points moved along the skin's normals until they are ``clearance`` metres outside the body."""
    skin = shape.vertices
    normals = vertex_normals(skin, body_model().triangles)
    tree = cKDTree(skin)
    for _ in range(3):
        _, nearest = tree.query(points)
        depth = ((points - skin[nearest]) * normals[nearest]).sum(1)
        points = points + normals[nearest] * np.clip(clearance - depth, 0, 0.08)[:, None]
    return points


def _hanging_weights(points: np.ndarray, shape: Shape, loose: np.ndarray) -> np.ndarray:
    """Weights of the head, and ``loose`` (N,) of them of the chest and back below."""
    model = body_model()
    weights = np.zeros((len(points), len(model.joints)), np.float32)
    weights[:, model.joint["head"]] = 1 - loose
    weights[:, model.joint["spine01"]] = loose
    return weights
