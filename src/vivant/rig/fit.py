"""Fits the head to landmarks of one picture: Gauss-Newton with an analytic Jacobian over placement, identity and
expression, robust weights and Gaussian priors."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from vivant.rig.anatomy import anatomy
from vivant.rig.camera import DISTANCE, FACE_DEPTH, Placement
from vivant.rig.head import HeadModel
from vivant.rig.motion import EXPRESSION_NAMES

# fmt: off
IBUG_POINTS = (
    162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389, 71, 63, 105, 66, 107, 336, 296,
    334, 293, 301, 168, 197, 5, 4, 75, 97, 2, 326, 305, 33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380, 61,
    39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87,
)
IBUG_VERTICES = (
    1225, 1888, 1052, 367, 1719, 1722, 2199, 1447, 966, 3661, 4390, 3927, 3924, 2608, 3272, 4088, 3443, 268, 493, 1914,
    2044, 1401, 3615, 4240, 4114, 2734, 2509, 978, 4527, 4942, 4857, 1140, 2075, 1147, 4269, 3360, 1507, 1542, 1537,
    1528, 1518, 1511, 3742, 3751, 3756, 3721, 3725, 3732, 5708, 5695, 2081, 0, 4275, 6200, 6213, 6346, 6461, 5518, 5957,
    5841, 5702, 5711, 5533, 6216, 6207, 6470, 5517, 5966,
)
# fmt: on
"""The 68 iBUG points in the detector's mesh, and the head's own vertices for them."""
_IBUG_TRUST = np.r_[np.full(17, 0.15), np.ones(51)]  # the jaw's outline is not the same points of the skin at a turn
_ROBUST = 0.8  # cm; residuals beyond count less and less
_HIGHEST = 1.2  # of an expression unit
_STEALING = {"cheekPuff": 0.25, "mouthLeft": 0.4, "mouthRight": 0.4, "jawLeft": 0.5, "jawRight": 0.5}
_STEALING |= {"jawForward": 0.5, "noseSneer": 0.6}  # units that explain identity if their prior is not tighter
FITTED = np.array([i for i, name in enumerate(EXPRESSION_NAMES) if not name.startswith("eyeLook")])
_TIGHTNESS = np.array([_STEALING.get(EXPRESSION_NAMES[i].split("_")[0], 1.0) for i in FITTED])


@dataclass(frozen=True)
class Pairs:
    """N landmarks ``pixels`` (N, 2), their ``vertices`` (N,) and ``trust`` (N,) in 0..1; ``noise`` is their usual
    distance in cm."""

    pixels: np.ndarray
    vertices: np.ndarray
    trust: np.ndarray
    noise: float


@dataclass(frozen=True)
class HeadFit:
    """A fitted head. ``identity`` (100,), ``expression`` (E,), ``residual``: mean distance of the pairs in cm."""

    placement: Placement
    identity: np.ndarray
    expression: np.ndarray
    residual: float


@dataclass(frozen=True)
class Prior:
    """Standard deviations, and the expression (E,) that it is pulled to besides zero (by ``pull``), if any."""

    identity: float = 1.0
    expression: float = 0.35
    towards: np.ndarray | None = None
    pull: float = 0.25


def ibug_pairs(landmarks: np.ndarray) -> Pairs:
    """68 pairs, enough to find the placement from nothing."""
    return Pairs(landmarks[list(IBUG_POINTS), :2].astype(np.float64), np.array(IBUG_VERTICES), _IBUG_TRUST, 0.15)


def dense_pairs(landmarks: np.ndarray) -> Pairs:
    """462 pairs of the whole mesh."""
    body = anatomy()
    return Pairs(landmarks[body.points, :2].astype(np.float64), body.vertices, body.trust, 0.12)


def fit_head(landmarks: np.ndarray, centre: np.ndarray) -> HeadFit:
    """The head of one picture, from landmarks (478, 2 or 3) in its pixels; ``centre`` (2,) is its middle."""
    rough = solve(ibug_pairs(landmarks), centre, start(landmarks, centre), iterations=6)
    return solve(dense_pairs(landmarks), centre, rough, iterations=10)


def start(landmarks: np.ndarray, centre: np.ndarray) -> HeadFit:
    """A head that looks straight ahead, as large and where the landmarks are."""
    pairs = ibug_pairs(landmarks)
    rest = HeadModel.load().neutral[pairs.vertices, :2].astype(np.float64)
    middle = pairs.pixels.mean(0)
    size = np.linalg.norm(pairs.pixels - middle, axis=1).mean() / np.linalg.norm(rest - rest.mean(0), axis=1).mean()
    shift = (middle - centre) / size * [1, -1] - rest.mean(0)
    placement = Placement(np.eye(3), shift, float(np.log(max(size, 1e-3) * (DISTANCE - FACE_DEPTH))))
    return HeadFit(placement, np.zeros(100), np.zeros(len(EXPRESSION_NAMES)), np.inf)


def solve(
    pairs: Pairs,
    centre: np.ndarray,
    first: HeadFit,
    iterations: int,
    prior: Prior | None = None,
    fixed_identity: bool = False,
) -> HeadFit:
    """``iterations`` Gauss-Newton steps from ``first``. Expressions stay in 0..1.2, identities in -3..3."""
    prior, head = prior or Prior(), HeadModel.load()
    identity_basis = head.identity[:, pairs.vertices].transpose(1, 2, 0).astype(np.float64)
    expression_basis = head.expression[np.ix_(FITTED, pairs.vertices)].transpose(1, 2, 0).astype(np.float64)
    rest = head.neutral[pairs.vertices].astype(np.float64)
    if fixed_identity:
        rest, identity_basis = rest + identity_basis @ first.identity, identity_basis[..., :0]
    system = _System(pairs, centre, prior, identity_basis, expression_basis, rest)
    placement, identity, expression = first.placement, first.identity.copy(), first.expression[FITTED].copy()
    free_identity = identity[: identity_basis.shape[2]]
    for _ in range(iterations):
        step = system.step(placement, free_identity, expression)
        placement = _stepped(placement, step[:6])
        expression = np.clip(expression + step[6 : 6 + len(FITTED)], 0, _HIGHEST)
        free_identity = np.clip(free_identity + step[6 + len(FITTED) :], -3, 3)
    if not fixed_identity:
        identity = free_identity
    whole = np.zeros(len(EXPRESSION_NAMES))
    whole[FITTED] = expression
    return HeadFit(placement, identity, whole, system.residual(placement, free_identity, expression))


def _stepped(placement: Placement, step: np.ndarray) -> Placement:
    rotation = cv2.Rodrigues(step[:3])[0] @ placement.rotation
    return Placement(rotation, placement.shift + step[3:5], placement.log_focal + float(step[5]))


@dataclass(frozen=True)
class _System:
    """The least-squares problem. Unknowns: turn (3), shift (2), log focal, expression, identity."""

    pairs: Pairs
    centre: np.ndarray
    prior: Prior
    identity_basis: np.ndarray
    expression_basis: np.ndarray
    rest: np.ndarray

    def shape(self, identity: np.ndarray, expression: np.ndarray) -> np.ndarray:
        """(N, 3) vertices of the pairs."""
        return self.rest + self.identity_basis @ identity + self.expression_basis @ expression

    def residual(self, placement: Placement, identity: np.ndarray, expression: np.ndarray) -> float:
        """Mean distance of the pairs in cm."""
        pixels = placement.pixels(placement.seen(self.shape(identity, expression)), self.centre)
        return float(np.linalg.norm(pixels - self.pairs.pixels, axis=1).mean() / placement.pixels_per_cm)

    def step(self, placement: Placement, identity: np.ndarray, expression: np.ndarray) -> np.ndarray:
        """The Gauss-Newton step, expressions kept from going below zero."""
        turned = self.shape(identity, expression) @ placement.rotation.T
        points = turned + placement.offset
        missing = self.pairs.pixels - placement.pixels(points, self.centre)
        distance = np.linalg.norm(missing, axis=1) / placement.pixels_per_cm
        weight = np.sqrt(self.pairs.trust / (1 + (distance / _ROBUST) ** 2))
        weight /= self.pairs.noise * placement.pixels_per_cm
        J = self._jacobian(placement, turned, points) * weight[:, None, None]
        J, r = J.reshape(2 * len(J), -1), (missing * weight[:, None]).reshape(-1)
        H, g = J.T @ J, J.T @ r
        H[range(6), range(6)] += 1e-6
        self._add_priors(H, g, identity, expression)
        return _bounded(H, g, expression)

    def _jacobian(self, placement: Placement, turned: np.ndarray, points: np.ndarray) -> np.ndarray:
        """(N, 2, unknowns) slopes of the pixels."""
        focal, depth = np.exp(placement.log_focal), DISTANCE - points[:, 2:]
        x, y, z = turned.T
        zero = np.zeros_like(x)
        turns = np.stack([np.stack(row, 1) for row in ((zero, z, -y), (-z, zero, x), (y, -x, zero))], 1)
        shifts = np.zeros((len(points), 3, 2))
        shifts[:, 0, 0] = shifts[:, 1, 1] = 1
        rotated = [
            np.einsum("ij,njk->nik", placement.rotation, b) for b in (self.expression_basis, self.identity_basis)
        ]
        moves = np.concatenate([turns, shifts, np.zeros((len(points), 3, 1)), *rotated], 2)
        u = focal * (moves[:, 0] / depth + points[:, :1] * moves[:, 2] / depth**2)
        v = -focal * (moves[:, 1] / depth + points[:, 1:2] * moves[:, 2] / depth**2)
        slopes = np.stack([u, v], 1)
        slopes[:, :, 5] = placement.pixels(points, self.centre) - self.centre
        return slopes

    def _add_priors(self, H: np.ndarray, g: np.ndarray, identity: np.ndarray, expression: np.ndarray) -> None:
        rows = np.arange(6, 6 + len(FITTED))
        strength = 1 / (self.prior.expression * _TIGHTNESS) ** 2
        H[rows, rows] += strength
        g[rows] -= expression * strength
        if self.prior.towards is not None:
            H[rows, rows] += 1 / self.prior.pull**2
            g[rows] -= (expression - self.prior.towards[FITTED]) / self.prior.pull**2
        rows = np.arange(6 + len(FITTED), len(H))
        H[rows, rows] += 1 / self.prior.identity**2
        g[rows] -= identity / self.prior.identity**2


def _bounded(H: np.ndarray, g: np.ndarray, expression: np.ndarray) -> np.ndarray:
    """Solve H step = g with expression + step >= 0: units that would go below are set to zero and the rest is solved
    again (an active set that only grows within the step)."""
    held = np.zeros(len(g), bool)
    rows = slice(6, 6 + len(FITTED))
    step = np.zeros(len(g))
    for _ in range(6):
        step[:] = 0
        step[held] = -expression[held[rows]]
        free = ~held
        step[free] = np.linalg.solve(H[np.ix_(free, free)], g[free] - H[np.ix_(free, held)] @ step[held])
        below = np.zeros(len(g), bool)
        below[rows] = (expression + step[rows] < -1e-6) & ~held[rows]
        if not below.any():
            break
        held |= below
    return step
