"""The words of curation: a video, a clip of it, and what a scorer is shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

FPS = 25
"""Frames a second of the timeline on which clips are cut and scored."""
SOUND_RATE = 16_000


@dataclass(frozen=True)
class Source:
    """One raw video.

    ``id``: unique in the work folder. ``path``: as given. ``seconds``: length, None when the file does not say.
    ``size``: (height, width) in pixels. ``fps``: frames a second as text, such as "30000/1001". ``sound``: whether it
    has sound. ``bytes``: of the file. ``person``, ``licence``, ``consent``, ``credit``, ``origin``: what the list of
    videos says of it, empty when nothing was said. ``problem``: why it cannot be opened, empty if it can.
    """

    id: str
    path: str
    seconds: float | None = None
    size: tuple[int, int] = (0, 0)
    fps: str = ""
    sound: bool = False
    bytes: int = 0
    person: str = ""
    licence: str = ""
    consent: str = ""
    credit: str = ""
    origin: str = ""
    problem: str = ""


@dataclass(frozen=True)
class Clip:
    """A stretch of one shot in which one face is followed.

    ``start``, ``frames``: on the video's timeline of 25 frames a second. ``track``: number of the face in its shot.
    """

    id: str
    source: str
    start: int
    frames: int
    track: int

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.frames / FPS


@dataclass(frozen=True)
class Faces:
    """Where the face of a clip of F frames is, and how many faces there are.

    ``landmarks``: (F, 478, 3) float32 pixels of the picture, gaps filled in straight lines. ``seen``: (F,) False in the
    gaps. ``count``: (F,) faces in the picture. ``score``: (F,) presence in 0..1.
    """

    landmarks: np.ndarray
    seen: np.ndarray
    count: np.ndarray
    score: np.ndarray

    @property
    def boxes(self) -> np.ndarray:
        """(F, 4) x0, y0, x1, y1 around the landmarks."""
        flat = self.landmarks[..., :2]
        return np.concatenate([flat.min(1), flat.max(1)], axis=1)

    @property
    def sizes(self) -> np.ndarray:
        """(F,) longer side of the boxes in pixels."""
        boxes = self.boxes
        longer: np.ndarray = np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
        return longer


@dataclass(frozen=True)
class View:
    """What a scorer knows before it sees frames: the clip, its video, its faces, and its sound when asked for.

    ``hear``: the clip's samples (N,) mono at 16 kHz, None if the video has no sound.
    """

    clip: Clip
    source: Source
    faces: Faces
    hear: Callable[[], np.ndarray | None] = field(default=lambda: None)


@dataclass(frozen=True)
class Work:
    """The folder of one curation, and the names in it."""

    folder: Path

    @property
    def plan(self) -> Path:
        """The list of videos."""
        return self.folder / "plan.jsonl"

    @property
    def settings(self) -> Path:
        """How videos are cut into clips."""
        return self.folder / "settings.json"

    @property
    def decisions(self) -> Path:
        """Which clips are kept, and why others are not."""
        return self.folder / "decisions.jsonl"

    @property
    def rules(self) -> Path:
        """The thresholds behind the decisions."""
        return self.folder / "decisions.yaml"

    def clips(self, source: str) -> Path:
        """The clips of a video."""
        return self.folder / "clips" / f"{source}.json"

    def faces(self, clip: str) -> Path:
        """Landmarks of a clip."""
        return self.folder / "clips" / f"{clip}.npz"

    def scores(self, clip: str) -> Path:
        """Scores of a clip."""
        return self.folder / "scores" / f"{clip}.json"

    def problem(self, source: str) -> Path:
        """Why a video could not be used."""
        return self.folder / "problems" / f"{source}.json"
