"""Outfits: tops, trousers, skirts and dresses, jackets, shoes, each a piece of surface cut from the body and let out.

Heights in metres are those of the average person (1.79 m tall); the cuts follow every body.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from scipy.spatial import ConvexHull

from vivant.data.figures.body import Shape, body_model
from vivant.data.figures.drape import skirt_piece
from vivant.data.figures.noise import Waves
from vivant.data.figures.patterns import Cloth, draw_cloth, draw_colours, draw_print, linear
from vivant.data.figures.surface import (
    BOTTOM,
    JACKET,
    SHOES,
    TIGHTS,
    TOP,
    Piece,
    chart,
    cut,
    grown,
    skin_piece,
    smoothed,
    vertex_normals,
)

Random = np.random.Generator
WAIST = 1.05


@dataclass(frozen=True)
class Garment:
    """How a piece looks. ``cloth``; ``trim``: linear colour of collar, cuffs and hem, or None; ``print``: see
    :func:`draw_print`, or None; ``print_box``: x0, x1, y0, y1 on the chest; ``buttons``: a row down the front;
    ``gloss`` 0..1; ``neck``, ``hem``, ``cuff``: where the trim lies."""

    cloth: Cloth
    trim: np.ndarray | None = None
    print: np.ndarray | None = None
    print_box: tuple[float, float, float, float] = (-0.1, 0.1, 1.2, 1.4)
    buttons: bool = False
    side_stripe: np.ndarray | None = None
    gloss: float = 0.05


@dataclass(frozen=True)
class Outfit:
    """``pieces`` to draw besides the skin; ``garments`` by material; ``covered``: (V,) metres by which the skin lies
    inside a garment, negative outside; ``words``: what it is."""

    pieces: list[Piece]
    garments: dict[int, Garment]
    covered: np.ndarray
    words: dict[str, str] = field(default_factory=dict)


def neckline(kind: str) -> np.ndarray:
    """(V,) metres below the edge of a neck opening."""
    x, y, z = body_model().vertices.T.astype(np.float64)
    front = np.clip((z - 0.01) / 0.07, 0, 1)
    lift, slope, depth = {
        "crew": (0.015, 0.45, 0.0), "scoop": (0.0, 0.4, 0.06), "boat": (0.005, 0.25, 0.0), "collar": (0.03, 0.3, 0.0),
        "turtle": (0.06, 0.3, 0.0), "v": (0.015, 0.4, 0.0), "shirt": (0.03, 0.3, 0.0),
    }[kind]  # fmt: skip
    depth = depth + {"v": 0.13, "shirt": 0.07}.get(kind, 0.0) * np.clip(1 - np.abs(x) / 0.07, 0, 1)
    return np.asarray(1.512 + lift - slope * z - depth * front - y)


def sleeves(length: float) -> np.ndarray:
    """(V,) metres inside a sleeve that reaches ``length`` metres down the arm; far inside on the trunk."""
    where = chart()
    return np.asarray((length - where.reach) * where.arm + 0.08 * (1 - where.arm))


def _straps(width: float) -> np.ndarray:
    """(V,) inside straps that leave the shoulders bare."""
    x, y, _ = body_model().vertices.T.astype(np.float64)
    return np.asarray(width + 1.2 * np.maximum(0, 1.4 - y) - np.abs(x))


def draw_outfit(rng: Random, shape: Shape) -> Outfit:
    """Random clothes for a person."""
    kind = str(rng.choice(["dress", "skirt", "trousers"], p=_kinds(shape.female)))
    layered = kind != "dress" and rng.random() < 0.22
    outfit = _Rail(np.full(len(shape.vertices), -1.0))
    top, inside, words = _top(rng, shape, kind, layered)
    outfit.hang("top", top, inside, _top_look(rng, words), words)
    if kind == "trousers":
        outfit.hang("bottom", *_trousers(rng, shape), words="trousers")
        outfit.garments[BOTTOM] = _bottom_look(rng, True)
    else:
        length = rng.uniform(0.25, 0.85)
        hidden = WAIST - length + 0.09  # legs under a skirt are left out, so that no knee comes through
        if rng.random() < 0.35:
            outfit.hang("tights", *_tights(shape, hidden), words="tights")
            outfit.garments[TIGHTS] = Garment(draw_cloth(rng, ("plain",)))
        skirt = skirt_piece(rng, shape, TOP if kind == "dress" else BOTTOM, WAIST + 0.02, WAIST - length)
        outfit.hang("bottom", skirt, _under(hidden), _bottom_look(rng, False), f"{kind} of {length:.2f} m")
    if layered:
        jacket, inside = _jacket(rng, shape)
        look = Garment(
            draw_cloth(rng, ("plain", "denim", "checks", "tartan", "camouflage")), trim=_maybe_trim(rng, 0.3)
        )
        outfit.hang("jacket", jacket, np.minimum(inside, 0.0), look, "open jacket")
    if rng.random() < 0.93:
        look = Garment(draw_cloth(rng, ("plain",)), linear(draw_colours(rng, 1)[0]), gloss=rng.uniform(0.05, 0.5))
        outfit.hang("shoes", *_shoes(rng, shape, low=kind == "trousers"), look, "shoes")
    return Outfit(outfit.pieces, outfit.garments, outfit.covered, outfit.words)


def _kinds(female: float) -> np.ndarray:
    """Shares of dresses, skirts and trousers."""
    return np.array([0.25 * female, 0.2 * female, 1 - 0.45 * female])


@dataclass
class _Rail:
    """What has been chosen so far."""

    covered: np.ndarray
    pieces: list[Piece] = field(default_factory=list)
    garments: dict[int, Garment] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)

    def hang(self, name: str, piece: Piece, inside: np.ndarray, look: Garment | None = None, words: str = "") -> None:
        """Add a piece that covers the skin where ``inside`` (V,) is above 0; the first look of a material stays."""
        self.pieces.append(piece)
        self.covered = np.maximum(self.covered, inside)
        self.words[name] = words
        if look is not None:
            self.garments.setdefault(piece.material, look)


def _under(low: float) -> np.ndarray:
    """(V,) metres inside what a skirt always hides: hips and legs above ``low``."""
    y = body_model().vertices[:, 1].astype(np.float64)
    return np.minimum(np.minimum(WAIST - y, y - low), 0.4 - chart().arm) + 0.02


def _tights(shape: Shape, top: float) -> tuple[Piece, np.ndarray]:
    y = body_model().vertices[:, 1].astype(np.float64)
    inside = np.minimum(np.minimum(top - y, y - 0.06), 0.4 - chart().arm)
    return _shell(shape, inside, TIGHTS, np.full(len(y), 0.002)), inside


def _bottom_look(rng: Random, trousers: bool) -> Garment:
    kinds = ("plain", "denim", "stripes", "checks", "tartan", "camouflage", "dots", "flowers")
    stripe = linear(draw_colours(rng, 1)[0]) if trousers and rng.random() < 0.2 else None
    return Garment(draw_cloth(rng, ("plain", "denim") if rng.random() < 0.55 else kinds), side_stripe=stripe)


def _maybe_trim(rng: Random, chance: float) -> np.ndarray | None:
    return linear(draw_colours(rng, 1)[0]) if rng.random() < chance else None


def _shell(shape: Shape, values: np.ndarray, material: int, amount: np.ndarray, smooth: int = 0) -> Piece:
    """The skin where ``values`` (V,), metres inside the garment, is above 0, let out by ``amount`` (V,) metres."""
    whole = skin_piece(smoothed(shape, smooth), material, np.stack([amount, values, np.zeros_like(values)], 1))
    part = cut(whole, values)
    return replace(grown(part, part.tag[:, 0]), open=True)


def _folds(rng: Random, length: float = 0.09) -> np.ndarray:
    """(V,) -1..1, long in the direction in which cloth hangs."""
    return Waves(rng, 3, length)(body_model().vertices * np.array([1.0, 0.35, 1.0]))


def _top(rng: Random, shape: Shape, kind: str, layered: bool) -> tuple[Piece, np.ndarray, str]:
    y = body_model().vertices[:, 1].astype(np.float64)
    kinds = ("crew", "crew", "v", "scoop", "boat", "turtle", "shirt", "collar")
    neck = str(rng.choice(kinds))
    arms = [("none", -0.03), ("short", rng.uniform(0.14, 0.22)), ("half", 0.28), ("long", rng.uniform(0.46, 0.53))]
    name, length = arms[int(rng.choice(4, p=[0.12, 0.38, 0.1, 0.4]))]
    tucked = kind == "dress" or rng.random() < (0.6 if kind == "skirt" else 0.35)
    hem = WAIST - 0.03 if tucked else (rng.uniform(0.88, 0.97) if rng.random() < 0.85 else 1.1)
    inside = np.minimum(np.minimum(neckline(neck), sleeves(length)), y - hem)
    if name == "none":
        inside = np.minimum(inside, _straps(rng.uniform(0.1, 0.14)))
    loose = rng.uniform(0.0, 0.016) if rng.random() < 0.75 else rng.uniform(0.016, 0.03)
    loose = min(loose, 0.01) if layered else loose  # it must stay under the jacket
    where = chart()
    fall = (
        np.clip((1.42 - y) / 0.45, 0, 1) * (1 - where.arm) + np.clip(where.reach / max(length, 0.1), 0, 1) * where.arm
    )
    amount = 0.006 + loose * (0.3 + 0.7 * fall) + 0.25 * loose * _folds(rng)
    waist = np.clip((1.16 - y) / 0.08, 0, 1) * (1 - where.arm)  # there it must be clearly under or over what is below
    amount = np.minimum(amount, 0.005 + 0.05 * (1 - waist)) if tucked else np.maximum(amount, 0.027 * waist)
    return (
        _shell(shape, inside, TOP, np.maximum(amount, 0.004), smooth=4 + int(800 * loose)),
        inside,
        f"{neck} neck, {name} sleeves",
    )


def _top_look(rng: Random, words: str) -> Garment:
    cloth = draw_cloth(rng)
    shown = draw_print(rng) if cloth.name == "plain" and rng.random() < 0.55 else None
    half, middle = rng.uniform(0.06, 0.12), rng.uniform(1.24, 1.34)
    box = (-half, half, middle - half, middle + half)
    if rng.random() < 0.2:  # a badge over the heart
        box = (0.05, 0.1, 1.31, 1.36)
    buttons = "shirt" in words or "collar" in words
    return Garment(cloth, _maybe_trim(rng, 0.35), shown if not buttons else None, box, buttons)


def _trousers(rng: Random, shape: Shape) -> tuple[Piece, np.ndarray]:
    """Long, cropped or short trousers, tight or wide."""
    y = body_model().vertices[:, 1].astype(np.float64)
    hem = (rng.uniform(0.06, 0.1), 0.24, rng.uniform(0.5, 0.72))[int(rng.choice(3, p=[0.68, 0.1, 0.22]))]
    top = WAIST + rng.uniform(-0.05, 0.02)
    inside = np.minimum(np.minimum(top - y, y - hem), 0.4 - chart().arm)
    loose = rng.uniform(0.002, 0.02)
    flare = rng.uniform(0.0, 0.03) if rng.random() < 0.4 else 0.0
    down = np.clip((0.95 - y) / 0.8, 0, 1)
    amount = 0.006 + loose * (0.5 + 0.5 * down) + flare * down**2 + 0.25 * loose * _folds(rng)
    amount = np.maximum(amount, 0.016 * np.clip((0.3 - y) / 0.15, 0, 1))  # over the shoe
    return _shell(shape, inside, BOTTOM, amount, smooth=6), inside


def _jacket(rng: Random, shape: Shape) -> tuple[Piece, np.ndarray]:
    """Open in front, over the top."""
    x, y, z = body_model().vertices.T.astype(np.float64)
    hem = rng.uniform(0.72, 0.98)
    gap = np.abs(x) - (0.035 + rng.uniform(0.0, 0.12) * np.clip((1.3 - y) / 0.4, 0, 1))
    front = np.where((z > 0.02) & (chart().arm < 0.3), gap, 0.2)
    inside = np.minimum(np.minimum(neckline("collar"), sleeves(rng.uniform(0.45, 0.52))), np.minimum(y - hem, front))
    legs = body_model().weights[:, [body_model().joint[f"upperleg0{k}.{s}"] for k in (1, 2) for s in "LR"]].sum(1)
    inside = np.where((legs > 0.5) & (np.abs(x) < 0.03), -0.1, inside)
    amount = 0.03 + 0.012 * np.clip((1.42 - y) / 0.5, 0, 1) + 0.004 * _folds(rng)
    return _shell(shape, inside, JACKET, amount, smooth=10), inside


def _shoes(rng: Random, shape: Shape, low: bool) -> tuple[Piece, np.ndarray]:
    """The foot's convex hull, a little larger, without toes. ``low``: no boots, because trousers hang over them."""
    y = body_model().vertices[:, 1].astype(np.float64)
    top = rng.uniform(0.07, 0.09) if low or rng.random() < 0.6 else float(rng.choice([0.16, 0.36]))
    inside = np.minimum(top - y, 0.4 - chart().arm)
    piece = _shell(shape, inside, SHOES, np.full(len(y), 0.006 if top < 0.12 else 0.012))
    rest = piece.rest.copy()
    for side in (1.0, -1.0):
        mine = shape.vertices[:, 0] * side > 0
        hull = ConvexHull(shape.vertices[mine & (y < 0.08) & (chart().arm < 0.5)])
        normals, offsets = hull.equations[:, :3], hull.equations[:, 3] - 0.008
        own = np.flatnonzero(piece.rest[:, 0] * side > 0)
        middle = hull.points.mean(0)
        away = piece.rest[own] - middle
        along = away @ normals.T
        reach = np.where(along > 1e-6, -(offsets + normals @ middle) / np.maximum(along, 1e-6), np.inf).min(1)
        share = np.clip((0.09 - piece.place[own, 2]) / 0.03, 0, 1)[:, None]
        out = middle + away * reach[:, None]
        rest[own] += share * (out - piece.rest[own])
    normals = vertex_normals(rest, piece.triangles)
    tag = np.stack([piece.tag[:, 0], piece.tag[:, 1], rest[:, 1]], 1)
    return replace(piece, rest=rest + 0.005 * normals, normals=normals, tag=tag), inside
