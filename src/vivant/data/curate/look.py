"""The first reading of a video: shots, the faces in them, and the clips that follow from both.

Memory holds the numbers of one shot (3 kB a face and frame), never pictures; a shot without a cut is closed when it is
as long as two of the longest clips.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise

import numpy as np

from vivant.core.errors import MissingExtraError
from vivant.core.face import Face
from vivant.data.curate.files import write_clips, write_faces
from vivant.data.curate.plan import Settings
from vivant.data.curate.words import FPS, Clip, Faces, Source, Work
from vivant.media.video import open_clip
from vivant.perception.tracking import FaceTracker

LONGEST_GAP = 25
"""Frames without the face that are bridged."""
_SHORTEST = 10  # frames of a shot
_LEAST_CHANGE = 5.0  # of PySceneDetect's content value; within shots of talking heads it stays below 2
_LATENESS = 20  # frames; PySceneDetect may name a cut so much later, while it waits for a flash to end


@dataclass
class _Shot:
    """Faces by number since ``start``, frame by frame, and how many there were."""

    start: int
    rows: dict[int, list[tuple[int, Face]]] = field(default_factory=lambda: defaultdict(list))
    count: list[int] = field(default_factory=list)

    def cut(self, end: int) -> tuple[_Shot, _Shot]:
        """What lies before frame ``end`` of the video, and what does not."""
        before, after = _Shot(self.start), _Shot(end)
        before.count, after.count = self.count[: end - self.start], self.count[end - self.start :]
        for number, found in self.rows.items():
            for frame, face in found:
                (before if frame < end else after).rows[number].append((frame, face))
        return before, after


class CutFinder:
    """Shot boundaries, told as frames go by: PySceneDetect's ContentDetector for large changes, its AdaptiveDetector
    for smaller ones that stand out of their neighbours, such as a cut from one take to another before one wall.

    Raises:
        MissingExtraError: PySceneDetect is not installed.
    """

    def __init__(self, threshold: float) -> None:
        try:
            from scenedetect import FrameTimecode
            from scenedetect.detectors import AdaptiveDetector, ContentDetector
        except ImportError:
            raise MissingExtraError("scenedetect-headless", "curate", "Finding shot cuts") from None
        adaptive = AdaptiveDetector(adaptive_threshold=3.0, min_scene_len=_SHORTEST, min_content_val=_LEAST_CHANGE)
        self._detectors = (ContentDetector(threshold=threshold, min_scene_len=_SHORTEST), adaptive)
        self._time = FrameTimecode
        self._number = 0

    def see(self, image: np.ndarray) -> list[int]:
        """Frames (of those seen so far) that turned out to begin a shot."""
        time = self._time(self._number, float(FPS))
        self._number += 1
        image = image[..., ::-1]
        return sorted({found.frame_num for part in self._detectors for found in part.process_frame(time, image)})


def look(work: Work, source: Source, settings: Settings) -> list[Clip]:
    """Cut a video into clips and keep them with their faces in the work folder.

    Raises:
        MediaError: the video cannot be read.
    """
    clips: list[Clip] = []
    for shot in shots(open_clip(source.path, FPS).frames, settings):
        for number, faces, start in people(shot, settings):
            clip = Clip(f"{source.id}-{start:06d}-{number}", source.id, start, len(faces.seen), number)
            write_faces(work, clip, faces)
            clips.append(clip)
    clips.sort(key=lambda clip: (clip.start, clip.track))
    write_clips(work, source.id, clips)
    return clips


def shots(frames: Iterable[np.ndarray], settings: Settings) -> Iterator[_Shot]:
    """The shots of frames (H, W, 3) uint8 RGB with the faces in them."""
    finder, tracker = CutFinder(settings.cut), FaceTracker(max_faces=settings.faces)
    shot = _Shot(0)
    for frame, image in enumerate(frames):
        cuts = finder.see(image)
        faces = tracker.update(image)
        shot.count.append(len(faces))
        for number, face in faces.items():
            shot.rows[number].append((frame, face))
        if len(shot.count) >= 2 * settings.longest + _LATENESS and not cuts:
            cuts = [shot.start + 2 * settings.longest]
        for cut in cuts:
            if shot.start < cut <= frame:
                done, shot = shot.cut(cut)
                yield done
    if shot.count:
        yield shot


def people(shot: _Shot, settings: Settings) -> Iterator[tuple[int, Faces, int]]:
    """(number, faces, first frame) of every stretch of a shot in which a face can be followed long enough."""
    count = np.array(shot.count)
    for rank, (_, rows) in enumerate(sorted(shot.rows.items())):
        for stretch in _stretches(rows):
            length = stretch[-1][0] - stretch[0][0] + 1
            if length < settings.shortest:
                continue
            pieces = -(-length // settings.longest)
            faces = _bridged(stretch, count, shot.start)
            edges = np.linspace(0, length, pieces + 1).astype(int)
            for low, high in pairwise(edges):
                part = Faces(*(values[low:high] for values in (faces.landmarks, faces.seen, faces.count, faces.score)))
                yield rank, part, stretch[0][0] + int(low)


def _stretches(rows: list[tuple[int, Face]]) -> Iterator[list[tuple[int, Face]]]:
    """Rows without a gap longer than what is bridged."""
    frames = np.array([frame for frame, _ in rows])
    edges = [0, *(np.flatnonzero(np.diff(frames) > LONGEST_GAP + 1) + 1), len(rows)]
    yield from (rows[low:high] for low, high in pairwise(edges))


def _bridged(rows: list[tuple[int, Face]], count: np.ndarray, start: int) -> Faces:
    frames = np.array([frame for frame, _ in rows])
    every = np.arange(frames[0], frames[-1] + 1)
    landmarks = np.zeros((len(every), 478, 3), np.float32)
    landmarks[frames - frames[0]] = [face.landmarks for _, face in rows]
    seen = np.isin(every, frames)
    for at in np.flatnonzero(~seen):
        right = int(np.searchsorted(frames, every[at]))
        low, high = frames[right - 1], frames[right]
        share = (every[at] - low) / (high - low)
        landmarks[at] = (1 - share) * landmarks[low - frames[0]] + share * landmarks[high - frames[0]]
    score = np.interp(every, frames, [face.score for _, face in rows]).astype(np.float32)
    return Faces(landmarks, seen, count[every - start], score)


def native_rate(source: Source) -> Fraction:
    """Frames a second of the video itself."""
    return Fraction(source.fps or FPS)
