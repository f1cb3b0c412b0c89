"""Cloth: tiles that repeat over the surface of a garment, prints on the chest, colours that go together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

Random = np.random.Generator
_SIDE = 96  # pixels of a tile

# words that a print may say, in letters of OpenCV's own fonts
_WORDS = (
    "VIVANT",
    "HELLO",
    "NOVA",
    "SURF",
    "WAVE",
    "7",
    "23",
    "88",
    "BLUE",
    "YES",
    "OK",
    "SUN",
    "ROCK",
    "CITY",
    "GO",
    "A1",
    "Q",
    "XO",
)


@dataclass(frozen=True)
class Cloth:
    """``tile`` (S, S, 3) linear light 0..1 repeated every ``size`` (width, height) metres. ``name``: of the kind."""

    tile: np.ndarray
    size: tuple[float, float]
    name: str

    def __call__(self, around: np.ndarray, along: np.ndarray) -> np.ndarray:
        """(N, 3) colours at metres around and along the body (N,), bilinear."""
        side = len(self.tile)
        x = around.astype(np.float32) * np.float32(side / self.size[0])
        y = along.astype(np.float32) * np.float32(side / self.size[1])
        left, low = np.floor(x), np.floor(y)
        fx, fy = (x - left)[:, None], (y - low)[:, None]
        x0, y0 = left.astype(np.int64) % side, low.astype(np.int64) % side
        x1, y1 = (x0 + 1) % side, (y0 + 1) % side
        tile = self.tile
        return (tile[y0, x0] * (1 - fx) + tile[y0, x1] * fx) * (1 - fy) + (
            tile[y1, x0] * (1 - fx) + tile[y1, x1] * fx
        ) * fy


def linear(colour: np.ndarray | tuple[float, float, float]) -> np.ndarray:
    """sRGB 0..1 -> linear light, float32."""
    return np.power(np.asarray(colour, np.float32), np.float32(2.2))


def hsv(hue: float, saturation: float, value: float) -> np.ndarray:
    """(3,) sRGB 0..1 from hue 0..1, saturation and value 0..1."""
    pixel = np.array([[[hue % 1 * 360, np.clip(saturation, 0, 1), np.clip(value, 0, 1)]]], np.float32)
    return np.asarray(cv2.cvtColor(pixel, cv2.COLOR_HSV2RGB)[0, 0])


def draw_colours(rng: Random, count: int) -> list[np.ndarray]:
    """``count`` sRGB colours that people wear together; the first is the ground."""
    neutral = [hsv(0.6, 0.05, v) for v in (0.06, 0.12, 0.3, 0.55, 0.8, 0.93)] + [
        hsv(0.1, 0.25, 0.75),
        hsv(0.08, 0.4, 0.4),
    ]
    hue = rng.random()
    colours: list[np.ndarray] = []
    for number in range(count):
        if rng.random() < (0.35 if number == 0 else 0.45):
            colours.append(neutral[int(rng.integers(len(neutral)))])
        else:
            spread = rng.choice([0.0, 0.08, 0.33, 0.5]) if number else 0.0
            colours.append(hsv(hue + spread + rng.normal(0, 0.02), rng.uniform(0.35, 0.95), rng.uniform(0.2, 0.95)))
    for number in range(1, count):  # a pattern must be seen on its ground
        if np.abs(colours[number] - colours[0]).max() < 0.25:
            colours[number] = np.clip(1 - colours[0] * 0.8, 0.05, 0.95)
    return colours


def draw_cloth(rng: Random, kinds: tuple[str, ...] | None = None, colours: list[np.ndarray] | None = None) -> Cloth:
    """A random cloth of one of ``kinds`` (all of :data:`KINDS` if None), patterns two to twelve centimetres large."""
    names = kinds or tuple(KINDS)
    shares = np.array([SHARES[name] for name in names])
    name = str(rng.choice(names, p=shares / shares.sum()))
    palette = colours or draw_colours(rng, 3)
    tile = np.empty((_SIDE, _SIDE, 3), np.float32)
    tile[:] = palette[0]
    size = KINDS[name](rng, tile, palette)
    return Cloth(linear(np.clip(tile, 0, 1)), size, name)


def _plain(rng: Random, tile: np.ndarray, colours: list[np.ndarray]) -> tuple[float, float]:
    grain = cv2.GaussianBlur(rng.normal(0, 1, (_SIDE, _SIDE)).astype(np.float32), (0, 0), 1.5)
    tile *= (1 + rng.uniform(0.02, 0.12) * grain)[..., None]
    return 0.12, 0.12


def _denim(rng: Random, tile: np.ndarray, colours: list[np.ndarray]) -> tuple[float, float]:
    tile[:] = hsv(0.6 + rng.normal(0, 0.02), rng.uniform(0.3, 0.75), rng.uniform(0.2, 0.65))
    rough = rng.normal(0, 1, (_SIDE, _SIDE)).astype(np.float32)
    twill = np.sin((np.arange(_SIDE)[:, None] + np.arange(_SIDE)) * (2 * np.pi / 6))
    tile *= (1 + 0.1 * cv2.GaussianBlur(rough, (0, 0), 1) + 0.08 * twill)[..., None]
    return 0.1, 0.1


def _stripes(rng: Random, tile: np.ndarray, colours: list[np.ndarray]) -> tuple[float, float]:
    size = rng.uniform(0.03, 0.16)
    place = np.arange(_SIDE) / _SIDE
    stripe = place < rng.uniform(0.25, 0.6)
    second = (place > 0.7) & (place < 0.82) if rng.random() < 0.3 else np.zeros(_SIDE, bool)
    if rng.random() < 0.65:
        tile[stripe], tile[second] = colours[1], colours[2]
    else:
        tile[:, stripe], tile[:, second] = colours[1], colours[2]
    return size, size


def _diagonal(rng: Random, tile: np.ndarray, colours: list[np.ndarray]) -> tuple[float, float]:
    size = rng.uniform(0.06, 0.2)
    place = (np.arange(_SIDE)[:, None] + np.arange(_SIDE)) % _SIDE / _SIDE
    tile[place < rng.uniform(0.3, 0.6)] = colours[1]
    return size, size


def _checks(rng: Random, tile: np.ndarray, colours: list[np.ndarray]) -> tuple[float, float]:
    size = rng.uniform(0.03, 0.12)
    half = np.arange(_SIDE) < _SIDE // 2
    if rng.random() < 0.5:  # gingham
        mixed = (half[:, None].astype(np.float32) + half) / 2
        tile[:] = tile * (1 - mixed[..., None]) + colours[1] * mixed[..., None]
    else:
        tile[half[:, None] ^ half] = colours[1]
    return size, size


def _tartan(rng: Random, tile: np.ndarray, colours: list[np.ndarray]) -> tuple[float, float]:
    bands = np.zeros((2, _SIDE, 4), np.float32)
    for axis in range(2):
        for colour in (colours[1], colours[2], colours[1] * 0.3):
            start, width = int(rng.integers(0, _SIDE - 20)), int(rng.integers(4, 22))
            bands[axis, start : start + width] = [*colour, 0.6]
    for axis in range(2):
        band = bands[0][:, None] if axis == 0 else bands[1][None]
        tile[:] = tile * (1 - band[..., 3:]) + band[..., :3] * band[..., 3:]
    size = rng.uniform(0.08, 0.2)
    return size, size


def _dots(rng: Random, tile: np.ndarray, colours: list[np.ndarray]) -> tuple[float, float]:
    radius = int(rng.integers(9, 20))
    for x, y in ((0, 0), (_SIDE, 0), (0, _SIDE), (_SIDE, _SIDE), (_SIDE // 2, _SIDE // 2)):
        cv2.circle(tile, (x, y), radius, colours[1].tolist(), -1, cv2.LINE_AA)
    size = rng.uniform(0.05, 0.14)
    return size, size


def _zigzag(rng: Random, tile: np.ndarray, colours: list[np.ndarray]) -> tuple[float, float]:
    rise = np.abs(np.arange(_SIDE) - _SIDE // 2)
    row = (np.arange(_SIDE)[:, None] + rise) % (_SIDE // 2)
    tile[row < rng.integers(12, 30)] = colours[1]
    size = rng.uniform(0.08, 0.2)
    return size, size


def _diamonds(rng: Random, tile: np.ndarray, colours: list[np.ndarray]) -> tuple[float, float]:
    away = np.abs(np.arange(_SIDE) - _SIDE / 2 + 0.5) / (_SIDE / 2)
    distance = away[:, None] + away
    tile[distance < 0.85] = colours[1]
    tile[np.abs(distance - 1.0) < 0.06] = colours[2]
    return rng.uniform(0.07, 0.15), rng.uniform(0.1, 0.2)


def _flowers(rng: Random, tile: np.ndarray, colours: list[np.ndarray]) -> tuple[float, float]:
    for _ in range(int(rng.integers(4, 9))):
        centre, radius = rng.uniform(0, _SIDE, 2), rng.uniform(5, 11)
        petals, turn = int(rng.integers(4, 7)), rng.random()
        colour = colours[1] if rng.random() < 0.7 else colours[2]
        for shift in np.stack(np.meshgrid([-_SIDE, 0, _SIDE], [-_SIDE, 0, _SIDE]), -1).reshape(-1, 2):
            for petal in range(petals):
                angle = 2 * np.pi * (petal / petals + turn)
                where = centre + shift + radius * np.array([np.cos(angle), np.sin(angle)])
                cv2.circle(
                    tile, (round(where[0]), round(where[1])), round(radius * 0.7), colour.tolist(), -1, cv2.LINE_AA
                )
            middle = centre + shift
            cv2.circle(
                tile, (round(middle[0]), round(middle[1])), round(radius * 0.5), colours[2].tolist(), -1, cv2.LINE_AA
            )
    size = rng.uniform(0.12, 0.3)
    return size, size


def _camouflage(rng: Random, tile: np.ndarray, colours: list[np.ndarray]) -> tuple[float, float]:
    for colour in (colours[1], colours[2]):
        rough = np.fft.irfft2(np.fft.rfft2(rng.normal(size=(_SIDE, _SIDE))) * _soft(0.05))
        tile[rough > np.quantile(rough, rng.uniform(0.55, 0.8))] = colour
    size = rng.uniform(0.2, 0.4)
    return size, size


def _soft(cutoff: float) -> np.ndarray:
    """A low-pass filter of a tile's spectrum that wraps around without a seam."""
    fy, fx = np.fft.fftfreq(_SIDE)[:, None], np.fft.rfftfreq(_SIDE)
    return np.asarray(np.exp(-(fx**2 + fy**2) / (2 * cutoff**2)))


KINDS: dict[str, Callable[[Random, np.ndarray, list[np.ndarray]], tuple[float, float]]] = {
    "plain": _plain, "denim": _denim, "stripes": _stripes, "diagonal": _diagonal, "checks": _checks, "tartan": _tartan,
    "dots": _dots, "zigzag": _zigzag, "diamonds": _diamonds, "flowers": _flowers, "camouflage": _camouflage,
}  # fmt: skip
"""Kind of cloth -> what draws its tile and tells how large it is."""
SHARES = {
    "plain": 0.3, "denim": 0.08, "stripes": 0.17, "diagonal": 0.04, "checks": 0.1, "tartan": 0.07, "dots": 0.08,
    "zigzag": 0.04, "diamonds": 0.04, "flowers": 0.05, "camouflage": 0.03,
}  # fmt: skip
_PRINT = 128


def draw_print(rng: Random) -> np.ndarray:
    """(128, 128, 4) a print for the chest: linear colours 0..1 and opacity; top row first."""
    picture, mask = np.zeros((_PRINT, _PRINT, 3), np.uint8), np.zeros((_PRINT, _PRINT), np.uint8)
    colours = [(255 * colour).tolist() for colour in draw_colours(rng, 3)]
    kind = int(rng.integers(6))
    middle = (_PRINT // 2, _PRINT // 2)
    for layer, shade in ((picture, colours[1]), (mask, [255.0])):
        if kind == 0:
            cv2.circle(layer, middle, 50, shade, -1)
        elif kind == 1:
            cv2.fillPoly(layer, [_star(52, 22)], shade)
        elif kind == 2:
            cv2.rectangle(layer, (10, 24), (118, 104), shade, -1)
        elif kind == 3:
            cv2.fillPoly(layer, [_heart()], shade)
        elif kind == 4:
            for row in range(4):
                cv2.rectangle(layer, (8, 14 + 28 * row), (120, 28 + 28 * row), shade, -1)
    word = str(rng.choice(_WORDS))
    if kind in (0, 2, 5) or rng.random() < 0.4:
        scale = min(3.6, 105 / (19 * len(word)))
        (width, height), _ = cv2.getTextSize(word, cv2.FONT_HERSHEY_SIMPLEX, scale, max(3, round(5 * scale)))
        at = (middle[0] - width // 2, middle[1] + height // 2)
        for layer, shade in ((picture, colours[2]), (mask, [255.0])):
            cv2.putText(layer, word, at, cv2.FONT_HERSHEY_SIMPLEX, scale, shade, max(3, round(5 * scale)), cv2.LINE_AA)
    return np.concatenate([linear(picture / 255), mask[..., None].astype(np.float32) / 255], -1)


def _star(outer: float, inner: float) -> np.ndarray:
    angle = np.arange(10) * np.pi / 5 - np.pi / 2
    radius = np.where(np.arange(10) % 2 == 0, outer, inner)
    return np.round(_PRINT / 2 + np.stack([np.cos(angle), np.sin(angle)], 1) * radius[:, None]).astype(np.int32)


def _heart() -> np.ndarray:
    t = np.linspace(0, 2 * np.pi, 60)
    x = 16 * np.sin(t) ** 3
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
    return np.round(_PRINT / 2 + np.stack([x, y], 1) * 3).astype(np.int32)
