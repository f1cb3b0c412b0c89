"""Eyeballs: a hemisphere each, textured with the photo's own sclera and iris, completed where lids hide them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from vivant.rig.anatomy import BROW_LEFT, BROW_RIGHT, LID_RING_LEFT, LID_RING_RIGHT, smoothstep
from vivant.rig.camera import DISTANCE
from vivant.rig.head import HeadModel
from vivant.rig.layers import push_pull
from vivant.rig.shape import Shape

IRIS_PATCH = 96
IRIS_REACH = 1.4  # iris radii from the centre to the edge of its patch
_IRISES = ((473, LID_RING_LEFT, BROW_LEFT), (468, LID_RING_RIGHT, BROW_RIGHT))
_IRIS_CM = (0.45, 0.75)  # radius; the detector's is off on small eyes
_BINS = 24


@dataclass(frozen=True)
class Eye:
    """One eye. ``centre`` (3,) and ``radius`` of the ball in head axes, cm.

    ``corner``: (2,) pixel of the still at the first pixel of the patches. ``sclera``: (P, P, 3) white of the eye
    without iris; ``residual``: (P, P, 3) what is missing to the photo within the lids; 0..255.
    ``lid``: (P, P, 3) plain skin of the lids, as far as it can be told from the skin around, without lashes and brow.
    ``lashes``: (3,) colour of the line that a shut lid ends in. ``iris``: (96, 96, 4) colour and opacity 0..255, over
    -1.4..1.4 iris radii. ``iris_centre`` (2,) and ``iris_radius`` in pixels of the still. ``iris_directions``: (5, 3)
    unit vectors from the ball's centre to the iris centre and its four rim points in the detector's order.
    ``opening``: height over width of the lids in the still.
    """

    centre: np.ndarray
    radius: float
    corner: np.ndarray
    sclera: np.ndarray
    residual: np.ndarray
    lid: np.ndarray
    lashes: np.ndarray
    iris: np.ndarray
    iris_centre: np.ndarray
    iris_radius: float
    iris_directions: np.ndarray
    opening: float


def make_eyes(image: np.ndarray, landmarks: np.ndarray, shape: Shape) -> tuple[Eye, Eye]:
    """The person's left and right eye in ``image`` (S, S, 3) float32."""
    parts = HeadModel.load().parts
    left, right = (
        _make_eye(image, landmarks, shape, shape.rest[parts[name]], *iris)
        for name, iris in zip(("eye_left", "eye_right"), _IRISES)
    )
    return left, right


def _make_eye(
    image: np.ndarray,
    landmarks: np.ndarray,
    shape: Shape,
    ball: np.ndarray,
    iris: int,
    ring: tuple[int, ...],
    brow: tuple[int, ...],
) -> Eye:
    low, high = ball.min(0), ball.max(0)
    radius = float((high - low)[:2].mean() / 2) * 0.985
    centre = ((low + high) / 2).astype(np.float64)
    scale = shape.placement.pixels_per_cm
    iris_centre = landmarks[iris, :2].astype(np.float64)
    rim = landmarks[iris + 1 : iris + 5, :2]
    measured = float(np.linalg.norm(rim - iris_centre, axis=1).mean())
    iris_radius = float(np.clip(measured, _IRIS_CM[0] * scale, _IRIS_CM[1] * scale))
    lids = landmarks[list(ring), :2].astype(np.float64)
    corner, part = _patch(image, lids)
    within = _polygon(lids - corner, part.shape[:2])
    visible = cv2.erode(within, np.ones((3, 3)))
    y, x = np.mgrid[: part.shape[0], : part.shape[1]]
    distance = np.hypot(x - (iris_centre - corner)[0], y - (iris_centre - corner)[1]) / iris_radius
    sclera = _sclera(part, visible * (distance > 1.12), iris_radius)
    patch = _iris_patch(part, visible, iris_centre - corner, iris_radius)
    residual = (part - _composed(sclera, patch, x, y, iris_centre - corner, iris_radius)) * cv2.dilate(
        within, np.ones((3, 3))
    )[..., None]
    lid, lashes = _lid_skin(part, within, _polygon(landmarks[list(brow), :2] - corner, part.shape[:2]), scale)
    return Eye(
        centre=centre,
        radius=radius,
        corner=corner,
        sclera=sclera.astype(np.float32),
        residual=residual.astype(np.float32),
        lid=lid,
        lashes=lashes,
        iris=patch.astype(np.float32),
        iris_centre=iris_centre,
        iris_radius=iris_radius,
        iris_directions=_directions(shape, centre, radius, iris_centre, iris_radius),
        opening=float(np.ptp(lids[:, 1]) / max(np.ptp(lids[:, 0]), 1e-6)),
    )


def _patch(image: np.ndarray, lids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A square of the picture round the lids, and the pixel it starts at; edges are repeated beyond the picture."""
    side = int(np.ceil(np.ptp(lids, axis=0).max() * 2.2)) + 4
    corner = np.floor(lids.mean(0) - side / 2)
    x, y = (np.clip(corner[k] + np.arange(side), 0, image.shape[1 - k] - 1).astype(int) for k in (0, 1))
    return corner, image[np.ix_(y, x)]


def _polygon(points: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """(H, W) float32 coverage of a polygon (N, 2) in pixels."""
    fine = np.zeros((size[0] * 4, size[1] * 4), np.uint8)
    cv2.fillPoly(fine, [np.round((points + 0.5) * 4 - 0.5).astype(np.int32)], 255)
    return cv2.resize(fine, (size[1], size[0]), interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def _sclera(part: np.ndarray, weight: np.ndarray, iris_radius: float) -> np.ndarray:
    """The white of the eye everywhere: seen pixels, continued smoothly, then the brighter half's median."""
    seen = part[weight > 0.6]
    usual = np.array([142.0, 136.0, 132.0])
    if len(seen) > 8:
        light = seen.mean(1)
        usual = np.median(seen[light >= np.median(light)], axis=0)
    support = cv2.GaussianBlur(weight.astype(np.float32), (0, 0), iris_radius * 0.5)
    support = np.clip(support * 4, 0, 1)[..., None]
    return push_pull(part, weight) * support + usual * (1 - support)


def _lid_skin(part: np.ndarray, eye: np.ndarray, brow: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Skin (P, P, 3) for a shut lid, continued from the skin around eye and brow, and the colour of its lashes (3,).

    The photo shows a narrow band of the lid, with lashes and shadow; stretched over the eye it would be streaks.
    """

    def grown(mask: np.ndarray, cm: float) -> np.ndarray:
        return cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * max(1, round(cm * scale)) + 1,) * 2))

    near_eye = grown(eye, 0.15)
    skin = 1 - np.maximum(near_eye, grown(brow, 0.06))
    light = part.mean(-1)
    usual = np.median(light[skin > 0.5]) if (skin > 0.5).any() else light.mean()
    skin = skin * (light < 1.6 * usual)  # no glints
    # a shut lid stands out of the shadow under the brow, but not into full light
    shadow, lit = (push_pull(part, skin * (light > least * usual)) for least in (0.3, 0.6))
    filled = cv2.GaussianBlur((shadow + lit) / 2, (0, 0), max(0.6, 0.25 * scale))
    rim = (near_eye > 0.5) & (cv2.erode(eye, np.ones((3, 3))) < 0.5)
    dark = part[rim][light[rim] <= np.percentile(light[rim], 15)].mean(0) if rim.any() else np.full(3, 40.0)
    lashes = np.minimum(dark, 0.45 * filled.mean((0, 1)))
    return filled.astype(np.float32), lashes.astype(np.float32)


def _iris_patch(part: np.ndarray, visible: np.ndarray, centre: np.ndarray, radius: float) -> np.ndarray:
    """(96, 96, 4): the iris' own pixels where they are seen, elsewhere the median at their distance from the centre."""
    line = np.linspace(-IRIS_REACH, IRIS_REACH, IRIS_PATCH, dtype=np.float32)
    x, y = np.meshgrid(line, line)
    at = (centre[0] + x * radius).astype(np.float32), (centre[1] + y * radius).astype(np.float32)
    colour = cv2.remap(part.astype(np.float32), *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    seen = cv2.remap(visible, *at, cv2.INTER_LINEAR)
    ring = np.clip((np.hypot(x, y) / IRIS_REACH * _BINS).astype(int), 0, _BINS - 1)
    profile, known = np.zeros((_BINS, 3)), []
    for k in range(_BINS):
        inside = colour[(seen > 0.8) & (ring == k)]
        if len(inside) > 2:
            profile[k] = np.median(inside, axis=0)
            known.append(k)
    if len(known) >= 2:
        profile = np.stack([np.interp(np.arange(_BINS), known, profile[known, c]) for c in range(3)], 1)
    else:
        profile[:] = (55, 45, 40)
    trust = (cv2.GaussianBlur(np.clip(seen, 0, 1), (0, 0), 1.5) * (seen > 0.5))[..., None]
    opacity = smoothstep(1.15, 0.95, np.hypot(x, y))[..., None] * 255
    return np.concatenate([colour * trust + profile[ring] * (1 - trust), opacity], -1)


def _composed(
    sclera: np.ndarray, iris: np.ndarray, x: np.ndarray, y: np.ndarray, centre: np.ndarray, radius: float
) -> np.ndarray:
    """The eye as it will be drawn in the still, to know what is missing to the photo."""
    across, down = (
        (np.clip((v - c) / radius / (2 * IRIS_REACH) + 0.5, 0, 1) * (IRIS_PATCH - 1)).astype(np.float32)
        for v, c in zip((x, y), centre)
    )
    drawn = np.asarray(cv2.remap(iris.astype(np.float32), across, down, cv2.INTER_LINEAR))
    opacity = drawn[..., 3:] / 255
    return sclera * (1 - opacity) + drawn[..., :3] * opacity


def _directions(
    shape: Shape, centre: np.ndarray, radius: float, iris_centre: np.ndarray, iris_radius: float
) -> np.ndarray:
    """(5, 3) where the lines of sight through iris centre and rim meet the ball, as unit vectors in head axes."""
    steps = np.array([[0, 0], [1, 0], [0, -1], [-1, 0], [0, 1]]) * iris_radius
    place = shape.placement
    far = place.points(iris_centre + steps, np.zeros(5), shape.centre)
    eye = np.array([0, 0, DISTANCE])
    ray = (far - eye) / np.linalg.norm(far - eye, axis=1, keepdims=True)
    to_centre = place.seen(centre) - eye
    along = ray @ to_centre
    half = np.sqrt(np.maximum(radius**2 - (to_centre @ to_centre - along**2), 0))
    met = eye + ray * (along - half)[:, None]
    found = (met - place.seen(centre)) @ place.rotation
    unit: np.ndarray = found / np.linalg.norm(found, axis=1, keepdims=True)
    return unit


def gaze_turn(right: float, down: float) -> np.ndarray:
    """(3, 3) turn of an eyeball in head axes by angles in radians."""
    (sy, sp), (cy, cp) = np.sin([right, -down]), np.cos([right, -down])
    return np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]]) @ np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])


def hemisphere(rings: int = 20, spokes: int = 28) -> tuple[np.ndarray, np.ndarray]:
    """Unit directions (N, 3) float32 of the half that looks out of the face, and triangles (T, 3) int32."""
    angle = np.linspace(0, np.radians(88), rings)[1:]
    around = np.linspace(0, 2 * np.pi, spokes, endpoint=False)
    a, b = (part.ravel() for part in np.meshgrid(angle, around, indexing="ij"))
    points = np.stack([np.sin(a) * np.cos(b), np.sin(a) * np.sin(b), np.cos(a)], 1)
    ring = np.arange(spokes)
    following = (ring + 1) % spokes
    triangles = [np.stack([np.zeros_like(ring), 1 + ring, 1 + following], 1)]
    for k in range(rings - 2):
        inner, outer = 1 + k * spokes, 1 + (k + 1) * spokes
        triangles.append(np.stack([inner + ring, outer + ring, inner + following], 1))
        triangles.append(np.stack([inner + following, outer + ring, outer + following], 1))
    return np.concatenate([[[0, 0, 1]], points]).astype(np.float32), np.concatenate(triangles).astype(np.int32)
