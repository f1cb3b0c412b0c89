"""One kept clip becomes files: the crop with its sound, training labels, ``extra``, and last its row.

``extra`` is an ``.npz``; F frames, S the side of the crop, coordinates in -1..1 of the crop (x right, y down):
  landmarks (F, 478, 3) float16; keypoints (F, 3, 2) float32, V-Kps; head_pose (F, 3) float32, pitch, yaw and roll in
  degrees; seen (F,) bool, False where the landmarks were bridged; samples (N,) int16, mono at 16 kHz; embedding
  (128,) float32 of the person; masks (F, S, S / 8) uint8, packed bits of the face or the person; body (F, 128, 3)
  float16, x, y and confidence in the layout of :mod:`vivant.core.skeleton`; speech_<encoder> (F, T, D) float16.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from math import floor
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vivant.core.clip import Audio
from vivant.core.errors import ConfigError
from vivant.core.facemesh import TRAINING_POINTS
from vivant.data.curate.decide import Decision
from vivant.data.curate.files import read_faces, write_json
from vivant.data.curate.score import read_scores
from vivant.data.curate.words import FPS, SOUND_RATE, Clip, Faces, Source, Work
from vivant.data.ingest import Square, label, square_around, standard_face
from vivant.data.manifest import Row
from vivant.media.timeline import exact_rate
from vivant.media.writer import VideoWriter

MASKS = ("none", "face", "person")


@dataclass(frozen=True)
class Style:
    """How clips are written. ``size``: side of the crop in pixels; ``fps``: their rate; ``quality``: x264's constant
    rate factor; ``group``: of the manifest's rows; ``masks``: "none", "face" (hull of its landmarks) or "person";
    ``body``: body keypoints; ``speech``: encoders whose features are kept (:data:`vivant.core.speech.SPEECH_FEATURES`).
    """

    size: int = 256
    fps: str = "25"
    quality: int = 16
    group: str = "video"
    masks: str = "face"
    body: bool = False
    speech: tuple[str, ...] = ()

    def checked(self) -> Style:
        """Itself.

        Raises:
            ConfigError: a value makes no sense.
        """
        from vivant.core.speech import SPEECH_FEATURES

        exact_rate(self.fps)
        if not 32 <= self.size <= 2048 or self.size % 8:
            raise ConfigError(f"Crops of {self.size} pixels cannot be made: give a multiple of 8 from 32 to 2048.")
        if not 0 <= self.quality <= 51:
            raise ConfigError(f"x264 knows no quality {self.quality}: give 0 (lossless) to 51.")
        if self.masks not in MASKS:
            raise ConfigError(f"Masks are one of {', '.join(MASKS)}, not '{self.masks}'.")
        strange = sorted(set(self.speech) - set(SPEECH_FEATURES))
        if strange:
            raise ConfigError(f"There is no speech encoder '{strange[0]}': use some of {', '.join(SPEECH_FEATURES)}.")
        return self


def row_path(out: Path, clip: str) -> Path:
    """Where the row of a finished clip is kept."""
    return out / "rows" / f"{clip}.json"


class Output:
    """One clip while it is written."""

    def __init__(
        self, work: Work, source: Source, clip: Clip, decision: Decision, sound: np.ndarray | None, out: Path,
        style: Style,
    ) -> None:  # fmt: skip
        self._source, self._clip, self._decision, self._style = source, clip, decision, style
        self._out, self._fps = out, exact_rate(style.fps)
        self._faces = at_rate(read_faces(work, clip), self._fps)
        self._square = square_around(self._faces.landmarks, *source.size)
        self._embedding = read_scores(work, clip).get("identity.embedding")
        self._sound = None if sound is None or not len(sound) else fill_up(sound, clip)
        audio = None if self._sound is None else Audio(self._sound[:, None], SOUND_RATE)
        size = (self._style.size, self._style.size)
        self._writer = VideoWriter(self._path(".mp4"), self._fps, size, audio, self._style.quality)
        self._watch = _Watch(self._style, self._faces, self._square)

    def _path(self, ending: str) -> Path:
        return self._out / self._name(ending)

    def _name(self, ending: str) -> str:
        return f"clips/{self._clip.id}{ending}"

    @property
    def full(self) -> bool:
        """Whether all frames were seen."""
        return self._writer.count >= len(self._faces.seen)

    def see(self, frame: np.ndarray) -> None:
        """The next frame of the video."""
        crop = self._square.cut(frame, self._style.size)
        self._watch.see(self._writer.count, crop)
        self._writer.write(crop)

    def discard(self) -> None:
        """Leave nothing behind."""
        self._writer.discard()

    def close(self) -> str:
        """Finish video, labels, extra and row; returns the clip's id."""
        self._writer.close()
        count, source = self._writer.count, self._source
        normal = self._square.normalise(self._faces.landmarks)[:count]
        _save(self._path(".npz"), **label(normal, standard_face(), np.array(TRAINING_POINTS)))
        known = _known(self._faces, normal, self._sound, self._embedding, self._style, self._fps)
        _save(self._path(".extra.npz"), **known, **self._watch.found())
        row = Row(
            id=self._clip.id, person=self._decision.person, split=self._decision.split, kind="clip",
            group=self._style.group, frames=count, fps=float(self._fps), size=self._style.size,
            labels=self._name(".npz"), video=self._name(".mp4"), extra=self._name(".extra.npz"),
            sound=self._sound is not None, **said_of(source),
        )  # fmt: skip
        write_json(row_path(self._out, self._clip.id), asdict(row))
        return self._clip.id


def said_of(source: Source) -> dict[str, Any]:
    """What a row of the manifest tells of a video."""
    origin = source.origin or Path(source.path).name
    return {"source": origin, "licence": source.licence, "credit": source.credit, "consent": source.consent}


def first_frame(clip: Clip, fps: Fraction) -> int:
    """Number of the clip's first frame in its video at ``fps``."""
    return floor(clip.start * fps / FPS)


def fill_up(sound: np.ndarray, clip: Clip) -> np.ndarray:
    """Samples (N,) at 16 kHz as long as the clip: silence where the sound ends before."""
    count = clip.frames * SOUND_RATE // FPS
    return np.pad(sound, (0, max(0, count - len(sound))))[:count]


def at_rate(faces: Faces, fps: Fraction) -> Faces:
    """Faces of a clip told at another rate, landmarks in straight lines between those at 25 frames a second."""
    if fps == FPS:
        return faces
    count = max(1, floor(len(faces.seen) * fps / FPS))
    at = np.minimum(np.arange(count) * float(FPS / fps), len(faces.seen) - 1)
    low = np.floor(at).astype(int)
    high, share = np.minimum(low + 1, len(faces.seen) - 1), (at - low)[:, None, None]
    landmarks = (1 - share) * faces.landmarks[low] + share * faces.landmarks[high]
    return Faces(landmarks.astype(np.float32), faces.seen[low], faces.count[low], faces.score[low])


def _known(
    faces: Faces, normal: np.ndarray, sound: np.ndarray | None, embedding: Sequence[float] | None, style: Style,
    fps: Fraction,
) -> dict[str, np.ndarray]:  # fmt: skip
    """What is known without looking at the crops."""
    from vivant.metrics.motion import v_kps
    from vivant.perception.pose import head_pose

    count = len(normal)
    pose = head_pose(faces.landmarks[:count])
    known: dict[str, np.ndarray] = {
        "landmarks": normal.astype(np.float16),
        "keypoints": np.stack([v_kps(points) for points in normal]).astype(np.float32),
        "head_pose": np.stack([pose.pitch, pose.yaw, pose.roll], axis=1).astype(np.float32),
        "seen": faces.seen[:count],
    }
    if embedding is not None:
        known["embedding"] = np.array(embedding, np.float32)
    if sound is None:
        return known
    known["samples"] = np.clip(np.round(sound * 32768), -32768, 32767).astype(np.int16)
    if style.speech:
        from vivant.controls.speech import read_speech

        speech = read_speech(Audio(sound[:, None], SOUND_RATE), fps, style.speech, limit=count)
        for name in style.speech:
            known[f"speech_{name.replace('-', '_')}"] = speech.features[name][0 : len(speech)].astype(np.float16)
    return known


class _Watch:
    """What is found by looking at the crops: masks and bodies."""

    def __init__(self, style: Style, faces: Faces, square: Square) -> None:
        self._style = style
        points = (faces.landmarks[..., :2] - [square.left, square.top]) * (style.size / square.side)
        self._points = points.astype(np.float32)
        self._masks: list[np.ndarray] = []
        self._bodies: list[np.ndarray] = []
        self._matte: Any = None
        self._tracker: Any = None

    def see(self, number: int, crop: np.ndarray) -> None:
        """The next crop (S, S, 3) uint8 RGB."""
        if self._style.masks == "face":
            hull = cv2.convexHull(self._points[number]).round().astype(np.int32)
            mask = cv2.fillConvexPoly(np.zeros(crop.shape[:2], np.uint8), hull, 1)
            self._masks.append(np.packbits(mask > 0, axis=1))
        elif self._style.masks == "person":
            self._masks.append(np.packbits(self._person(crop) > 0.5, axis=1))
        if self._style.body:
            self._bodies.append(self._body(crop))

    def _person(self, crop: np.ndarray) -> np.ndarray:
        if self._matte is None:
            from vivant.perception.matte import MatteFinder

            self._matte = MatteFinder(threads=1)
        found: np.ndarray = self._matte.find(crop)
        return found

    def _body(self, crop: np.ndarray) -> np.ndarray:
        """(128, 3) in -1..1 and confidence; of several people the largest."""
        from vivant.core.skeleton import POINTS

        if self._tracker is None:
            from vivant.perception.body_tracking import BodyTracker

            self._tracker = BodyTracker(max_people=1)
        bodies = self._tracker.update(crop)
        if not bodies:
            return np.zeros((POINTS, 3), np.float16)
        points = max(bodies.values(), key=lambda body: body.size).keypoints.astype(np.float32).copy()
        points[:, :2] = (2 * points[:, :2] + 1) / crop.shape[0] - 1
        points[points[:, 2] == 0] = 0
        return points.astype(np.float16)

    def found(self) -> dict[str, np.ndarray]:
        """``masks`` and ``body``, as far as they were asked for."""
        pairs = {"masks": self._masks, "body": self._bodies}
        return {name: np.stack(values) for name, values in pairs.items() if values}


def _save(path: Path, **arrays: np.ndarray) -> None:
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    os.replace(part, path)
