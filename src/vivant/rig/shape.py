"""From a fitted head to one whose projection lies exactly on the landmarks: residual field, lips that close, lids that
close."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.spatial.distance import cdist

from vivant.rig.anatomy import LID_RING_LEFT, LID_RING_RIGHT, Edge, anatomy, smoothstep
from vivant.rig.camera import DISTANCE, Placement
from vivant.rig.fit import HeadFit, dense_pairs
from vivant.rig.head import HeadModel
from vivant.rig.motion import expression_vector

_LARGEST = 0.9  # cm; longer residuals are mistakes of the detector
_LID_MARGIN = (-0.05, 0.03)  # cm by which upper and lower lids are moved off the iris, so that no iris sticks to a lid
_OVERLAP = 0.035  # cm by which sealed lips press into each other
LIP_REACH = 0.5  # cm; how far from the rim the skin follows a correction of the lips
# anchors of the residual field: round the head and on the neck nothing is corrected
_ANCHORS = [(x, y, z) for x in (-14, 0, 14) for y in (-20, 18) for z in (-8, 6)]
_ANCHORS += [(-11, 2, -3), (11, 2, -3), (0, 2, -10), (0, -16, 4), (-9, -14, 3), (9, -14, 3), (0, 15, 0)]


@dataclass(frozen=True)
class LidClosure:
    """What makes a blink of one eye shut: added to (N, 3) vertices ``upper`` and ``lower`` times the square of how far
    the blink goes beyond the still's own."""

    unit: int
    upper: Edge
    upper_move: np.ndarray
    lower: Edge
    lower_move: np.ndarray


@dataclass(frozen=True)
class Shape:
    """A person's head. Vertices with an expression e are ``rest + ((e - expression) @ head.expression) * loose``.

    ``rest``: (V, 3) float32 in cm, as in the still. ``loose``: (V, 1) float32, 0 where glasses keep the skin stiff.
    ``expression``: (E,) of the still. ``placement``: of the still. ``seen``: (V, 3) float32 rest in camera axes.
    ``pixels``: (V, 2) float32 where the still shows each vertex. ``gap``: opening of the lips in the still, cm.
    ``lids``: closures of both eyes.
    """

    rest: np.ndarray
    loose: np.ndarray
    expression: np.ndarray
    placement: Placement
    centre: np.ndarray
    seen: np.ndarray
    pixels: np.ndarray
    gap: float
    lids: tuple[LidClosure, LidClosure]


def exact_shape(fit: HeadFit, landmarks: np.ndarray, centre: np.ndarray, stiff: np.ndarray | None = None) -> Shape:
    """The fitted head corrected to lie on landmarks (478, 2 or 3); ``stiff`` (V,) skin that expressions do not move."""
    head, place = HeadModel.load(), fit.placement
    fitted = head.vertices(fit.identity, fit.expression).astype(np.float64)
    moved = fitted + _residual_move(fitted, place, landmarks, centre)
    gap = _lip_gap(landmarks, place)
    moved += _lip_seal(moved, gap) + _mouth_setback(head)
    seen = place.seen(moved)
    pixels = place.pixels(seen, centre)
    loose = np.ones((len(moved), 1), np.float32) if stiff is None else (1 - stiff[:, None]).astype(np.float32)
    return Shape(
        rest=moved.astype(np.float32),
        loose=loose,
        expression=fit.expression.astype(np.float32),
        placement=place,
        centre=centre,
        seen=seen.astype(np.float32),
        pixels=pixels.astype(np.float32),
        gap=gap,
        lids=_lid_closures(moved.astype(np.float32), fit.expression.astype(np.float32), loose, head),
    )


def _residual_move(vertices: np.ndarray, place: Placement, landmarks: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """(V, 3) move in head axes, at unchanged depth, that carries the pairs onto the landmarks."""
    pairs = dense_pairs(landmarks)
    seen = place.seen(vertices)
    pixels = place.pixels(seen, centre)
    missing = _with_lid_margin(pairs.pixels, landmarks, place) - pixels[pairs.vertices]
    length = np.linalg.norm(missing, axis=1, keepdims=True)
    missing *= np.minimum(1, _LARGEST * place.pixels_per_cm / np.maximum(length, 1e-6))
    shift = residual_field() @ missing.astype(np.float32)
    return place.back(place.points(pixels + shift, seen[:, 2], centre)) - vertices


def _with_lid_margin(targets: np.ndarray, landmarks: np.ndarray, place: Placement) -> np.ndarray:
    targets, points = targets.copy(), anatomy().points
    for ring in (LID_RING_LEFT, LID_RING_RIGHT):
        middle = landmarks[list(ring), 1].mean()
        for row in np.flatnonzero(np.isin(points, ring)):
            targets[row, 1] += _LID_MARGIN[int(targets[row, 1] >= middle)] * place.pixels_per_cm
    return targets


@cache
def residual_field() -> np.ndarray:
    """(V, 462) float32: what a residual at each pair moves. A linear radial kernel with a constant term and a ridge, in
    a domain where lips and lids are wide open, so that upper and lower ones do not share residuals."""
    head, body = HeadModel.load(), anatomy()
    apart = expression_vector({"jawOpen": 0.9, "eyeWide": 0.8})
    domain = head.vertices(np.zeros(100), apart).astype(np.float64)
    centres = np.concatenate([domain[body.vertices], np.array(_ANCHORS, np.float64)])
    count = len(centres)
    system = np.zeros((count + 1, count + 1))
    system[:count, :count] = 0.1 * np.eye(count) - cdist(centres, centres)
    system[:count, count] = system[count, :count] = 1
    known = np.eye(count + 1)[:, : len(body.vertices)]
    solution = np.linalg.solve(system, known)
    kernel = np.concatenate([-cdist(domain, centres), np.ones((len(domain), 1))], 1)
    field: np.ndarray = (kernel @ solution).astype(np.float32)
    inner = slice(head.parts["gums"].start, head.parts["teeth"].stop)
    for rigid in (head.parts["eye_left"], head.parts["eye_right"], inner):  # these move as wholes
        field[rigid] = field[rigid].mean(0)
    return field


def _lip_gap(landmarks: np.ndarray, place: Placement) -> float:
    across = landmarks[[82, 13, 312], :2] - landmarks[[87, 14, 317], :2]
    return float(np.linalg.norm(across, axis=1).max() / place.pixels_per_cm)


def _lip_seal(vertices: np.ndarray, gap: float) -> np.ndarray:
    """(V, 3) move that brings the rims of closed lips to one curve; the model's neutral lips stand apart."""
    body = anatomy()
    upper, lower = body.upper_lip, body.lower_lip
    above, below = vertices[upper.rim], vertices[lower.rim]
    move = np.zeros_like(vertices)
    down = 0.5 * (lower.at(upper.along) @ below - above)
    down[:, 1] -= _OVERLAP * np.sin(np.pi * upper.along)
    up = 0.5 * (upper.at(lower.along) @ above - below)
    for edge, change in ((upper, down), (lower, up)):
        move[edge.skin] = change[edge.nearest] * np.exp(-((edge.distance / LIP_REACH) ** 2))[:, None]
    return move * float(smoothstep(0.30, 0.12, gap))


def _mouth_setback(head: HeadModel) -> np.ndarray:
    """(V, 3) by which teeth and mouth stand behind the lips: the model's own teeth touch them."""
    move = np.zeros((len(head.neutral), 3), np.float32)
    inner = np.arange(head.parts["gums"].start, head.parts["teeth"].stop)
    jaw = np.abs(head.expression[head.expression_names.index("jawOpen"), inner]).max(1)
    move[inner, 2] = -0.45
    move[inner[jaw < 0.3], 1] = -0.10  # upper teeth
    move[head.parts["socket"], 2] = -0.15
    return move


def _lid_closures(
    rest: np.ndarray, expression: np.ndarray, loose: np.ndarray, head: HeadModel
) -> tuple[LidClosure, LidClosure]:
    found = []
    for unit, (upper, lower) in zip(("eyeBlink_L", "eyeBlink_R"), anatomy().lids):
        row = head.expression_names.index(unit)
        shut = rest + (1.0 - expression[row]) * head.expression[row] * loose
        above, below = shut[upper.rim], shut[lower.rim]
        middle = np.clip(np.sin(np.pi * upper.along), 0, 1) ** 0.5  # the corners stay
        open_above, open_below = lower.at(upper.along) @ below - above, upper.at(lower.along) @ above - below
        down = 0.85 * open_above
        down[:, 0] = rest[upper.rim, 0] - above[:, 0]  # straight down, or points of both lids part sideways
        down[:, 1] -= 0.09 * middle
        down[:, 2] = 0.5 * open_above[:, 2] + 0.05  # over the lower lid, not into it
        up = 0.15 * open_below
        up[:, 0] = rest[lower.rim, 0] - below[:, 0]
        up[:, 2] = 0
        found.append(
            LidClosure(
                row,
                upper,
                down[upper.nearest] * np.exp(-((upper.distance / 0.5) ** 2))[:, None],
                lower,
                up[lower.nearest] * np.exp(-((lower.distance / 0.35) ** 2))[:, None],
            )
        )
    return found[0], found[1]


@cache
def stiff_skin() -> np.ndarray:
    """(V,) where glasses sit and nothing bends: from above the brows' lower edge to the cheeks, without the lids."""
    head, body = HeadModel.load(), anatomy()
    eyes = head.neutral[[*body.lids[0][0].rim, *body.lids[1][0].rim]]
    x, y, z = head.neutral.T
    stiff = smoothstep(1.8, 1.2, y - eyes[:, 1].mean()) * smoothstep(-2.8, -2.0, y - eyes[:, 1].mean())
    stiff *= smoothstep(9.0, 8.0, np.abs(x)) * smoothstep(0.0, 2.0, z)
    for edge in (edge for pair in body.lids for edge in pair):
        stiff[edge.skin] *= smoothstep(0.3, 0.8, edge.distance)
    result: np.ndarray = stiff.astype(np.float32)
    return result


def depth_offset(place: Placement, seen: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """(N, 3) move in head axes that sets points (N, 3) in camera axes to z = ``depth`` (N,) on their own pixels."""
    scale = (DISTANCE - depth) / (DISTANCE - seen[:, 2])
    target = np.stack([seen[:, 0] * scale, seen[:, 1] * scale, depth], 1)
    return (target - seen) @ place.rotation
