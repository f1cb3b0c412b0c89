"""The loops of ``raster.py`` for one frame, compiled by numba (extra ``rig``)."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True, fastmath=True, nogil=True)
def draw(
    points: np.ndarray, depth: np.ndarray, triangles: np.ndarray, nearest: np.ndarray, triangle: np.ndarray,
    weights: np.ndarray,
) -> None:  # fmt: skip
    """Fill ``nearest`` (H, W), ``triangle`` (H, W) and ``weights`` (H, W, 2) in place."""
    height, width = triangle.shape
    for i in range(triangles.shape[0]):
        a, b, c = triangles[i, 0], triangles[i, 1], triangles[i, 2]
        x0, y0, x1, y1, x2, y2 = points[a, 0], points[a, 1], points[b, 0], points[b, 1], points[c, 0], points[c, 1]
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if -1e-9 < area < 1e-9:
            continue
        left, right = max(0, int(np.ceil(min(x0, x1, x2)))), min(width - 1, int(np.floor(max(x0, x1, x2))))
        top, bottom = max(0, int(np.ceil(min(y0, y1, y2)))), min(height - 1, int(np.floor(max(y0, y1, y2))))
        scale = np.float32(1.0) / area
        for y in range(top, bottom + 1):
            for x in range(left, right + 1):
                w0 = ((x1 - x) * (y2 - y) - (x2 - x) * (y1 - y)) * scale
                w1 = ((x2 - x) * (y0 - y) - (x0 - x) * (y2 - y)) * scale
                w2 = np.float32(1.0) - w0 - w1
                if w0 < -1e-5 or w1 < -1e-5 or w2 < -1e-5:
                    continue
                z = w0 * depth[a] + w1 * depth[b] + w2 * depth[c]
                if z > nearest[y, x]:
                    nearest[y, x] = z
                    triangle[y, x] = i
                    weights[y, x, 0] = w0
                    weights[y, x, 1] = w1


@numba.njit(cache=True, fastmath=True, nogil=True)
def interpolate(
    triangle: np.ndarray, weights: np.ndarray, triangles: np.ndarray, values: np.ndarray, out: np.ndarray
) -> None:
    """Write vertex ``values`` (V, K) at each pixel into ``out`` (K, H, W)."""
    channels, height, width = out.shape
    for y in range(height):
        for x in range(width):
            i = triangle[y, x]
            if i < 0:
                continue
            a, b, c = triangles[i, 0], triangles[i, 1], triangles[i, 2]
            w0, w1 = weights[y, x, 0], weights[y, x, 1]
            w2 = np.float32(1.0) - w0 - w1
            for k in range(channels):
                out[k, y, x] = w0 * values[a, k] + w1 * values[b, k] + w2 * values[c, k]
