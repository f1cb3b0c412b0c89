"""Skeletons drawn as pictures, pixel for pixel as the DWPose drawer does that Moore-AnimateAnyone was trained on.

It lives here so that methods may use it; the public door is ``vivant.controls.openpose``. Convention (Yang et al. 2023,
arXiv 2307.15880, released drawer): limbs are filled ellipses of half width 4 px in 17 rainbow colours, dimmed to 0.6;
joints are full-colour discs of radius 4; hand bones are lines of 2 px whose hue runs once around, hand points blue
discs of radius 4; face points white discs of radius 3. Sizes are in pixels of a canvas whose shorter side is 512; the
drawing is then resized to what is wanted, so a 256 px picture shows thinner limbs, as the published model saw them.
"""

from __future__ import annotations

import colorsys
import math

import cv2
import numpy as np

from vivant.core.errors import ConfigError
from vivant.core.skeleton import BODY, BODY_LIMBS, FACE, HAND_BONES, LEFT_HAND, PREFIXES, RIGHT_HAND

CANVAS_SIDE = 512
"""Shorter side in pixels of the canvas that the published drawings were made on."""
LEAST_CONFIDENCE = 0.3
"""Points below this confidence are not drawn."""

_COLOURS: tuple[tuple[int, int, int], ...] = (
    (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0), (0, 255, 0), (0, 255, 85),
    (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255), (0, 0, 255), (85, 0, 255), (170, 0, 255),
    (255, 0, 255), (255, 0, 170), (255, 0, 85),
)  # fmt: skip
_HAND_COLOURS = tuple(
    tuple(255 * part for part in colorsys.hsv_to_rgb(bone / len(HAND_BONES), 1.0, 1.0))
    for bone in range(len(HAND_BONES))
)
_DIMMED = (np.arange(256) * 0.6).astype(np.uint8)
_HALF_WIDTH, _JOINT, _HAND_LINE, _HAND_JOINT, _FACE_DOT = 4, 4, 2, 4, 3


def draw_pose(
    points: np.ndarray,
    size: tuple[int, int],
    canvas_side: int | None = CANVAS_SIDE,
    hands: bool = True,
    face: bool = True,
    least_confidence: float = LEAST_CONFIDENCE,
) -> np.ndarray:
    """One skeleton on black, (H, W, 3) uint8 RGB.

    Args:
        points: (N, 3) in the layout of :mod:`vivant.core.skeleton`, x and y in -1..1 from edge to edge of the picture,
            confidence in 0..1; or (P, N, 3) for P people on one canvas.
        size: (H, W) in pixels of the result.
        canvas_side: shorter side in pixels of the canvas drawn on before resizing; None draws at ``size`` itself.
        hands: draw the hands, if the points have them. ``face``: likewise the face.
        least_confidence: points below it are left out.

    Raises:
        ConfigError: the array has another shape, or the size is not positive.
    """
    people = _check(points, size)
    height, width = size
    scale = canvas_side / min(size) if canvas_side else 1.0
    shape = max(1, round(height * scale)), max(1, round(width * scale))
    canvas = np.zeros((*shape, 3), np.uint8)
    seen = people[..., 2] >= least_confidence
    seen &= np.isfinite(people[..., :2]).all(-1)
    pixels = (np.where(seen[..., None], people[..., :2], 0) + 1) / 2 * np.array([shape[1], shape[0]])
    pixels = np.clip(pixels, -8 * max(shape), 8 * max(shape))  # far outside, where drawing would overflow
    canvas = _draw_bodies(canvas, pixels[:, BODY], seen[:, BODY])
    for part in (LEFT_HAND, RIGHT_HAND):
        if hands and people.shape[1] >= part.stop:
            _draw_hands(canvas, pixels[:, part], seen[:, part])
    if face and people.shape[1] >= FACE.stop:
        _draw_faces(canvas, pixels[:, FACE], seen[:, FACE])
    if shape == tuple(size):
        return canvas
    way = cv2.INTER_AREA if scale > 2 else cv2.INTER_LINEAR  # bilinear sampling would skip thin lines
    return cv2.resize(canvas, (width, height), interpolation=way)


def _check(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    people = np.asarray(points, np.float64)
    people = people[None] if people.ndim == 2 else people
    if people.ndim != 3 or people.shape[2] != 3 or people.shape[1] not in PREFIXES:
        known = ", ".join(str(count) for count in PREFIXES)
        raise ConfigError(
            f"A pose to draw is (N, 3) with N one of {known}, not {np.shape(points)}: pass x, y and confidence of "
            f"points in OpenPose-18, hands, face order."
        )
    if len(size) != 2 or min(size) < 1:
        raise ConfigError(f"A pose is drawn into (height, width) pixels, not {size}: give two positive numbers.")
    return people


def _draw_bodies(canvas: np.ndarray, pixels: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Limbs and joints of (P, 18, 2) points in pixels; returns the canvas, dimmed under the joints."""
    for colour, (start, end) in zip(_COLOURS, BODY_LIMBS):
        for person, there in zip(pixels, seen):
            if there[start] and there[end]:
                _draw_stick(canvas, person[start], person[end], colour)
    canvas = np.asarray(cv2.LUT(canvas, _DIMMED))
    for joint, colour in enumerate(_COLOURS):
        for person, there in zip(pixels, seen):
            if there[joint]:
                cv2.circle(canvas, _cell(person[joint]), _JOINT, colour, thickness=-1)
    return canvas


def _draw_stick(canvas: np.ndarray, start: np.ndarray, end: np.ndarray, colour: tuple[int, int, int]) -> None:
    """A filled ellipse from point to point; integers are truncated as the released drawer truncates them."""
    across = start - end
    angle = int(math.degrees(math.atan2(across[1], across[0])))
    axes = int(math.hypot(across[0], across[1]) / 2), _HALF_WIDTH
    outline = np.asarray(cv2.ellipse2Poly(_cell((start + end) / 2), axes, angle, 0, 360, 1))
    cv2.fillConvexPoly(canvas, outline, colour)


def _draw_hands(canvas: np.ndarray, pixels: np.ndarray, seen: np.ndarray) -> None:
    """Bones and points of (P, 21, 2) hands in pixels; a point in the first row or column is not drawn."""
    for hand, there in zip(pixels, seen):
        cells = [_cell(point) if known else (0, 0) for point, known in zip(hand, there)]
        for colour, (start, end) in zip(_HAND_COLOURS, HAND_BONES):
            if min(*cells[start], *cells[end]) > 0:
                cv2.line(canvas, cells[start], cells[end], colour, thickness=_HAND_LINE)
        for cell in cells:
            if min(cell) > 0:
                cv2.circle(canvas, cell, _HAND_JOINT, (0, 0, 255), thickness=-1)


def _draw_faces(canvas: np.ndarray, pixels: np.ndarray, seen: np.ndarray) -> None:
    """Points of (P, 68, 2) faces in pixels."""
    for face, there in zip(pixels, seen):
        for point, known in zip(face, there):
            cell = _cell(point)
            if known and min(cell) > 0:
                cv2.circle(canvas, cell, _FACE_DOT, (255, 255, 255), thickness=-1)


def _cell(point: np.ndarray) -> tuple[int, int]:
    """The pixel of a point, truncated towards zero."""
    return int(point[0]), int(point[1])
