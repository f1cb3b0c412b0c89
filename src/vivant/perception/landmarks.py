"""478 landmarks of one face from a rotated square of the picture (FaceMesh V2; Kartynnik et al. 2019, arXiv
1907.06724; Grishchenko et al. 2020, arXiv 2006.10962, for lips, eyes and irises)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from vivant.core.face import Face
from vivant.perception.mesh import BLENDSHAPE_POINTS, LEFT_EYE_OUTER, POINTS, RIGHT_EYE_OUTER
from vivant.perception.runtime import Runtime

INPUT = 256  # side of the net's input in pixels
MARGIN = 1.5  # side of the square over the longer side of the face's box


@dataclass(frozen=True)
class Square:
    """A rotated square in the picture: ``centre`` (2,) and ``side`` in pixels, ``angle`` in radians.

    ``angle`` is that of the square's x axis, positive clockwise in the picture.
    """

    centre: np.ndarray
    side: float
    angle: float

    def to_picture(self, size: int = INPUT) -> np.ndarray:
        """(2, 3) float64 that maps (x, y, 1) of a view of ``size`` pixels to picture pixels."""
        step = self.side / size
        cosine, sine = np.cos(self.angle) * step, np.sin(self.angle) * step
        linear = np.array([[cosine, -sine], [sine, cosine]])
        return np.column_stack([linear, self.centre - linear @ np.full(2, size / 2)])


def _tilt(first: np.ndarray, second: np.ndarray) -> float:
    """Angle of the line from the eye on the left of an upright face to the other one."""
    return float(np.arctan2(second[1] - first[1], second[0] - first[0]))


def square_of_box(box: np.ndarray, keypoints: np.ndarray) -> Square:
    """The square around a detected box (4,), upright with the eyes ``keypoints[0]`` and ``keypoints[1]``."""
    side = float(max(box[2] - box[0], box[3] - box[1])) * MARGIN
    return Square((box[:2] + box[2:]) / 2, max(side, 1.0), _tilt(keypoints[0], keypoints[1]))


def square_of_landmarks(landmarks: np.ndarray) -> Square:
    """The square around landmarks (478, 2 or 3), upright with the eyes."""
    box = box_of_landmarks(landmarks)
    return square_of_box(box, landmarks[[RIGHT_EYE_OUTER, LEFT_EYE_OUTER], :2])


def box_of_landmarks(landmarks: np.ndarray) -> np.ndarray:
    """(4,) float32 x0, y0, x1, y1 around landmarks (N, 2 or 3)."""
    points = landmarks[:, :2]
    return np.concatenate([points.min(0), points.max(0)]).astype(np.float32)


def cut_square(image: np.ndarray, square: Square, size: int = INPUT) -> np.ndarray:
    """The (size, size, 3) uint8 view of ``square``, black outside the picture; large squares are averaged."""
    image, matrix = shrink_for_warp(image, square.to_picture(size), size)
    return cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)


def shrink_for_warp(image: np.ndarray, matrix: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """What a bilinear warp of ``image`` into a square view of ``size`` pixels should read, and the matrix for it.

    ``matrix`` (2, 3) maps view to picture. Bilinear sampling with steps above two pixels would skip some: then the
    part under the view is first shrunk by averaging; else image and matrix come back as they are.
    """
    step = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    if step <= 2:
        return image, matrix
    corners = matrix @ np.array([[0, size, 0, size], [0, 0, size, size], [1, 1, 1, 1]])
    limit = np.array([image.shape[1], image.shape[0]])
    low = np.clip(np.floor(corners.min(1)).astype(int), 0, limit - 1)
    high = np.clip(np.ceil(corners.max(1)).astype(int) + 1, low + 1, limit)
    part = image[low[1] : high[1], low[0] : high[0]]
    shape = np.maximum(1, np.round((high - low) / step)).astype(int)
    small = cv2.resize(part, (int(shape[0]), int(shape[1])), interpolation=cv2.INTER_AREA)
    moved = matrix.copy()
    moved[:, 2] -= low
    return small, moved * (shape / (high - low))[:, None]


class LandmarkRunner:
    """The tracking step: landmarks of one face whose place is roughly known.

    ``runner(image, previous_landmarks)`` follows a face from frame to frame without detecting again.
    """

    def __init__(self, threads: int = 2, blendshapes: bool = True) -> None:
        self._mesh = Runtime("perception/face_landmarks.tflite", threads)
        self._expression = Runtime("perception/face_blendshapes.tflite", threads) if blendshapes else None

    def __call__(self, image: np.ndarray, previous_landmarks: np.ndarray) -> Face:
        """The face of ``image`` (H, W, 3) uint8 RGB near ``previous_landmarks`` (478, 2 or 3) in its pixels.

        Its ``score`` says whether a face is there: below 0.5 it is lost.
        """
        return self.in_square(image, square_of_landmarks(previous_landmarks))

    def in_square(self, image: np.ndarray, square: Square) -> Face:
        """The face that fills ``square`` of ``image`` up to the usual margin."""
        view = cut_square(image, square)
        points, presence = self._mesh(view[None].astype(np.float32) / 255)[:2]
        landmarks = _to_picture(points.reshape(POINTS, 3), square)
        score = 1 / (1 + math.exp(-float(np.clip(presence.reshape(-1)[0], -30, 30))))
        return Face(landmarks, box_of_landmarks(landmarks), score, self._blendshapes(landmarks))

    def _blendshapes(self, landmarks: np.ndarray) -> np.ndarray | None:
        if self._expression is None:
            return None
        points = landmarks[list(BLENDSHAPE_POINTS), :2]
        return self._expression(points[None].astype(np.float32))[0].reshape(-1).copy()


def _to_picture(points: np.ndarray, square: Square) -> np.ndarray:
    """Points (N, 3) of the net's input in picture pixels; z is scaled like x and y."""
    matrix = square.to_picture()
    flat = points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    return np.column_stack([flat, points[:, 2] * (square.side / INPUT)]).astype(np.float32)
