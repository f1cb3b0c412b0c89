"""Backgrounds to put behind people, so that a model does not learn the soft rim that a still's own one has."""

from __future__ import annotations

import cv2
import numpy as np

from vivant.data.synthesis.curves import Random


def draw_background(rng: Random, size: int) -> np.ndarray:
    """(size, size, 3) uint8: a plain colour, a gradient, or large soft shapes like a room out of focus; light noise."""
    grid = np.stack(np.meshgrid(np.linspace(-1, 1, size), np.linspace(-1, 1, size)), -1)
    colours = _colours(rng, 4)
    kind = rng.random()
    if kind < 0.2:
        picture = np.broadcast_to(colours[0], (size, size, 3)).copy()
    elif kind < 0.5:
        angle = rng.uniform(0, 2 * np.pi)
        along = (grid @ [np.cos(angle), np.sin(angle)] / 1.4 + 1) / 2
        picture = colours[0] + np.clip(along, 0, 1)[..., None] * (colours[1] - colours[0])
    else:
        picture = np.broadcast_to(colours[0], (size, size, 3)).copy()
        for _ in range(int(rng.integers(5, 18))):
            picture = _shape(rng, picture, grid, colours[int(rng.integers(4))])
        blur = size * rng.uniform(0.008, 0.06)
        picture = cv2.GaussianBlur(picture, (0, 0), blur)
    return np.clip(picture + rng.normal(0, rng.uniform(0.3, 2.0), picture.shape), 0, 255).astype(np.uint8)


def _colours(rng: Random, count: int) -> np.ndarray:
    """(count, 3) RGB 0..255 that go together: near one hue, of various lightness."""
    hue = (rng.uniform(0, 180) + rng.normal(0, 12, count)) % 180
    hsv = np.stack([hue, rng.uniform(0, 130, count), rng.uniform(25, 245, count)], 1).astype(np.uint8)
    return np.asarray(cv2.cvtColor(hsv[None], cv2.COLOR_HSV2RGB)[0].astype(np.float64))


def _shape(rng: Random, picture: np.ndarray, grid: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """A disc or a turned bar with some opacity."""
    centre, size, angle = rng.uniform(-1.1, 1.1, 2), rng.uniform(0.08, 0.6, 2), rng.uniform(0, np.pi)
    away = grid - centre
    turned = np.stack([away @ [np.cos(angle), np.sin(angle)], away @ [-np.sin(angle), np.cos(angle)]], -1) / size
    inside = (turned**2).sum(-1) < 1 if rng.random() < 0.5 else np.abs(turned).max(-1) < 1
    opacity = rng.uniform(0.3, 1.0) * inside[..., None]
    return np.asarray(picture * (1 - opacity) + colour * opacity)
