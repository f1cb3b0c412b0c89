"""21 points of a hand from a rotated square of the picture (Zhang et al. 2020, arXiv 2006.10214).

Order: wrist, then thumb, index, middle, ring and little finger, each from palm to tip.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vivant.perception.detect import PalmDetector
from vivant.perception.landmarks import Square, cut_square
from vivant.perception.runtime import Runtime

INPUT = 224  # side of the net's input in pixels
LEAST_PRESENCE = 0.5
_STEADY = (0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18)  # points that frame the hand, whatever the finger tips do
_WRIST, _INDEX, _MIDDLE, _RING = 0, 6, 10, 14


@dataclass(frozen=True)
class Hand:
    """One hand. ``points``: (21, 2) float32 pixels of the picture. ``presence``: 0..1, how sure it is a hand.
    ``is_right``: 0..1, whether it is a person's right hand."""

    points: np.ndarray
    presence: float
    is_right: float


class HandReader:
    """Hands whose place is roughly known. Not safe to call from two threads at once."""

    def __init__(self, threads: int = 2) -> None:
        """Raises:
        WeightsError: a bundled file is missing or damaged.
        """
        self._points = Runtime("perception/hand_landmarks.tflite", threads)
        self._palms = PalmDetector(threads)

    def in_square(self, image: np.ndarray, square: Square) -> Hand:
        """The hand that fills ``square`` of ``image`` (H, W, 3) uint8 RGB, fingers upwards in it."""
        view = cut_square(image, square, INPUT)
        points, presence, handedness = self._points(view[None].astype(np.float32) / 255)[:3]
        matrix = square.to_picture(INPUT)
        flat = points.reshape(21, 3)[:, :2] @ matrix[:, :2].T + matrix[:, 2]
        return Hand(flat.astype(np.float32), float(presence.reshape(-1)[0]), float(handedness.reshape(-1)[0]))

    def near(self, image: np.ndarray, square: Square) -> Hand | None:
        """The hand near ``square``, found again on a square that fits better; None where there is none."""
        rough = self.in_square(image, square)
        if rough.presence < LEAST_PRESENCE / 2:
            return None
        hand = self.in_square(image, square_of_hand(rough.points))
        return hand if hand.presence >= LEAST_PRESENCE else None

    def search(self, image: np.ndarray, centre: np.ndarray, side: float) -> Hand | None:
        """The hand nearest the middle of the upright square of ``side`` pixels around ``centre`` (2,), or None."""
        low = np.maximum(np.floor(centre - side / 2).astype(int), 0)
        high = np.minimum(np.ceil(centre + side / 2).astype(int), [image.shape[1], image.shape[0]])
        if (high - low < 8).any():
            return None
        found = self._palms(np.ascontiguousarray(image[low[1] : high[1], low[0] : high[0]]), 0.5)
        if not len(found):
            return None
        found = found.moved((float(low[0]), float(low[1])))
        nearest = int(np.argmin(np.linalg.norm(found.keypoints[:, 0] - centre, axis=1)))
        return self.near(image, square_of_palm(found.boxes[nearest], found.keypoints[nearest]))


def upright(direction: np.ndarray) -> float:
    """Angle of a square in which ``direction`` (2,), in picture pixels, points upwards."""
    return float(np.arctan2(direction[0], -direction[1]))


def square_of_palm(box: np.ndarray, keypoints: np.ndarray) -> Square:
    """The square of a hand from a palm's box (4,) and keypoints (7, 2): 2.6 times as large, moved to the fingers."""
    side = float(max(box[2] - box[0], box[3] - box[1]))
    angle = upright(keypoints[2] - keypoints[0])
    return Square((box[:2] + box[2:]) / 2 + _turned((0.0, -0.5 * side), angle), max(2.6 * side, 1.0), angle)


def square_of_hand(points: np.ndarray) -> Square:
    """The square for the net around known points (21, 2): twice their extent along the hand."""
    knuckles = ((points[_INDEX] + points[_RING]) / 2 + points[_MIDDLE]) / 2
    angle = upright(knuckles - points[_WRIST])
    cosine, sine = np.cos(angle), np.sin(angle)
    along = points[list(_STEADY)] @ np.array([[cosine, -sine], [sine, cosine]])  # in the turned square's own axes
    low, high = along.min(0), along.max(0)
    extent = high - low
    centre = _turned(tuple((low + high) / 2 + [0.0, -0.1 * extent[1]]), angle)
    return Square(centre, max(2 * float(extent.max()), 1.0), angle)


def square_of_arm(wrist: np.ndarray, index: np.ndarray, little: np.ndarray) -> Square:
    """A first guess from the body's wrist and knuckles, each (2,)."""
    knuckles = (2 * index + little) / 3
    return Square(knuckles, max(2 * 2.7 * float(np.linalg.norm(knuckles - wrist)), 1.0), upright(knuckles - wrist))


def _turned(offset: tuple[float, ...], angle: float) -> np.ndarray:
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([cosine * offset[0] - sine * offset[1], sine * offset[0] + cosine * offset[1]])
