"""Frames of a dressed person: drawing, light with cast shadows, the place behind. On the CPU, in numpy and the
rasteriser of the photo rig.

Axis letters: F frames, V vertices, T triangles, H W pixels, N pixels that show the person.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch

from vivant.data.figures.figure import Figure, Posed, unit
from vivant.data.figures.paint import Seen, paint
from vivant.data.figures.scene import Camera, Set
from vivant.data.figures.shadows import Lamp, tensor
from vivant.data.figures.surface import EYES, HAIR, SKIN, TRUNK
from vivant.rig.raster import rasterize

BACKGROUND, BODY_SKIN, HEAD_SKIN, HAIR_REGION, FIRST_GARMENT = range(5)
"""Regions told: garments follow in the order TOP, BOTTOM, JACKET, SHOES, TIGHTS."""


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
        self._lamp = Lamp(scenery)
        self._floor = self._lamp.coordinates(scenery.points.reshape(-1, 3)).reshape(*camera.size, 3)
        self._open = occlusion.astype(np.float32)

    def draw(self, frame: Posed) -> Frame:
        """One frame."""
        figure = self.figure
        shadow = self._lamp.depth(frame.vertices, figure.triangles)
        pixels, away = self._camera.project(frame.vertices)
        rows = self._facing(pixels)
        hits = rasterize(
            tensor(pixels[None]), tensor(-away[None]), torch.from_numpy(figure.triangles[rows]), *self.size
        )
        seen = hits.triangle[0].numpy().reshape(-1)
        where = np.flatnonzero(seen >= 0)
        triangle = rows[seen[where]]
        carried = np.concatenate(
            [frame.vertices, frame.normals, figure.carried, self._open[:, None], away[:, None]], 1, dtype=np.float32
        )
        values = hits.interpolate(tensor(carried[None]))[0].numpy().reshape(carried.shape[1], -1)[:, where].T
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
        normal, view = unit(normal), unit(self.set.camera.place.astype(np.float32) - position)
        inside = np.einsum("nk,nk->n", normal, view) < 0
        normal[inside] *= -1  # the inner side of open pieces
        towards = light.towards.astype(np.float32)
        facing = normal @ towards
        reached = self._lamp.reached(self._lamp.coordinates(position + 0.012 * normal), shadow)
        diffuse = np.clip((facing + 0.15) / 1.15, 0, 1) * reached
        mirrored = np.einsum("nk,nk->n", normal, unit(view + towards))
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
