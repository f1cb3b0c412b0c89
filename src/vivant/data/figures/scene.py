"""Where a person is filmed: camera, light, and a room or a place outdoors with a floor."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from vivant.core.rotations import about
from vivant.data.figures.noise import Waves
from vivant.data.figures.patterns import draw_cloth, hsv, linear

Random = np.random.Generator


@dataclass(frozen=True)
class Camera:
    """A pinhole camera. ``turn`` (3, 3): room axes -> camera axes (x right, y down, z away); ``place`` (3,) in the
    room; ``focal`` in pixels; ``size`` (H, W)."""

    turn: np.ndarray
    place: np.ndarray
    focal: float
    size: tuple[int, int]

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Points (..., 3) -> pixels (..., 2), x right and y down from the picture's corner, and distance (...)."""
        seen = (points - self.place) @ self.turn.T
        away = np.maximum(seen[..., 2], 0.05)
        middle = np.array([self.size[1] / 2, self.size[0] / 2])
        return seen[..., :2] * (self.focal / away)[..., None] + middle, away

    def rays(self, every: int = 1) -> np.ndarray:
        """(H / every, W / every, 3) unit directions in the room through the middles of pixels (or of blocks)."""
        height, width = self.size
        y, x = np.meshgrid(np.arange(every / 2, height, every), np.arange(every / 2, width, every), indexing="ij")
        away = np.stack([(x - width / 2) / self.focal, (y - height / 2) / self.focal, np.ones_like(x)], -1)
        directions = away @ self.turn
        return np.asarray(directions / np.linalg.norm(directions, axis=-1, keepdims=True))


@dataclass(frozen=True)
class Light:
    """``towards`` (3,): unit vector to the lamp or sun; ``key``, ``sky``, ``ground`` (3,): linear colours."""

    towards: np.ndarray
    key: np.ndarray
    sky: np.ndarray
    ground: np.ndarray


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


def draw_light(rng: Random) -> Light:
    """A lamp somewhere in front and above, warm or cold."""
    yaw, pitch = rng.uniform(-1.1, 1.1), rng.uniform(0.35, 1.15)
    towards = np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
    warm = rng.normal(0, 0.07)
    tint = np.array([1 + warm, 1.0, 1 - warm])
    contrast = rng.uniform(0.35, 0.75)
    return Light(
        towards,
        tint * 1.5 * contrast,
        (1.05 - 0.75 * contrast) * (2 - tint) * 0.9,
        tint * (1.05 - 0.75 * contrast) * 0.5,
    )


def draw_camera(rng: Random, low: np.ndarray, high: np.ndarray, size: tuple[int, int]) -> Camera:
    """A camera that has the box from ``low`` to ``high`` (3,) in view, at the height of a hip to a head."""
    height, width = size
    view = rng.uniform(0.45, 0.85)  # radians of the shorter side
    focal = min(size) / 2 / np.tan(view / 2)
    margin = rng.uniform(0.86, 0.95)
    span = high - low
    away = focal * max(span[1] / (height * margin), span[0] / (width * margin)) + max(high[2], 0)
    middle = (low + high) / 2
    eye = np.array([middle[0], np.clip(rng.normal(1.2, 0.2), 0.6, 1.7), away])
    pitch = np.arctan2(eye[1] - middle[1], away - middle[2])
    level = np.diag([1.0, -1.0, -1.0])  # looks along -z
    turn = about(0, np.array(pitch)) @ level
    return Camera(turn, eye, focal, size)


def draw_place(rng: Random, camera: Camera, light: Light) -> tuple[np.ndarray, np.ndarray]:
    """(H, W, 3) linear colours of an empty place, and (H, W, 3) where in the room each pixel lies (NaN: the sky)."""
    fine = _Ground(camera, rng.uniform(-3.5, -0.8))
    kind = rng.random()
    if kind < 0.2:
        colours = _studio(rng, fine)
    elif kind < 0.75:
        colours = _room(rng, fine)
    else:
        colours = _outdoors(rng, fine)
    lamp = np.clip(0.75 + 0.5 * (light.key + light.sky) / 2, 0.4, 1.3)
    picture = cv2.resize((colours * lamp).astype(np.float32), camera.size[::-1], interpolation=cv2.INTER_AREA)
    if rng.random() < 0.35:  # shallow focus
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.5, 2.5) * min(camera.size) / 256)
    return picture, _Ground(camera, fine.wall, every=1).points


class _Ground:
    """Floor at y = 0 and a wall at z = ``wall`` as the camera sees them, two samples a pixel and axis unless told."""

    def __init__(self, camera: Camera, wall: float, every: int = 0) -> None:
        self.wall = wall
        if every:
            rays = camera.rays(every)
        else:
            doubled = Camera(camera.turn, camera.place, camera.focal * 2, (camera.size[0] * 2, camera.size[1] * 2))
            rays = doubled.rays()
        with np.errstate(divide="ignore", invalid="ignore"):
            to_floor = np.where(rays[..., 1] < -1e-6, -camera.place[1] / rays[..., 1], np.inf)
            to_wall = np.where(rays[..., 2] < -1e-6, (wall - camera.place[2]) / rays[..., 2], np.inf)
        self.is_floor = to_floor < to_wall
        way = np.minimum(to_floor, to_wall)
        self.points = camera.place + np.where(np.isfinite(way), way, np.nan)[..., None] * rays
        self.rays = rays


def _studio(rng: Random, ground: _Ground) -> np.ndarray:
    """One paper of one colour, brighter in the middle."""
    colour = linear(hsv(rng.random(), rng.uniform(0, 0.5), rng.uniform(0.15, 0.95)))
    x, y, z = np.moveaxis(ground.points, -1, 0)
    glow = np.exp(-((x**2 + (y - 1.2) ** 2 + (z - ground.wall) ** 2) / rng.uniform(2, 12)))
    return np.asarray(colour * (0.7 + 0.45 * glow)[..., None])


def _room(rng: Random, ground: _Ground) -> np.ndarray:
    """A wall with skirting and things on it, a floor of boards, tiles, carpet or stone."""
    x, y, z = np.moveaxis(ground.points, -1, 0)
    wall = linear(hsv(rng.random(), rng.uniform(0, 0.35), rng.uniform(0.45, 0.95)))
    colours = np.broadcast_to(wall, ground.points.shape).copy()
    if rng.random() < 0.3:
        cloth = draw_cloth(rng, ("stripes", "diamonds", "flowers", "checks", "dots"))
        paper = cloth((x * 0.25).ravel(), (y * 0.25).ravel()).reshape(colours.shape)
        colours = 0.75 * colours + 0.25 * paper
    if rng.random() < 0.25:  # panels of another colour below
        colours[(y < rng.uniform(0.8, 1.2))] *= rng.uniform(0.4, 0.8)
    for _ in range(int(rng.integers(0, 6))):
        _hang(rng, colours, x, y)
    colours[y < 0.1] = wall * rng.uniform(0.3, 1.2)
    colours *= (0.85 + 0.1 * np.tanh(y - 1) + 0.06 * Waves(rng, 2, 3.0)(np.stack([x, y], -1)))[..., None]
    floor = _floor(rng, x, z)
    return np.where(ground.is_floor[..., None], floor, colours)


def _hang(rng: Random, colours: np.ndarray, x: np.ndarray, y: np.ndarray) -> None:
    """A picture, window, door, shelf or plant against the wall."""
    left, width = rng.uniform(-3, 3), rng.uniform(0.25, 1.3)
    bottom = 0.0 if rng.random() < 0.35 else rng.uniform(0.7, 1.6)
    top = bottom + rng.uniform(0.3, 1.1) + (1.0 if bottom == 0 else 0)
    inside = (x > left) & (x < left + width) & (y > bottom) & (y < top)
    border = inside & ~((x > left + 0.05) & (x < left + width - 0.05) & (y > bottom + 0.05) & (y < top - 0.05))
    colour = linear(hsv(rng.random(), rng.uniform(0.05, 0.7), rng.uniform(0.15, 0.95)))
    if rng.random() < 0.5:
        cloth = draw_cloth(rng)
        colours[inside] = cloth(x[inside] * 0.3, y[inside] * 0.3)
    else:
        colours[inside] = colour * (0.7 + 0.6 * (y[inside] - bottom) / (top - bottom))[:, None]
    colours[border] = linear(hsv(0.08, rng.uniform(0, 0.5), rng.uniform(0.1, 0.95)))


def _floor(rng: Random, x: np.ndarray, z: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        kind = int(rng.integers(4))
        if kind == 0:  # boards
            plank = np.floor(x / 0.14)
            shade = (
                0.75
                + 0.35
                * np.modf(np.abs(np.sin(plank * 12.9898 + np.floor(z / 1.4 + plank * 0.37) * 78.233)) * 43758.5)[0]
            )
            base = linear(hsv(rng.uniform(0.05, 0.1), rng.uniform(0.3, 0.6), rng.uniform(0.3, 0.75)))
            colours = base * shade[..., None]
            colours[np.modf(x / 0.14)[0] % 1 < 0.04] *= 0.5
        elif kind == 1:  # tiles
            side = rng.uniform(0.25, 0.6)
            pair = np.stack([linear(hsv(rng.random(), rng.uniform(0, 0.3), v)) for v in rng.uniform(0.3, 0.9, 2)])
            odd = (np.floor(x / side) + np.floor(z / side)) % 2 > 0
            colours = np.where((odd & (rng.random() < 0.5))[..., None], pair[0], pair[1])
            gap = (x / side % 1 < 0.03) | (z / side % 1 < 0.03)
            colours = np.where(gap[..., None], colours * 0.6, colours)
        elif kind == 2:  # carpet
            cloth = draw_cloth(rng)
            colours = 0.6 * linear(hsv(rng.random(), rng.uniform(0.1, 0.5), rng.uniform(0.2, 0.7))) + 0.4 * cloth(
                (x * 0.15).ravel(), (z * 0.15).ravel()
            ).reshape(*x.shape, 3)
        else:
            colours = linear(hsv(rng.random(), rng.uniform(0, 0.2), rng.uniform(0.25, 0.8))) * np.ones((*x.shape, 3))
        return np.asarray(colours * (1 + 0.07 * Waves(rng, 2, 0.6)(np.stack([x, z], -1)))[..., None])


def _outdoors(rng: Random, ground: _Ground) -> np.ndarray:
    """Sky, a line of hills or houses far behind, grass, sand or asphalt."""
    x, _, z = np.moveaxis(ground.points, -1, 0)
    up = ground.rays[..., 1]
    day = rng.uniform(0.5, 1.0)
    sky = linear(hsv(0.57 + rng.normal(0, 0.03), rng.uniform(0.05, 0.6), day))
    colours = sky * (1 + 0.5 * np.clip(0.3 - up, 0, 0.5))[..., None]
    clouds = np.clip(Waves(rng, 2, 0.35, count=10)(np.stack([ground.rays[..., 0], 3 * up], -1)) - 0.2, 0, 1)
    colours = colours + 0.35 * day * clouds[..., None]
    aside = ground.rays[..., 0] / np.maximum(-ground.rays[..., 2], 0.1)
    for layer in range(int(rng.integers(1, 4))):
        skyline = 0.03 + 0.06 * (3 - layer) / 3 + 0.05 * Waves(rng, 1, rng.uniform(0.2, 0.8))(aside[..., None])
        if rng.random() < 0.4:
            skyline = 0.05 + 0.2 * np.modf(np.abs(np.sin(np.floor(aside * rng.uniform(4, 10)) * 91.7)) * 437.5)[0]
        far = linear(hsv(rng.uniform(0.2, 0.6), rng.uniform(0.1, 0.5), rng.uniform(0.25, 0.6)))
        colours = np.where((up < skyline)[..., None], 0.6 * far + 0.4 * sky, colours)
    green = linear(
        hsv(rng.choice([0.28, 0.12, 0.6]) + rng.normal(0, 0.02), rng.uniform(0.1, 0.6), rng.uniform(0.25, 0.7))
    )
    with np.errstate(invalid="ignore"):
        rough = (
            1
            + 0.15 * Waves(rng, 2, 0.25)(np.nan_to_num(np.stack([x, z], -1)))
            + 0.1 * Waves(rng, 2, 2.0)(np.nan_to_num(np.stack([x, z], -1)))
        )
    ground.points[~ground.is_floor] = np.nan
    return np.asarray(np.where(ground.is_floor[..., None], green * rough[..., None], colours))
