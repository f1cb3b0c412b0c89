"""Detectors of one pass: boxes and a few keypoints of faces, people and palms.

BlazeFace (Bazarevsky et al. 2019, arXiv 1907.05047) comes as two nets: short range (128 px input, faces from about a
fifth of the picture) and full range (192 px input, faces from about a twentieth). Person and palm detector are of the
same make.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from vivant.perception.runtime import Runtime


@dataclass(frozen=True)
class Detections:
    """N candidates, in pixels of the picture.

    ``boxes``: (N, 4) x0, y0, x1, y1. ``keypoints``: (N, K, 2); of faces six: the eye on the left of an upright picture,
    the other eye, nose tip, mouth, two ears. ``scores``: (N,) in 0..1.
    """

    boxes: np.ndarray
    keypoints: np.ndarray
    scores: np.ndarray

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, rows: np.ndarray) -> Detections:
        return Detections(self.boxes[rows], self.keypoints[rows], self.scores[rows])

    def moved(self, offset: tuple[float, float]) -> Detections:
        """The same candidates in a picture whose origin lies at ``-offset`` (x, y) of this one."""
        shift = np.asarray(offset, np.float32)
        return Detections(self.boxes + np.tile(shift, 2), self.keypoints + shift, self.scores)


def no_detections() -> Detections:
    """An empty set."""
    return Detections(np.zeros((0, 4), np.float32), np.zeros((0, 6, 2), np.float32), np.zeros(0, np.float32))


def join(parts: list[Detections]) -> Detections:
    """All candidates of ``parts`` one after another."""
    if not parts:
        return no_detections()
    return Detections(
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.keypoints for part in parts]),
        np.concatenate([part.scores for part in parts]),
    )


def overlap(box: np.ndarray, boxes: np.ndarray, of_smaller: bool = False) -> np.ndarray:
    """Intersection of one box (4,) with ``boxes`` (N, 4), over the union or ``of_smaller`` of the two: (N,) in 0..1."""
    inner = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    shared = np.prod(np.maximum(inner, 0), axis=1)
    areas = np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1)
    area = np.prod(np.maximum(box[2:] - box[:2], 0))
    return shared / np.maximum(np.minimum(area, areas) if of_smaller else area + areas - shared, 1e-9)


def merge(found: Detections, threshold: float = 0.3) -> Detections:
    """Weighted non-maximum suppression: candidates overlapping more than ``threshold`` become their mean."""
    order = np.argsort(-found.scores)
    boxes, keypoints, scores = [], [], []
    while len(order):
        near = overlap(found.boxes[order[0]], found.boxes[order]) > threshold
        near[0] = True  # an empty box overlaps nothing, not even itself
        rows = order[near]
        weight = found.scores[rows] / found.scores[rows].sum()
        boxes.append(np.einsum("n,nd->d", weight, found.boxes[rows]))
        keypoints.append(np.einsum("n,nkd->kd", weight, found.keypoints[rows]))
        scores.append(found.scores[rows[0]])
        order = order[~near]
    if not scores:
        return found
    return Detections(np.array(boxes), np.array(keypoints), np.array(scores))


def _anchor_centres(size: int, layers: tuple[tuple[int, int], ...]) -> np.ndarray:
    """Centres (N, 2) in 0..1 of the anchors; ``layers``: (stride in pixels, anchors in each cell)."""
    parts = []
    for stride, repeat in layers:
        cells = size // stride
        axis = (np.arange(cells, dtype=np.float32) + 0.5) / cells
        grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
        parts.append(np.repeat(grid, repeat, axis=0))
    return np.concatenate(parts)


class SingleShotDetector:
    """A net of Google's single-shot family: one box and K keypoints an anchor, anchors all of one size."""

    def __init__(
        self, name: str, size: int, layers: tuple[tuple[int, int], ...], low: float = -1.0, threads: int = 2
    ) -> None:
        """``name``: the bundled file. ``size``: side of its input in pixels. ``layers``: (stride in pixels, anchors in
        each cell). ``low``: what black is in its input, -1 or 0; white is 1."""
        self._net = Runtime(name, threads)
        self._size, self._low = size, low
        self._anchors = _anchor_centres(size, layers)

    def __call__(self, image: np.ndarray, threshold: float = 0.5) -> Detections:
        """Candidates in ``image`` (H, W, 3) uint8 RGB of at least ``threshold``, merged, best first."""
        tensor, scale, offset = self._letterbox(image)
        regression, logits = self._net(tensor)
        scores = 1.0 / (1.0 + np.exp(-np.clip(logits.reshape(-1), -80, 80)))
        rows = np.flatnonzero(scores >= threshold)
        points = regression.reshape(len(self._anchors), -1, 2)[rows].astype(np.float32)
        centre = self._anchors[rows] * self._size
        points[:, 0] += centre
        points[:, 2:] += centre[:, None]
        points[:, 0] = (points[:, 0] - offset) / scale
        points[:, 2:] = (points[:, 2:] - offset) / scale
        half = points[:, 1] / (2 * scale)
        boxes = np.concatenate([points[:, 0] - half, points[:, 0] + half], axis=1)
        return merge(Detections(boxes, points[:, 2:], scores[rows]))

    def _letterbox(self, image: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
        """(1, S, S, 3) in -1..1 or 0..1 with the whole picture in its middle, the scale, the offset."""
        height, width = image.shape[:2]
        scale = self._size / max(height, width)
        size = max(1, round(width * scale)), max(1, round(height * scale))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        left, top = (self._size - size[0]) // 2, (self._size - size[1]) // 2
        tensor = np.full((1, self._size, self._size, 3), self._low, np.float32)
        tensor[0, top : top + size[1], left : left + size[0]] = (
            small.astype(np.float32) * ((1 - self._low) / 255) + self._low
        )
        return tensor, scale, np.array([left, top], np.float32)


class FaceDetector(SingleShotDetector):
    """One BlazeFace net. ``range``: "short" (128 px input) or "full" (192 px input)."""

    _NETS = {  # noqa: RUF012 - a constant table
        "short": ("perception/face_detector_short_range.tflite", 128, ((8, 2), (16, 6))),
        "full": ("perception/face_detector_full_range.tflite", 192, ((4, 1),)),
    }

    def __init__(self, range: str = "short", threads: int = 2) -> None:
        super().__init__(*self._NETS[range], threads=threads)


class PersonDetector(SingleShotDetector):
    """Whole people (Bazarevsky et al. 2020, arXiv 2006.10204). Boxes hold the face; keypoints (N, 4, 2): middle of the
    hips, a point above whose distance is half the size of the whole figure, middle of the shoulders, a point above that
    tells the size of the upper body."""

    def __init__(self, threads: int = 2) -> None:
        super().__init__("perception/person_detector.tflite", 224, ((8, 2), (16, 2), (32, 6)), threads=threads)


class PalmDetector(SingleShotDetector):
    """Palms (Zhang et al. 2020, arXiv 2006.10214). Keypoints (N, 7, 2): wrist, knuckles of index, middle, ring and
    little finger, first and second joint of the thumb."""

    def __init__(self, threads: int = 2) -> None:
        super().__init__("perception/palm_detector.tflite", 192, ((8, 2), (16, 6)), low=0.0, threads=threads)
