"""Frames of a dressed person: posing, drawing, light with cast shadows, the place behind. On the CPU, in numpy and the
rasteriser of the photo rig.

Axis letters: F frames, V vertices, T triangles, H W pixels, N pixels that show the person.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from vivant.data.figures.body import Shape, body_model, joint_transforms, skinning
from vivant.data.figures.hair import Hair
from vivant.data.figures.paint import Face, Seen, paint
from vivant.data.figures.posing import Plan, solve
from vivant.data.figures.scene import Camera, Light
from vivant.data.figures.surface import EYES, HAIR, SKIN, TRUNK, Piece, skin_piece
from vivant.data.figures.wardrobe import Garment, Outfit
from vivant.rig.raster import rasterize

_SHADOW = 384  # pixels of the shadow map
_BATCH = 8  # frames posed at once
_SKIN_MARGIN = 0.018  # metres of skin kept under the edge of a garment
BACKGROUND, BODY_SKIN, HEAD_SKIN, HAIR_REGION, FIRST_GARMENT = range(5)
"""Regions told: garments follow in the order TOP, BOTTOM, JACKET, SHOES, TIGHTS."""


@dataclass(frozen=True)
class Figure:
    """All pieces of a person in one mesh; the skin comes first, with all V vertices of the body in their order."""

    shape: Shape
    rest: np.ndarray
    normals: np.ndarray
    weights: np.ndarray
    carried: np.ndarray
    triangles: np.ndarray
    material: np.ndarray
    part: np.ndarray
    open: np.ndarray
    face: Face
    hair: Hair
    garments: dict[int, Garment]


def assemble(shape: Shape, outfit: Outfit, hair: Hair, face: Face) -> Figure:
    """Put a person together; skin that clothes hide is left out."""
    model = body_model()
    tags = np.stack([model.tags["lips"], hair.stubble, model.tags["lids"]], 1)
    skin = skin_piece(shape, SKIN, tags)
    shown = (outfit.covered[skin.triangles] < _SKIN_MARGIN).any(1)
    eyes = _eye_triangles(skin)
    pieces: list[Piece] = [skin, *outfit.pieces, *hair.pieces]
    first = np.cumsum([0, *(len(piece.rest) for piece in pieces)])
    materials = [np.full(len(piece.triangles), piece.material) for piece in pieces]
    materials[0][eyes] = EYES
    keep = np.concatenate([shown, np.ones(sum(len(piece.triangles) for piece in pieces[1:]), bool)])

    def all_of(values: list[np.ndarray]) -> np.ndarray:
        return np.concatenate(values)[keep]

    return Figure(
        shape,
        np.concatenate([piece.rest for piece in pieces]).astype(np.float32),
        np.concatenate([piece.normals for piece in pieces]).astype(np.float32),
        np.concatenate([piece.weights for piece in pieces]).astype(np.float32),
        np.concatenate([np.concatenate([piece.place, piece.tag], 1) for piece in pieces]).astype(np.float32),
        all_of([piece.triangles + start for piece, start in zip(pieces, first)]).astype(np.int32),
        all_of(materials),
        all_of([piece.part for piece in pieces]),
        all_of([np.full(len(piece.triangles), piece.open) for piece in pieces]),
        face, hair, outfit.garments,
    )  # fmt: skip


def _eye_triangles(skin: Piece) -> np.ndarray:
    model = body_model()
    eye = skin.weights[:, [model.joint["eye.L"], model.joint["eye.R"]]].sum(1) > 0.9
    return np.asarray(eye[skin.triangles].all(1))


@dataclass(frozen=True)
class Posed:
    """One frame in the room, float32: ``vertices``, ``normals`` (V, 3), ``joints`` (J, 3)."""

    vertices: np.ndarray
    normals: np.ndarray
    joints: np.ndarray


def posed(figure: Figure, plan: Plan) -> Iterator[Posed]:
    """The figure in every frame of a plan."""
    model = body_model()
    turns, root = solve(figure.shape, plan)
    transforms = joint_transforms(figure.shape.joints, model.parents, turns, root)
    joints = np.einsum("fjab,jb->fja", transforms[..., :3], figure.shape.joints) + transforms[..., 3]
    moves = np.zeros((len(plan), len(model.action_vertices), 3), np.float32)
    for name, amount in plan.actions.items():
        moves += amount[:, None, None].astype(np.float32) * model.actions[name]
    for start in range(0, len(plan), _BATCH):
        blended = skinning(figure.weights, transforms[start : start + _BATCH])
        for offset, matrix in enumerate(blended):
            rest = figure.rest.copy()
            rest[model.action_vertices] += moves[start + offset]
            turn = matrix[:, :, :3]
            vertices = (turn @ rest[..., None])[..., 0] + matrix[:, :, 3]
            normals = (turn @ figure.normals[..., None])[..., 0]
            yield Posed(vertices, _unit(normals), joints[start + offset].astype(np.float32))


@dataclass(frozen=True)
class Set:
    """What stays the same in all frames: ``camera``, ``light``, the ``place`` (H, W, 3) linear and where its pixels lie
    in the room (H, W, 3), and the box of the room, ``low`` and ``high`` (3,), that the shadow map covers."""

    camera: Camera
    light: Light
    place: np.ndarray
    points: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True)
class Frame:
    """``image`` (H, W, 3) uint8 RGB; ``regions`` (H, W) uint8; ``depth`` (H, W) float32 metres, inf where nobody is."""

    image: np.ndarray
    regions: np.ndarray
    depth: np.ndarray


class Renderer:
    """Draws one figure on one set."""

    def __init__(self, figure: Figure, scenery: Set, occlusion: np.ndarray, supersample: int = 2) -> None:
        """``occlusion`` (V,): how open each vertex is to the sky, see :func:`openness`."""
        self.figure, self.set, self.scale = figure, scenery, supersample
        camera = scenery.camera
        self.size = camera.size[0] * supersample, camera.size[1] * supersample
        self._camera = Camera(camera.turn, camera.place, camera.focal * supersample, self.size)
        self._lamp = _Lamp(scenery)
        self._floor = self._lamp.coordinates(scenery.points.reshape(-1, 3)).reshape(*camera.size, 3)
        self._open = occlusion.astype(np.float32)

    def draw(self, frame: Posed) -> Frame:
        """One frame."""
        figure = self.figure
        shadow = self._lamp.depth(frame.vertices, figure.triangles)
        pixels, away = self._camera.project(frame.vertices)
        rows = self._facing(pixels)
        hits = rasterize(
            _tensor(pixels[None]), _tensor(-away[None]), torch.from_numpy(figure.triangles[rows]), *self.size
        )
        seen = hits.triangle[0].numpy().reshape(-1)
        where = np.flatnonzero(seen >= 0)
        triangle = rows[seen[where]]
        carried = np.concatenate(
            [frame.vertices, frame.normals, figure.carried, self._open[:, None], away[:, None]], 1, dtype=np.float32
        )
        values = hits.interpolate(_tensor(carried[None]))[0].numpy().reshape(carried.shape[1], -1)[:, where].T
        look = Seen(figure.material[triangle], figure.part[triangle], values[:, 6:9], values[:, 9:12])
        colour, gloss = paint(look, figure.face, figure.hair, figure.garments)
        lit = self._shade(values, colour, gloss, shadow)
        return self._composed(where, lit, look, values[:, 13], shadow)

    def _facing(self, pixels: np.ndarray) -> np.ndarray:
        """Triangles that face the camera or are open."""
        a, b, c = (pixels[self.figure.triangles[:, k]] for k in range(3))
        area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (c[:, 0] - a[:, 0]) * (b[:, 1] - a[:, 1])
        return np.flatnonzero((area < 0) | self.figure.open)

    def _shade(self, values: np.ndarray, colour: np.ndarray, gloss: np.ndarray, shadow: np.ndarray) -> np.ndarray:
        """(N, 3) linear light of pixels with position, normal, ... , openness, depth in ``values`` (N, 14)."""
        light = self.set.light
        position, normal = values[:, :3], values[:, 3:6]
        normal, view = _unit(normal), _unit(self.set.camera.place.astype(np.float32) - position)
        inside = np.einsum("nk,nk->n", normal, view) < 0
        normal[inside] *= -1  # the inner side of open pieces
        towards = light.towards.astype(np.float32)
        facing = normal @ towards
        reached = self._lamp.reached(self._lamp.coordinates(position + 0.012 * normal), shadow)
        diffuse = np.clip((facing + 0.15) / 1.15, 0, 1) * reached
        mirrored = np.einsum("nk,nk->n", normal, _unit(view + towards))
        shine = gloss * np.clip(mirrored, 0, 1) ** 24 * reached
        up = (normal[:, 1:2] + 1) / 2
        around = (light.ground + up * (light.sky - light.ground)) * values[:, 12:13]
        return np.asarray(colour * (diffuse[:, None] * light.key + around) + shine[:, None] * light.key)

    def _composed(self, where: np.ndarray, lit: np.ndarray, look: Seen, away: np.ndarray, shadow: np.ndarray) -> Frame:
        height, width = self.set.camera.size
        k = self.scale
        big = np.zeros((self.size[0] * self.size[1], 4), np.float32)
        big[where, :3], big[where, 3] = lit, 1
        small = cv2.resize(big.reshape(*self.size, 4), (width, height), interpolation=cv2.INTER_AREA)
        reached = self._lamp.soft(self._floor, shadow)
        place = self.set.place * (0.5 + 0.5 * reached)[..., None]
        mixed = small[..., :3] + (1 - small[..., 3:]) * place
        image = np.clip(mixed, 0, 1) ** np.float32(1 / 2.2)
        regions, depth = np.zeros(big.shape[0], np.uint8), np.full(big.shape[0], np.inf, np.float32)
        regions[where], depth[where] = _regions(look), away
        pick = slice(k // 2, None, k)
        return Frame(
            (image * 255 + 0.5).astype(np.uint8), regions.reshape(self.size)[pick, pick].copy(),
            depth.reshape(self.size)[pick, pick].copy(),
        )  # fmt: skip


def _regions(look: Seen) -> np.ndarray:
    table = np.zeros(8, np.uint8)
    table[SKIN], table[EYES], table[HAIR] = BODY_SKIN, HEAD_SKIN, HAIR_REGION
    table[HAIR + 1 :] = FIRST_GARMENT + np.arange(5)
    regions = table[look.material]
    regions[(look.material == SKIN) & (look.part == TRUNK) & (look.place[:, 2] > 1.545)] = HEAD_SKIN
    return regions


class _Lamp:
    """A lamp far away: what lies nearest to it along each of its rays."""

    def __init__(self, scenery: Set) -> None:
        towards = scenery.light.towards
        right = np.cross([0.0, 1.0, 0.0], towards)
        right /= np.linalg.norm(right)
        axes = np.stack([right, np.cross(towards, right), towards])
        box = np.stack(np.meshgrid(*np.stack([scenery.low, scenery.high], 1)), -1).reshape(-1, 3) @ axes.T
        low, high = box.min(0), box.max(0)
        scale = np.array([*((_SHADOW - 1) / (high - low)[:2]), 1.0])
        self._matrix, self._shift = (axes * scale[:, None]).astype(np.float32), (-low * scale).astype(np.float32)

    def coordinates(self, points: np.ndarray) -> np.ndarray:
        """(..., 3) column and row of the shadow map, and the height towards the lamp."""
        return np.asarray(points.astype(np.float32) @ self._matrix.T + self._shift)

    def depth(self, vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
        """(S, S) height of what the lamp reaches."""
        told = self.coordinates(vertices)
        hits = rasterize(
            _tensor(told[None, :, :2]), _tensor(told[None, :, 2]), torch.from_numpy(triangles), _SHADOW, _SHADOW
        )
        map_ = hits.interpolate(_tensor(told[None, :, 2:]))[0, 0].numpy()
        return np.where(hits.triangle[0].numpy() >= 0, map_, np.float32(-1e3))

    def reached(self, told: np.ndarray, shadow: np.ndarray) -> np.ndarray:
        """(N,) 0..1, how much of the lamp's light comes to points with these coordinates (N, 3)."""
        column, row = told[:, 0], told[:, 1]
        x0, y0 = np.floor(column).astype(np.int32), np.floor(row).astype(np.int32)
        fx, fy = column - x0, row - y0
        total = np.zeros(len(told), np.float32)
        for dy, wy in ((0, 1 - fy), (1, fy)):
            for dx, wx in ((0, 1 - fx), (1, fx)):
                x, y = np.clip(x0 + dx, 0, _SHADOW - 1), np.clip(y0 + dy, 0, _SHADOW - 1)
                total += wx * wy * (told[:, 2] > shadow[y, x] - 0.006)
        return total

    def soft(self, told: np.ndarray, shadow: np.ndarray) -> np.ndarray:
        """(H, W) as :meth:`reached` for the pixels of a place, blurred; 1 outside the map."""
        column, row = (np.ascontiguousarray(np.nan_to_num(told[..., k], nan=-9.0)) for k in (0, 1))
        above = cv2.remap(shadow, column, row, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=-1e3)
        lit = (np.nan_to_num(told[..., 2]) > above - 0.01).astype(np.float32)
        return np.asarray(cv2.GaussianBlur(lit, (0, 0), min(lit.shape) / 100))


def openness(figure: Figure, frame: Posed, directions: int = 14, size: int = 192) -> np.ndarray:
    """(V,) 0.35..1 how much of the sky around each vertex is free, smoothed; a cheap ambient occlusion."""
    index = np.arange(directions) + 0.5
    polar, azimuth = np.arccos(1 - 1.6 * index / directions), np.pi * (1 + 5**0.5) * index
    rays = np.stack([np.cos(azimuth) * np.sin(polar), np.cos(polar), np.sin(azimuth) * np.sin(polar)], 1)
    low, high = frame.vertices.min(0), frame.vertices.max(0)
    free, total = np.zeros(len(frame.vertices)), np.zeros(len(frame.vertices))
    lifted = frame.vertices + 0.01 * frame.normals
    for ray in rays:
        helper = np.array([0.0, 0.0, 1.0]) if abs(ray[1]) > 0.9 else np.array([0.0, 1.0, 0.0])
        right = np.cross(helper, ray)
        axes = np.stack([right / np.linalg.norm(right), np.cross(ray, right / np.linalg.norm(right)), ray])
        told = (frame.vertices - (low + high) / 2) @ axes.T
        scale = (size / 2 - 2) / np.abs(told[:, :2]).max()
        points = told * [scale, scale, 1] + [size / 2, size / 2, 0]
        hits = rasterize(
            _tensor(points[None, :, :2]), _tensor(points[None, :, 2]), torch.from_numpy(figure.triangles), size, size
        )
        map_ = hits.interpolate(_tensor(points[None, :, 2:]))[0, 0].numpy()
        map_[hits.triangle[0].numpy() < 0] = -1e3
        raised = (lifted - (low + high) / 2) @ axes.T * [scale, scale, 1] + [size / 2, size / 2, 0]
        x, y = (np.clip(np.round(raised[:, k]).astype(int), 0, size - 1) for k in (0, 1))
        weight = np.clip(frame.normals @ ray, 0, 1)
        free += weight * (raised[:, 2] > map_[y, x] - 0.012)
        total += weight
    return np.asarray(0.35 + 0.65 * free / np.maximum(total, 1e-6))


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors (N, 3) of length one."""
    return np.asarray(vectors / (np.sqrt(np.einsum("nk,nk->n", vectors, vectors)) + 1e-9)[:, None])


def _tensor(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.float32))
