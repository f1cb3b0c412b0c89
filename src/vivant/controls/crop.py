"""Squares around faces: their geometry, the cut, and the way back.

Pixel coordinates are OpenCV's: x right, y down, the centre of the first pixel is (0, 0).
Source of the geometry: the released LivePortrait model, which was trained and used with these windows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from vivant.controls.landmarks import CONTOUR203, MESH, eye_and_lip_centres
from vivant.core.errors import FaceError
from vivant.core.face import Face, FaceCrop

Points = Literal["mesh", "contour203"]
Border = Literal["replicate", "constant", "reflect"]
_BORDERS = {"replicate": cv2.BORDER_REPLICATE, "constant": cv2.BORDER_CONSTANT, "reflect": cv2.BORDER_REFLECT_101}
_SMALLEST = 2.0  # pixels of the picture; a smaller window holds no face


@dataclass(frozen=True)
class CropWindow:
    """A square in the picture. ``centre``: (2,) pixels; ``side``: pixels; ``angle``: radians by which the
    face leans (0 upright), the rotation that a rotating crop undoes."""

    centre: np.ndarray
    side: float
    angle: float

    @property
    def box(self) -> np.ndarray:
        """(4,) x0, y0, x1, y1 of the square drawn without rotation."""
        half = self.side / 2
        return np.array([*(self.centre - half), *(self.centre + half)])

    def to_crop(self, size: int, rotate: bool) -> np.ndarray:
        """(2, 3) float64: picture pixels (x, y, 1) to pixels of a crop of ``size``, centre to centre."""
        zoom, angle = size / self.side, self.angle if rotate else 0.0
        cos, sin = zoom * math.cos(angle), zoom * math.sin(angle)
        linear = np.array([[cos, sin], [-sin, cos]])
        return np.column_stack([linear, size / 2 - linear @ self.centre])


def crop_window(landmarks: np.ndarray, scale: float, shift_y: float, points: Points = "contour203") -> CropWindow:
    """The square that frames a face.

    The face's vertical runs from the eyes to the lips. In that upright frame the landmarks' bounding box is
    taken, made square on its longer side, enlarged by ``scale`` and moved along the vertical by ``shift_y``
    times the new side.

    Args:
        landmarks: (N, 2 or 3) pixels; N = 478, 203, 106, 101, 68, 9 or 5.
        scale: side of the window over the longer side of the box.
        shift_y: shift in units of the window's side; negative moves towards the forehead.
        points: which of 478 landmarks span the box; other layouts use all their points.

    Raises:
        FaceError: unknown layout, numbers that are not finite, or a face of less than a pixel.
    """
    eyes, lips = eye_and_lip_centres(landmarks)
    flat = np.asarray(landmarks, dtype=np.float64)[:, :2]
    if len(landmarks) == 478:
        flat = flat[list(MESH if points == "mesh" else CONTOUR203)]
    down = _unit((lips - eyes).astype(np.float64))
    right = np.array([down[1], -down[0]])
    middle = flat.mean(axis=0)
    upright = (flat - middle) @ np.stack([right, down], axis=1)
    low, high = upright.min(axis=0), upright.max(axis=0)
    side = float((high - low).max()) * scale
    if side < _SMALLEST:
        raise FaceError(f"The face is only {side:.1f} pixels wide; use a larger picture.")
    x, y = (low + high) / 2
    centre = middle + x * right + (y + shift_y * side) * down
    return CropWindow(centre, side, math.atan2(right[1], right[0]))


def _unit(vector: np.ndarray) -> np.ndarray:
    length = float(np.hypot(*vector))
    return vector / length if length > 1e-3 else np.array([0.0, 1.0])


def mean_window(windows: Sequence[CropWindow]) -> CropWindow:
    """One fixed, upright window for a whole clip: the mean of the windows' boxes.

    Raises:
        FaceError: no window was given.
    """
    if not windows:
        raise FaceError("No face was found in the driving clip; use a clip that shows a face.")
    centre = np.mean([window.centre for window in windows], axis=0)
    return CropWindow(centre, float(np.mean([window.side for window in windows])), 0.0)


def crop_with_window(
    frame: np.ndarray,
    landmarks: np.ndarray,
    window: CropWindow,
    size: int,
    rotate: bool,
    border: Border = "replicate",
) -> FaceCrop:
    """Cut ``window`` out of ``frame`` (H, W, 3) uint8 into a square of ``size`` pixels.

    Args:
        frame: the picture.
        landmarks: (478, 3) in picture pixels; they come back in crop pixels, depth scaled alike.
        window: from :func:`crop_window` or :func:`mean_window`.
        size: side of the crop in pixels.
        rotate: turn the face upright.
        border: what lies beyond the picture: its edge repeated, black, or its mirror image.
    """
    to_crop = window.to_crop(size, rotate)
    moved = np.asarray(landmarks, dtype=np.float64).copy()
    moved[:, :2] = moved[:, :2] @ to_crop[:, :2].T + to_crop[:, 2]
    moved[:, 2:] *= size / window.side
    image = warp_square(frame, to_crop, size, border)
    return FaceCrop(image, moved.astype(np.float32), cv2.invertAffineTransform(to_crop), _size(frame))


def crop_face(
    frame: np.ndarray,
    face: Face,
    scale: float = 2.3,
    shift_y: float = -0.125,
    size: int = 512,
    rotate: bool = True,
    points: Points = "contour203",
    border: Border | None = None,
) -> FaceCrop:
    """The square view of ``face`` in ``frame`` (H, W, 3) uint8 that methods work on.

    ``border``: None takes what the nets behind ``points`` saw in training: black for "contour203"
    (published), the repeated edge for "mesh". The other arguments are those of :func:`crop_window` and
    :func:`crop_with_window`.

    Raises:
        FaceError: the landmarks do not make a window.
    """
    window = crop_window(face.landmarks, scale, shift_y, points)
    border = border or ("constant" if points == "contour203" else "replicate")
    return crop_with_window(frame, face.landmarks, window, size, rotate, border)


def warp_square(frame: np.ndarray, to_crop: np.ndarray, size: int, border: Border = "replicate") -> np.ndarray:
    """Warp ``frame`` (H, W, 3) by the similarity ``to_crop`` (2, 3) into (size, size, 3), bilinear.

    Where two or more picture pixels fall on one crop pixel, the picture is first reduced by area averaging,
    so fine patterns do not alias.
    """
    step = int(1 / max(float(np.hypot(to_crop[0, 0], to_crop[1, 0])), 1e-9))
    if step > 1:
        frame, to_crop = _reduced(frame, to_crop, size, step)
    return cv2.warpAffine(frame, to_crop, (size, size), flags=cv2.INTER_LINEAR, borderMode=_BORDERS[border])


def _reduced(frame: np.ndarray, to_crop: np.ndarray, size: int, step: int) -> tuple[np.ndarray, np.ndarray]:
    """The part of ``frame`` that the crop shows, averaged over ``step`` squared pixels, and its map."""
    height, width = frame.shape[:2]
    corners = np.array([[0, 0], [size, 0], [0, size], [size, size]], dtype=np.float64)
    back = cv2.invertAffineTransform(to_crop)
    reach = corners @ back[:, :2].T + back[:, 2]
    low = np.clip(np.floor(reach.min(axis=0)) - 2 * step, 0, [width - 1, height - 1]).astype(int)
    high = np.clip(np.ceil(reach.max(axis=0)) + 2 * step, low + 1, [width, height]).astype(int)
    part = frame[low[1] : high[1], low[0] : high[0]]
    fill_y, fill_x = -part.shape[0] % step, -part.shape[1] % step
    part = cv2.copyMakeBorder(part, 0, fill_y, 0, fill_x, cv2.BORDER_REPLICATE)
    small = cv2.resize(part, (part.shape[1] // step, part.shape[0] // step), interpolation=cv2.INTER_AREA)
    linear = to_crop[:, :2] * step
    middle = low + (step - 1) / 2
    return small, np.column_stack([linear, to_crop[:, :2] @ middle + to_crop[:, 2]])


def _size(frame: np.ndarray) -> tuple[int, int]:
    return frame.shape[0], frame.shape[1]
