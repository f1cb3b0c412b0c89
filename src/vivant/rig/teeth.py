"""Teeth that the photo shows: cut out, the upper ones fixed to the skull, the lower ones to the jaw."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.ndimage import median_filter

from vivant.rig.anatomy import LOWER_LIP, UPPER_LIP, anatomy
from vivant.rig.head import HeadModel
from vivant.rig.shape import Shape

_COLUMNS, _ROWS = 12, 6  # of the grid that carries the cut-outs
_BEHIND = 0.35  # cm behind the lips
_ARCH = 0.16  # how the arch of the teeth falls back: cm per cm squared
_SCALE = 3  # the mouth is looked at this many times finer
_BRIGHT, _RED, _NOT_TEETH = 0.50, 0.30, 80.0
_LEAST = 0.08  # of the mouth's area


@dataclass(frozen=True)
class PhotoTeeth:
    """``upper``, ``lower``: (P, P, 4) float32, colour times opacity, and opacity 0..255. ``corner``: (2,) pixel of the
    still at their first pixel. ``grid``: (N, 3) float32 in head axes and ``pixels`` (N, 2) of the still, of the surface
    that carries them; ``triangles``: (T, 3) int32. ``jaw``: (J,) vertices that move with the lower teeth."""

    upper: np.ndarray
    lower: np.ndarray
    corner: np.ndarray
    grid: np.ndarray
    pixels: np.ndarray
    triangles: np.ndarray
    jaw: np.ndarray


def find_teeth(image: np.ndarray, landmarks: np.ndarray, shape: Shape) -> PhotoTeeth | None:
    """The teeth in the open mouth of ``image`` (S, S, 3) float32; None where none are seen."""
    lips = landmarks[[*UPPER_LIP, *LOWER_LIP[::-1]], :2].astype(np.float64)
    side = int(np.ceil(np.ptp(lips, axis=0).max() * 1.3)) + 6
    corner = np.floor(lips.mean(0) - side / 2)
    x, y = (np.clip(corner[k] + np.arange(side), 0, len(image) - 1).astype(int) for k in (0, 1))
    part = image[np.ix_(y, x)]
    masks = _masks(part, lips - corner)
    if masks is None:
        return None
    upper, lower = (np.concatenate([part * m[..., None], m[..., None] * 255], -1).astype(np.float32) for m in masks)
    pixels, grid = _surface(corner, side, shape)
    return PhotoTeeth(upper, lower, corner, grid, pixels, _triangles(), _jaw())


def _masks(part: np.ndarray, lips: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Opacity (P, P) of upper and lower teeth, the upper ones with the gums above them; None without teeth.

    Columns run from the upper to the lower lip. What is in a column down to the end of its first bright run belongs to
    the upper jaw, bright runs below a gap to the lower one.
    """
    turn, size = _upright(lips, len(part))
    upright = cv2.warpAffine(part, turn, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    outline = lips @ turn[:, :2].T + turn[:, 2]
    inside = np.zeros((size, size), np.uint8)
    cv2.fillPoly(inside, [np.round(outline).astype(np.int32)], 1)
    light = upright.mean(-1)
    if inside.sum() == 0:
        return None
    bright = float(np.percentile(light[inside > 0], 90))
    red = (upright[..., 0] - upright[..., 1]) / np.maximum(upright[..., 0], 1)
    teeth = (light > _BRIGHT * bright) & (red < _RED) & (inside > 0)
    teeth = cv2.morphologyEx(teeth.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3))) > 0
    if bright < _NOT_TEETH or teeth.sum() < _LEAST * inside.sum():
        return None
    upper, lower = _split(teeth, inside > 0)
    back = cv2.invertAffineTransform(turn)
    found = []
    for mask in (upper, lower):
        soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.8 * _SCALE / 2)
        fine = cv2.resize(soft, None, fx=1 / _SCALE, fy=1 / _SCALE, interpolation=cv2.INTER_AREA)
        scaled = np.column_stack([back[:, :2] * _SCALE, back[:, 2] + back[:, :2] @ np.full(2, (_SCALE - 1) / 2)])
        found.append(cv2.warpAffine(fine, scaled, (len(part), len(part)), flags=cv2.INTER_LINEAR))
    return found[0], found[1]


def _upright(lips: np.ndarray, side: int) -> tuple[np.ndarray, int]:
    """(2, 3) map to a finer patch in which the corners of the mouth lie on one row, and its side."""
    along = lips[len(UPPER_LIP) - 1] - lips[0]
    cosine, sine = along / max(float(np.hypot(*along)), 1e-6) * _SCALE
    linear = np.array([[cosine, sine], [-sine, cosine]])
    size = side * _SCALE
    return np.column_stack([linear, np.full(2, (size - 1) / 2) - linear @ np.full(2, (side - 1) / 2)]), size


def _split(teeth: np.ndarray, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Upper and lower teeth (H, W) bool of bright pixels, column by column."""
    upper, lower = np.zeros_like(teeth), np.zeros_like(teeth)
    ends = np.full(teeth.shape[1], -1.0)
    for column in np.flatnonzero(teeth.any(0)):
        rows = np.flatnonzero(inside[:, column])
        bright = np.flatnonzero(teeth[:, column])
        if bright[0] > rows[0] + 0.55 * len(rows):
            continue  # nothing bright in the upper half: lower teeth or tongue
        gaps = np.flatnonzero(np.diff(bright) > 2)
        ends[column] = bright[gaps[0]] if len(gaps) else bright[-1]
    known = np.flatnonzero(ends >= 0)
    if len(known):  # a tooth's edge is not ragged: no column ends far from its neighbours
        smooth = median_filter(np.interp(np.arange(len(ends)), known, ends[known]), max(5, len(known) // 6) | 1)
        row = np.arange(len(teeth))[:, None]
        upper = (
            inside & (row <= smooth[None]) & (np.arange(len(ends)) >= known[0]) & (np.arange(len(ends)) <= known[-1])
        )
        lower = teeth & (row > smooth[None] + 1)
    else:
        lower = teeth
    return upper, lower


def _surface(corner: np.ndarray, side: int, shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (N, 2) and vertices (N, 3) in head axes of a curved grid behind the lips that covers the patch."""
    x, y = np.linspace(0, side - 1, _COLUMNS), np.linspace(0, side - 1, _ROWS)
    pixels = corner + np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)
    rim = shape.seen[anatomy().upper_lip.rim]
    middle = rim[len(rim) // 2]
    across = (pixels[:, 0] - (corner[0] + (side - 1) / 2)) / shape.placement.pixels_per_cm
    depth = middle[2] - _BEHIND - _ARCH * across**2
    grid = shape.placement.back(shape.placement.points(pixels, depth.astype(np.float64), shape.centre))
    return pixels.astype(np.float32), grid.astype(np.float32)


def _triangles() -> np.ndarray:
    index = np.arange(_ROWS * _COLUMNS).reshape(_ROWS, _COLUMNS)
    a, b, c, d = (part.ravel() for part in (index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]))
    return np.concatenate([np.stack([a, c, b], 1), np.stack([b, c, d], 1)]).astype(np.int32)


def _jaw() -> np.ndarray:
    """(J,) front lower teeth."""
    head = HeadModel.load()
    teeth = np.arange(head.parts["teeth"].start, head.parts["teeth"].stop)
    moved = np.abs(head.expression[head.expression_names.index("jawOpen"), teeth]).max(1)
    front = head.neutral[teeth, 2] > np.percentile(head.neutral[teeth, 2], 80)
    return teeth[(moved >= 0.3) & front]
