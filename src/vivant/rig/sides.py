"""Depth at the sides of the head.

A photograph holds few pixels of the cheeks' and ears' sides; with true depth a turn would stretch them into streaks. So
there is a second depth map whose slope is limited. The side that turns towards the camera takes the limited depth, the
side that turns away the true one; in the still itself both lie on the same pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch

from vivant.rig.anatomy import NOSE_TIP, OVAL, anatomy, smoothstep
from vivant.rig.raster import rasterize
from vivant.rig.shape import Shape, depth_offset

_STEEPEST = 1.4  # cm of depth per cm in the picture
_CELLS, _MARGIN = 128, 16  # cells across the still, and around it
NOTHING = -30.0  # cm; depth where no head is
_HALF_FACE = 5.0  # cm from the nose to where a side is fully a side


@dataclass(frozen=True)
class Grid:
    """Nodes over the still and beyond: node (row, column) lies at ``start + step * (column, row)`` pixels."""

    start: float
    step: float
    count: int

    def of(self, pixels: np.ndarray) -> np.ndarray:
        """Grid coordinates (..., 2) float32 of pixels (..., 2)."""
        return ((pixels - self.start) / self.step).astype(np.float32)

    def nodes(self) -> np.ndarray:
        """(count, count, 2) float32 pixels of the nodes."""
        line = self.start + self.step * np.arange(self.count)
        return np.stack(np.meshgrid(line, line), -1).astype(np.float32)


def grid_over(side: int, cells: int, margin: int) -> Grid:
    """``cells`` cells across a still of ``side`` pixels and ``margin`` more on each side."""
    step = (side - 1) / cells
    return Grid(-margin * step, step, cells + 2 * margin + 1)


@dataclass(frozen=True)
class Hits:
    """Where rays through a grid's nodes meet the head in the still. ``triangle``: (N, N) int64 row of the skull's
    triangles, -1 for none; ``weights``: (N, N, 3) float32 of its corners; ``depth``: (N, N) float32 z in cm."""

    triangle: np.ndarray
    weights: np.ndarray
    depth: np.ndarray


def head_hits(shape: Shape, grid: Grid) -> Hits:
    """What each node of ``grid`` sees of the head in the still."""
    skull = anatomy().skull_triangles
    points, depth = torch.from_numpy(grid.of(shape.pixels))[None], torch.from_numpy(shape.seen[None, :, 2].copy())
    seen = rasterize(points, depth, torch.from_numpy(skull), grid.count, grid.count)
    triangle, first = seen.triangle[0].numpy().astype(np.int64), seen.weights[0].numpy()
    weights = np.concatenate([first, 1 - first.sum(-1, keepdims=True)], -1)
    z = (shape.seen[skull[triangle], 2] * weights).sum(-1)
    return Hits(triangle, weights, np.where(triangle >= 0, z, NOTHING).astype(np.float32))


@dataclass(frozen=True)
class Sides:
    """``grid``, ``depth`` (N, N): the limited depth map, which also covers what lies beside the head. ``offset``:
    (V, 3) float32 in head axes from true to limited depth; ``side``: (V,) -1..1 left to right of the picture."""

    grid: Grid
    depth: np.ndarray
    offset: np.ndarray
    side: np.ndarray

    def depth_at(self, pixels: np.ndarray) -> np.ndarray:
        """Limited depth at pixels (H, W, 2)."""
        at = self.grid.of(pixels)
        return cv2.remap(self.depth, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def limit_sides(shape: Shape, landmarks: np.ndarray, side: int) -> Sides:
    """The limited depth of a head in a still of ``side`` pixels."""
    grid = grid_over(side, _CELLS, _MARGIN)
    hits = head_hits(shape, grid)
    limited = _cone_dilated(hits.depth, _STEEPEST * grid.step / shape.placement.pixels_per_cm)
    weight = smoothstep(2.2, 0.6, _inside_oval(landmarks, grid) / shape.placement.pixels_per_cm)
    hit = hits.triangle >= 0
    extra: np.ndarray = np.where(hit, (limited - hits.depth) * weight, 0).astype(np.float32)
    extra = np.asarray(cv2.GaussianBlur(extra, (0, 0), 1.0))
    depth = np.where(hit, hits.depth + extra, limited).astype(np.float32)
    at = grid.of(shape.pixels)
    gain = cv2.remap(np.where(hit, extra, 0), at[:, 0], at[:, 1], cv2.INTER_LINEAR)[:, 0]
    gain = np.clip(gain, 0, 4)
    gain[anatomy().skull_triangles.max() + 1 :] = 0
    seen = shape.seen.astype(np.float64)
    offset = depth_offset(shape.placement, seen, seen[:, 2] + gain)
    return Sides(grid, depth, offset.astype(np.float32), side_of(shape, shape.seen))


def side_of(shape: Shape, seen: np.ndarray) -> np.ndarray:
    """(...) float32 in -1..1: left to right of the nose, for points (..., 3) in the still's camera axes."""
    return np.clip((seen[..., 0] - shape.seen[NOSE_TIP, 0]) / _HALF_FACE, -1, 1).astype(np.float32)


def _cone_dilated(depth: np.ndarray, drop: float) -> np.ndarray:
    """The lowest surface above ``depth`` that falls by at most ``drop`` a cell (a little less steep downwards, where
    necks are)."""
    lifted = depth.copy()
    steps = [(0, 1, 1.0), (0, -1, 1.0), (1, 0, 0.7), (-1, 0, 0.7), (1, 1, 1.41), (1, -1, 1.41), (-1, 1, 1.41)]
    for _ in range(40):
        before = lifted
        lifted = before.copy()
        for dy, dx, length in [*steps, (-1, -1, 1.41)]:
            np.maximum(lifted, np.roll(before, (dy, dx), (0, 1)) - drop * length, out=lifted)
        if np.abs(lifted - before).max() < 1e-4:
            break
    return lifted


def _inside_oval(landmarks: np.ndarray, grid: Grid) -> np.ndarray:
    """(N, N) signed distance in pixels of the still to the face's outline, positive inside."""
    mask = np.zeros((grid.count, grid.count), np.uint8)
    cv2.fillPoly(mask, [np.round(grid.of(landmarks[list(OVAL), :2])).astype(np.int32)], 1)
    inside = cv2.distanceTransform(mask, cv2.DIST_L2, 5) - cv2.distanceTransform(1 - mask, cv2.DIST_L2, 5)
    distance: np.ndarray = inside * grid.step
    return distance
