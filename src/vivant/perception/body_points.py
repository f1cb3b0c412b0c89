"""33 body points of one person from a rotated square of the picture (BlazePose; Bazarevsky et al. 2020, arXiv
2006.10204)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vivant.perception.hands import upright
from vivant.perception.landmarks import Square, cut_square
from vivant.perception.runtime import Runtime

INPUT = 256  # side of the net's input in pixels
POINTS = 33
MARGIN = 1.25  # side of the square over the diameter of the person's circle
_HEATMAP, _REACH = 64, 3  # cells of the heatmaps; a window of 7 cells around each point refines it
_LEAST_HEAT = 0.5


@dataclass(frozen=True)
class BodyPoints:
    """What the net says of one person.

    ``points``: (33, 3) float32, BlazePose order, x right and y down in pixels of the picture, z in the same unit from
    the middle of the hips, smaller is nearer. ``visibility``: (33,) in 0..1, low where a point is hidden or outside.
    ``circle``: (2, 2), the middle of the hips and the point that tells size and tilt of the whole figure. ``score``:
    0..1, whether there is a person.
    """

    points: np.ndarray
    visibility: np.ndarray
    circle: np.ndarray
    score: float


def square_of_person(centre: np.ndarray, top: np.ndarray) -> Square:
    """The square around a person: ``centre`` (2,) between the hips, ``top`` (2,) on the circle around the figure."""
    radius = float(np.linalg.norm(top - centre))
    return Square(centre, max(2 * radius * MARGIN, 1.0), upright(top - centre))


class BodyPointsReader:
    """People whose place is roughly known. Not safe to call from two threads at once."""

    def __init__(self, threads: int = 2) -> None:
        """Raises:
        WeightsError: the bundled file is missing or damaged.
        """
        self._net = Runtime("perception/body_landmarks.tflite", threads)

    def __call__(self, image: np.ndarray, previous: BodyPoints) -> BodyPoints:
        """The person of ``previous`` in the next ``image`` (H, W, 3) uint8 RGB; a low ``score`` says lost."""
        return self.in_square(image, square_of_person(*previous.circle))

    def in_square(self, image: np.ndarray, square: Square) -> BodyPoints:
        """The person who fills ``square`` of ``image`` up to the usual margin."""
        view = cut_square(image, square, INPUT)
        rows, flag, _, heat, _ = self._net(view[None].astype(np.float32) / 255)
        rows = rows.reshape(-1, 5).astype(np.float64)
        flat = _refined(rows[:, :2] / INPUT, heat[0]) * INPUT
        matrix = square.to_picture(INPUT)
        picture = flat @ matrix[:, :2].T + matrix[:, 2]
        points = np.column_stack([picture[:POINTS], rows[:POINTS, 2] * (square.side / INPUT)])
        sure = _sigmoid(rows[:POINTS, 3:5]).min(1)
        return BodyPoints(
            points.astype(np.float32), sure.astype(np.float32), picture[POINTS : POINTS + 2].astype(np.float32),
            float(flag.reshape(-1)[0]),
        )  # fmt: skip


def _refined(points: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Points (N, 2) in 0..1 moved to the centre of heat (64, 64, N; before the sigmoid) around them, if it is hot."""
    cells = (points * _HEATMAP).astype(int)
    refined = points.copy()
    for number, (column, row) in enumerate(cells):
        if not (0 <= column < _HEATMAP and 0 <= row < _HEATMAP):
            continue
        left, top = max(0, column - _REACH), max(0, row - _REACH)
        part = _sigmoid(heat[top : row + _REACH + 1, left : column + _REACH + 1, number].astype(np.float64))
        if part.max() < _LEAST_HEAT:
            continue
        x, y = left + np.arange(part.shape[1]), top + np.arange(part.shape[0])
        refined[number] = np.array([part.sum(0) @ x, part.sum(1) @ y]) / (part.sum() * _HEATMAP)
    return refined


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(values, -60, 60)))
