"""What light reaches: the shadow map of a lamp far away, and how open every vertex is to the sky."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from vivant.data.figures.figure import Figure, Posed
from vivant.data.figures.scene import Set
from vivant.rig.raster import rasterize

_SHADOW = 384  # pixels of the shadow map


class Lamp:
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
            tensor(told[None, :, :2]), tensor(told[None, :, 2]), torch.from_numpy(triangles), _SHADOW, _SHADOW
        )
        map_ = hits.interpolate(tensor(told[None, :, 2:]))[0, 0].numpy()
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
            tensor(points[None, :, :2]), tensor(points[None, :, 2]), torch.from_numpy(figure.triangles), size, size
        )
        map_ = hits.interpolate(tensor(points[None, :, 2:]))[0, 0].numpy()
        map_[hits.triangle[0].numpy() < 0] = -1e3
        raised = (lifted - (low + high) / 2) @ axes.T * [scale, scale, 1] + [size / 2, size / 2, 0]
        x, y = (np.clip(np.round(raised[:, k]).astype(int), 0, size - 1) for k in (0, 1))
        weight = np.clip(frame.normals @ ray, 0, 1)
        free += weight * (raised[:, 2] > map_[y, x] - 0.012)
        total += weight
    return np.asarray(0.35 + 0.65 * free / np.maximum(total, 1e-6))


def tensor(values: np.ndarray) -> torch.Tensor:
    """float32, same shape."""
    return torch.from_numpy(np.ascontiguousarray(values, np.float32))
