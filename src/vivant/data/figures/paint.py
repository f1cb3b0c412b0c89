"""Colours of what is seen: skin with lips, brows and stubble, eyes, hair, cloth with trims and prints. Linear light."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vivant.data.figures.body import body_model
from vivant.data.figures.hair import Hair
from vivant.data.figures.noise import Waves
from vivant.data.figures.patterns import linear
from vivant.data.figures.surface import BOTTOM, EYES, HAIR, LEFT_LEG, RADIUS, SHOES, SKIN, TOP, TRUNK
from vivant.data.figures.wardrobe import Garment

Random = np.random.Generator
# from fair to dark, sRGB
_TONES = np.array([(246, 216, 196), (234, 195, 168), (215, 168, 134), (186, 134, 98), (150, 98, 66), (112, 70, 48),
                   (78, 50, 38)]) / 255  # fmt: skip
_IRISES = ((0.25, 0.14, 0.07), (0.15, 0.08, 0.05), (0.3, 0.42, 0.55), (0.35, 0.42, 0.25), (0.42, 0.33, 0.18))


@dataclass(frozen=True)
class Face:
    """Colours of one person's skin and face, linear; ``paint``: 0..1 how made up the lips and lids are."""

    skin: np.ndarray
    lips: np.ndarray
    iris: np.ndarray
    brow: np.ndarray
    blush: float
    paint: float
    mottle: Waves


def draw_face(rng: Random, female: float, hair: Hair) -> Face:
    """Random colours of a person."""
    at = rng.uniform(0, len(_TONES) - 1)
    low = int(at)
    tone = _TONES[low] + (at - low) * (_TONES[min(low + 1, len(_TONES) - 1)] - _TONES[low])
    skin = linear(np.clip(tone * rng.normal(1, 0.025, 3), 0, 1))
    made_up = female > 0.5 and rng.random() < 0.6
    lips = (
        skin * np.array([0.85, 0.5, 0.52])
        if not made_up
        else 0.35 * skin + 0.5 * linear((0.75, rng.uniform(0.05, 0.35), 0.25))
    )
    dark = hair.brows if at < 4 else np.minimum(hair.brows, 0.3 * skin)
    return Face(skin, np.asarray(lips), linear(_IRISES[int(rng.integers(len(_IRISES)))]), np.minimum(dark, 0.45 * skin),
                rng.uniform(0, 0.12), rng.uniform(0.4, 0.9) if made_up else 0.0, Waves(rng, 3, 0.05))  # fmt: skip


@dataclass(frozen=True)
class Seen:
    """What lies at N pixels: ``material``, ``part`` (N,); ``place`` (N, 3) and ``tag`` (N, 3) as in
    :class:`vivant.data.figures.surface.Piece`."""

    material: np.ndarray
    part: np.ndarray
    place: np.ndarray
    tag: np.ndarray

    def __getitem__(self, rows: np.ndarray) -> Seen:
        return Seen(self.material[rows], self.part[rows], self.place[rows], self.tag[rows])


def paint(seen: Seen, face: Face, hair: Hair, garments: dict[int, Garment]) -> tuple[np.ndarray, np.ndarray]:
    """Colour (N, 3) and gloss (N,) of everything."""
    colour, gloss = np.zeros((len(seen.material), 3), np.float32), np.full(len(seen.material), 0.04, np.float32)
    for material in np.unique(seen.material):
        rows = np.flatnonzero(seen.material == material)
        part = seen[rows]
        if material == SKIN:
            colour[rows], gloss[rows] = _skin(part, face, hair), 0.07
        elif material == EYES:
            colour[rows], gloss[rows] = _eyes(part, face), 0.3
        elif material == HAIR:
            colour[rows], gloss[rows] = _hair(part, hair), 0.1
        else:
            colour[rows], gloss[rows] = (
                _cloth(part, garments[int(material)], int(material)),
                garments[int(material)].gloss,
            )
    return colour, gloss


def _skin(seen: Seen, face: Face, hair: Hair) -> np.ndarray:
    x, z, y = seen.place.T
    colour = face.skin * (1 + 0.05 * face.mottle(seen.place))[:, None]
    head = np.flatnonzero((seen.part == TRUNK) & (y > 1.54))
    lips, stubble, lids = (np.clip(seen.tag[:, k], 0, 1)[:, None] for k in range(3))
    colour = colour * (1 - stubble) + (0.35 * face.skin + 0.65 * hair.colour * 1.2) * stubble
    colour = colour * (1 - 0.9 * lips) + face.lips * 0.9 * lips
    colour = colour * (1 - 0.55 * face.paint * lids)
    if len(head):
        colour[head] = _face_details(colour[head], x[head], y[head], z[head], face)
    return np.asarray(colour, np.float32)


def _face_details(colour: np.ndarray, x: np.ndarray, y: np.ndarray, z: np.ndarray, face: Face) -> np.ndarray:
    """Brows, red cheeks, dark nostrils, on pixels of the front of the head."""
    front = z > 0.07
    cheek = np.exp(-(((np.abs(x) - 0.04) / 0.018) ** 2 + ((y - 1.63) / 0.016) ** 2)) * front
    colour = colour * (1 - face.blush * cheek[:, None] * np.array([0.0, 0.8, 0.7]))
    brows = body_model().vertices[body_model().face[17:27]][:, :2]
    away = np.full(len(x), 1.0)
    points = np.stack([x, y], 1)
    for start, end in zip((*range(4), *range(5, 9)), (*range(1, 5), *range(6, 10))):
        a, b = brows[start], brows[end]
        t = np.clip(((points - a) @ (b - a)) / ((b - a) @ (b - a)), 0, 1)
        away = np.minimum(away, np.linalg.norm(points - a - t[:, None] * (b - a), axis=1))
    dark = (np.clip(1.3 - away / 0.0035, 0, 1) * front)[:, None]
    colour = colour * (1 - 0.85 * dark) + face.brow * 0.85 * dark
    nostril = np.exp(-(((np.abs(x) - 0.0075) / 0.004) ** 2 + ((y - 1.6275) / 0.003) ** 2)) * (z > 0.1)
    return np.asarray(colour * (1 - 0.7 * nostril[:, None]))


def _eyes(seen: Seen, face: Face) -> np.ndarray:
    """White, iris, pupil by the angle from the axis of the eyeball; the inner ones of the four numbers of its place."""
    model = body_model()
    x, z, y = seen.place.T
    centre = model.joints[model.joint["eye.L"]]
    aside = np.hypot(np.abs(x) - centre[0], y - centre[1])
    angle = np.arctan2(aside, z - centre[2] + 1e-6)
    colour = np.tile(linear((0.72, 0.69, 0.67)), (len(x), 1))
    colour[angle < 0.43] = face.iris
    colour[(angle < 0.47) & (angle > 0.38)] *= 0.45
    colour[angle < 0.19] = 0.005
    return colour


def _hair(seen: Seen, hair: Hair) -> np.ndarray:
    """Strands: thin streaks along the fall of the hair."""
    stretched = seen.place * np.array([1.0, 1.0, 0.12])
    return np.asarray(hair.colour * (1 + 0.28 * hair.streaks(stretched))[:, None], np.float32)


def _cloth(seen: Seen, garment: Garment, material: int) -> np.ndarray:
    a, b, along = seen.place.T
    around = np.arctan2(a, b + 1e-9) * RADIUS[seen.part]
    colour = garment.cloth(around, along)
    trunk = seen.part == TRUNK
    if garment.print is not None:
        colour = _printed(colour, a, b, along, trunk, garment)
    if garment.trim is not None and material == SHOES:
        colour[seen.tag[:, 2] < 0.018] = garment.trim
    elif garment.trim is not None:
        edge = np.clip(1.5 - seen.tag[:, 1] / 0.012, 0, 1)[:, None]
        colour = colour * (1 - edge) + garment.trim * edge
    if garment.buttons and material == TOP:
        row = trunk & (np.abs(a) < 0.011) & (b > 0.02)
        button = row & (np.abs(a) < 0.006) & (np.abs(along % 0.075 - 0.03) < 0.006)
        colour[row] *= 0.82
        colour[button] = 0.7
    if garment.side_stripe is not None and material == BOTTOM:
        outer = np.where(seen.part == LEFT_LEG, a, -a)  # the outer side of the left leg has positive a
        colour[(np.abs(np.arctan2(outer, b) - np.pi / 2) < 0.2) & (along < 0.97)] = garment.side_stripe
    return np.asarray(colour, np.float32)


def _printed(
    colour: np.ndarray, x: np.ndarray, z: np.ndarray, y: np.ndarray, trunk: np.ndarray, garment: Garment
) -> np.ndarray:
    """The print laid over the chest; its left is on the left of who looks at it."""
    assert garment.print is not None
    left, right, low, high = garment.print_box
    inside = np.flatnonzero(trunk & (z > 0) & (x > left) & (x < right) & (y > low) & (y < high))
    side = len(garment.print)
    column = ((x[inside] - left) / (right - left) * side).astype(int).clip(0, side - 1)
    row = ((high - y[inside]) / (high - low) * side).astype(int).clip(0, side - 1)
    picked = garment.print[row, column]
    colour[inside] = colour[inside] * (1 - picked[:, 3:]) + picked[:, :3] * picked[:, 3:]
    return colour
