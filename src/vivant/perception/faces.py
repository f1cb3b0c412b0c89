"""Every face of one picture: detect, find landmarks, find them once more on a square that fits better."""

from __future__ import annotations

import cv2
import numpy as np

from vivant.core.errors import MediaError
from vivant.core.face import Face
from vivant.perception.detect import Detections, FaceDetector, join, merge, overlap
from vivant.perception.landmarks import LandmarkRunner, square_of_box, square_of_landmarks

DETECT_SIDE = 1536  # larger pictures are searched in a reduced copy; landmarks use the full picture
SMALL_FACE = 0.12  # a largest face below this part of the shorter side suggests a crowd: search tiles, too
SURE = 0.9999  # presence of nearly every upright face; one taken upside down or sideways stays below
UPRIGHT_PRIOR = 8.0  # log odds of presence by which a face upside down must beat an upright one; less for less roll
LEAST_PRESENCE = 0.9  # asked of faces that only a low threshold or a turned picture brought up
CLEAR = 0.998  # asked of small faces beside a large one: hair and ears seen through a tile stay below
MIN_TILE = 96  # pixels; narrow pictures are not cut into countless tiny tiles
MIN_SIDE = 8  # pixels; nothing smaller can hold a face


class FaceFinder:
    """Finds faces in pictures."""

    def __init__(self, min_presence: float = 0.5, threads: int = 2, max_faces: int | None = None) -> None:
        """``min_presence``: faces below this score (0..1) are dropped. ``threads``: CPU threads of the nets.

        Raises:
            WeightsError: a bundled file is missing or damaged.
        """
        self.min_presence = min_presence
        self.max_faces = max_faces
        self.runner = LandmarkRunner(threads)
        self._short = FaceDetector("short", threads)
        self._full = FaceDetector("full", threads)

    def find(self, image: np.ndarray, thorough: bool = True) -> list[Face]:
        """Faces in ``image`` (H, W, 3) uint8 RGB, largest first; empty when there is none.

        First the whole picture is searched; ``thorough=False`` stops there, which takes the same time whatever the
        picture shows. Then overlapping tiles, for small faces, also beside a large one; then, with a low detection
        threshold, the whole picture; then, as long as a face is doubtful, the picture turned by 90, 180 and 270
        degrees. The landmark net has the last word on every candidate.

        Raises:
            MediaError: ``image`` is not an (H, W, 3) uint8 array.
        """
        check_image(image)
        if min(image.shape[:2]) < MIN_SIDE:
            return []
        small, scale = _shrink(image, DETECT_SIDE)
        faces = self._confirm(image, self._detect(small), scale)
        if thorough:
            if not faces or faces[0].size < SMALL_FACE * min(image.shape[:2]):
                faces = self._confirm(image, self._detect_tiles(small), scale, faces)
            else:
                faces = self._with_smaller(image, self._detect_tiles(small), scale, faces)
            if not faces:
                faces = self._confirm(image, self._detect(small, 0.15), scale, least=LEAST_PRESENCE)
            if not faces or min(face.score for face in faces) < SURE:
                faces = self._confirm(image, self._detect_turned(small), scale, faces, LEAST_PRESENCE)
        return faces[: self.max_faces]

    def _with_smaller(self, image: np.ndarray, found: Detections, scale: float, known: list[Face]) -> list[Face]:
        """``known`` and the clear faces of ``found`` elsewhere in the picture, largest first.

        A tile may cut a large face, so what it shows of ``known`` never replaces them.
        """
        others = self._confirm(image, found, scale, least=CLEAR)
        fresh = [face for face in others if not is_known(face, known)]
        return sorted([*known, *fresh], key=lambda face: -face.size)

    def _detect(self, image: np.ndarray, threshold: float = 0.5) -> Detections:
        return merge(join([self._short(image, threshold), self._full(image, threshold)]))

    def _detect_tiles(self, image: np.ndarray) -> Detections:
        """Candidates of the full-range net in square tiles of half the shorter side, half overlapping."""
        height, width = image.shape[:2]
        side = max(min(height, width) // 2, MIN_TILE)
        parts = []
        for top in _starts(height, side):
            for left in _starts(width, side):
                parts.append(self._full(image[top : top + side, left : left + side], 0.6).moved((left, top)))
        return merge(join(parts))

    def _detect_turned(self, image: np.ndarray) -> Detections:
        """Candidates in the picture turned by 90, 180 and 270 degrees, in unturned coordinates."""
        height, width = image.shape[:2]
        parts = []
        for quarters in (1, 2, 3):
            found = self._detect(np.ascontiguousarray(np.rot90(image, quarters)))
            corners = _turn_back(found.boxes.reshape(-1, 2, 2), quarters, width, height)
            boxes = np.concatenate([corners.min(1), corners.max(1)], axis=1)
            parts.append(Detections(boxes, _turn_back(found.keypoints, quarters, width, height), found.scores))
        return join(parts)

    def _confirm(
        self,
        image: np.ndarray,
        found: Detections,
        scale: float,
        known: list[Face] | None = None,
        least: float = 0.0,
    ) -> list[Face]:
        """``known`` and those of ``found`` (pixels times ``scale``) that the landmark net agrees to, largest first.

        New ones need a presence of ``least``, too. Of several at one place the one stays in which the net sees a
        face most clearly. Heads bowed far down are seen a little more clearly the wrong way round, so the more one is
        turned, the more clearly it must be seen: in pictures that really are upside down it is.
        """
        candidates = list(known or [])
        for box, keypoints in zip(found.boxes / scale, found.keypoints / scale):
            rough = self.runner.in_square(image, square_of_box(box, keypoints))
            if rough.score < self.min_presence / 2:
                continue
            face = self.runner(image, rough.landmarks)
            if face.score >= max(self.min_presence, least):
                candidates.append(face)
        faces: list[Face] = []
        for face in sorted(candidates, key=_clearness, reverse=True):
            if not is_known(face, faces):
                faces.append(face)
        return sorted(faces, key=lambda face: -face.size)


def _clearness(face: Face) -> float:
    """Log odds of presence, less the prior against turned faces."""
    presence = min(max(face.score, 1e-9), 1 - 1e-9)
    roll = abs(square_of_landmarks(face.landmarks).angle) / np.pi  # 1 is upside down
    return float(np.log(presence / (1 - presence)) - UPRIGHT_PRIOR * roll)


def is_known(face: Face, faces: list[Face], threshold: float = 0.5) -> bool:
    """Whether ``face`` and one of ``faces`` share more than ``threshold`` of the smaller one's box."""
    if not faces:
        return False
    return bool(overlap(face.box, np.stack([other.box for other in faces]), of_smaller=True).max() > threshold)


def _turn_back(points: np.ndarray, quarters: int, width: int, height: int) -> np.ndarray:
    """Points (..., 2) of a picture turned by np.rot90 ``quarters`` times, in the (width, height) picture itself."""
    x, y = points[..., 0], points[..., 1]
    turned = {1: (width - y, x), 2: (width - x, height - y), 3: (y, height - x)}[quarters]
    return np.stack(turned, axis=-1)


def _starts(length: int, side: int) -> list[int]:
    """Where tiles of ``side`` begin so that they overlap by half or more and reach the end of ``length``."""
    count = max(1, int(np.ceil((length - side) / (side / 2))) + 1)
    return [round(at) for at in np.linspace(0, max(length - side, 0), count)]


def _shrink(image: np.ndarray, side: int) -> tuple[np.ndarray, float]:
    """``image`` with its longer side at most ``side`` pixels, and the factor it was scaled by."""
    scale = min(1.0, side / max(image.shape[:2]))
    if scale == 1.0:
        return image, 1.0
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA), scale


def check_image(image: np.ndarray) -> None:
    """Raise MediaError unless ``image`` is an (H, W, 3) uint8 array."""
    if not isinstance(image, np.ndarray) or image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        shape = getattr(image, "shape", type(image).__name__)
        raise MediaError(f"Faces are looked for in (H, W, 3) uint8 RGB pictures, not in {shape}: convert it first.")
