"""What a sync net looks at: one face followed through a clip, and the squares cut around it.

Two crops exist, and the numbers of a net depend on its crop, so the names of both stand beside every number.
``published``: the whole face as the released pipeline cuts it (boxes smoothed by a median over 13 frames, 1.4 half
boxes to the sides, 1 up, 1.8 down, grey 110 beyond the picture, 224 px); the boxes are those of our landmarks, not of
the S3FD detector that the released pipeline runs. ``lower-face``: nose to chin, upright and of constant size by the eye
corners and the nose, smoothed by a Gaussian of two frames, grey, 96 px.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.signal import medfilt

from vivant.core.errors import FaceError
from vivant.core.face import Face
from vivant.perception.identity import ALIGN_POINTS, align_matrix
from vivant.perception.landmarks import shrink_for_warp
from vivant.perception.tracking import FaceTracker

LOWER_FACE_SIZE = 96
PUBLISHED_SIZE = 224
MOST_FACES = 6  # followed at once
LONGEST_GAP = 25  # frames without the face that are bridged; the released pipeline allows as many
_CENTRE, _HALF = (0.5, 0.685), 0.3  # of the lower face, in the square of :func:`align_matrix`
_SMOOTH = 2.0  # frames
_BEYOND = 110


@dataclass(frozen=True)
class Track:
    """One face over F consecutive frames, gaps filled.

    ``start``: number of its first frame. ``boxes``: (F, 4) x0, y0, x1, y1 in pixels. ``align``: (F, 2, 3), maps the
    unit square of an upright, aligned face to pixels of the picture. ``seen``: (F,) False where a gap was bridged.
    """

    start: int
    boxes: np.ndarray
    align: np.ndarray
    seen: np.ndarray

    def __len__(self) -> int:
        return len(self.boxes)


def find_tracks(frames: Iterable[np.ndarray], most_faces: int = MOST_FACES) -> list[Track]:
    """Every face of a clip (H, W, 3) uint8 RGB, longest track first, then by size. Gaps of up to 25 frames are bridged
    in straight lines; a scene cut or a longer gap ends a track. Keeps 14 numbers a face and frame."""
    tracker = FaceTracker(max_faces=most_faces)
    part: dict[int, int] = defaultdict(int)
    last: dict[int, int] = {}
    rows: dict[tuple[int, int], list[tuple[int, np.ndarray]]] = defaultdict(list)
    for number, frame in enumerate(frames):
        for name, face in tracker.update(frame).items():
            if number - last.get(name, number) > LONGEST_GAP:
                part[name] += 1
            last[name] = number
            rows[name, part[name]].append((number, _numbers(face)))
    tracks = [_bridged(found) for found in rows.values()]
    return sorted(tracks, key=lambda track: (-len(track), -float(_sizes(track.boxes).mean())))


def find_speaker(frames: Iterable[np.ndarray]) -> Track:
    """The longest track of :func:`find_tracks`.

    Raises:
        FaceError: the clip shows no face.
    """
    tracks = find_tracks(frames)
    if not tracks:
        raise FaceError("The video shows no face, so lips cannot be compared with the sound: give another video.")
    return tracks[0]


def _numbers(face: Face) -> np.ndarray:
    """(14,): box, then the five aligned points."""
    return np.concatenate([face.box, face.landmarks[list(ALIGN_POINTS), :2].ravel()]).astype(np.float32)


def track_of_landmarks(landmarks: np.ndarray, seen: np.ndarray, start: int = 0) -> Track:
    """A track from landmarks (F, 478, 2 or 3) in pixels that are known already, gaps filled."""
    flat = landmarks[..., :2]
    boxes = np.concatenate([flat.min(1), flat.max(1)], axis=1)
    return Track(start, boxes, np.stack([align_matrix(points, 1) for points in flat]), seen)


def _bridged(found: list[tuple[int, np.ndarray]]) -> Track:
    numbers = np.array([number for number, _ in found])
    values = np.stack([row for _, row in found])
    every = np.arange(numbers[0], numbers[-1] + 1)
    filled = np.stack([np.interp(every, numbers, column) for column in values.T], axis=1)
    points = np.zeros((len(every), max(ALIGN_POINTS) + 1, 2))
    points[:, list(ALIGN_POINTS)] = filled[:, 4:].reshape(len(every), -1, 2)
    align = np.stack([align_matrix(frame, 1) for frame in points])
    return Track(int(numbers[0]), filled[:, :4], align, np.isin(every, numbers))


def _sizes(boxes: np.ndarray) -> np.ndarray:
    return np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])


def lower_face_matrices(track: Track, size: int = LOWER_FACE_SIZE, margin: float = 1.0) -> np.ndarray:
    """(F, 2, 3) float64 that maps pixels of the ``lower-face`` crop to pixels of the picture; ``margin`` widens it."""
    smooth = gaussian_filter1d(track.align, _SMOOTH, axis=0, mode="nearest")
    half = _HALF * margin
    step, corner = 2 * half / size, np.array(_CENTRE) - half
    return np.concatenate([smooth[:, :, :2] * step, smooth[:, :, :2] @ corner[:, None] + smooth[:, :, 2:]], axis=2)


def cut_lower_face(frame: np.ndarray, matrix: np.ndarray, size: int = LOWER_FACE_SIZE) -> np.ndarray:
    """One ``lower-face`` crop (size, size) uint8 grey of ``frame`` (H, W, 3) uint8 RGB; the edge repeats."""
    frame, matrix = shrink_for_warp(frame, matrix, size)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    crop = cv2.warpAffine(frame, matrix, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)


def published_squares(track: Track) -> np.ndarray:
    """(F, 3) centre x, centre y and half side of the smoothed boxes, as the released pipeline smooths them.

    That takes what is beyond the ends as zeros, which in tracks of fewer frames than its median looks at would become
    the middle value: there the median is as short as the track.
    """
    boxes, kernel = track.boxes, min(13, len(track) - 1 + len(track) % 2)
    rows = ((boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2, _sizes(boxes) / 2)
    return np.stack([medfilt(row, kernel_size=kernel) for row in rows], axis=1)


def cut_published(frame: np.ndarray, square: np.ndarray) -> np.ndarray:
    """One ``published`` crop (224, 224, 3) uint8 BGR of ``frame`` (H, W, 3) uint8 RGB."""
    x, y, half = square
    margin = int(half * 1.8)
    top, bottom = int(y + margin - half) - margin, int(y + margin + half * 1.8) - margin
    left, right = int(x + margin - half * 1.4) - margin, int(x + margin + half * 1.4) - margin
    height, width = frame.shape[:2]
    inside = frame[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    lacks = (max(-top, 0), max(bottom - height, 0), max(-left, 0), max(right - width, 0))
    face = cv2.copyMakeBorder(inside, *lacks, cv2.BORDER_CONSTANT, value=(_BEYOND,) * 3)
    return cv2.resize(face, (PUBLISHED_SIZE, PUBLISHED_SIZE))[..., ::-1]


def lower_faces(
    frames: Iterable[np.ndarray], track: Track, size: int = LOWER_FACE_SIZE, margin: float = 1.0
) -> Iterator[np.ndarray]:
    """(size, size) uint8 crops of the frames of ``track``; ``frames`` are those of the whole clip."""
    matrices = lower_face_matrices(track, size, margin)
    for number, frame in enumerate(frames):
        at = number - track.start
        if at >= len(track):
            return
        if at >= 0:
            yield cut_lower_face(frame, matrices[at], size)


def published_faces(frames: Iterable[np.ndarray], track: Track) -> Iterator[np.ndarray]:
    """(224, 224, 3) uint8 BGR crops of the frames of ``track``; ``frames`` are those of the whole clip."""
    squares = published_squares(track)
    for number, frame in enumerate(frames):
        at = number - track.start
        if at >= len(track):
            return
        if at >= 0:
            yield cut_published(frame, squares[at])
