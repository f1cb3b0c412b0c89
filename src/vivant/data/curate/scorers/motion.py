"""How much moves: the head in the picture, its turning, the lips, and what is around the face."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import cv2
import numpy as np

from vivant.controls.ratios import lip_ratio
from vivant.data.curate.scorers.base import Scorer, Scores, rounded
from vivant.data.curate.words import FPS, View
from vivant.perception.pose import head_pose

_THUMB = 96  # pixels of the longer side of what is compared from frame to frame
_STILL = 0.05


class Motion(Scorer):
    """Landmarks for head and lips, small grey pictures for the surroundings."""

    name = "motion"
    measures: ClassVar[Mapping[str, str]] = {
        "travel": "how far the face's centre goes from its mean place at most, in face sizes",
        "turning": "mean angular speed of the head, degrees a second",
        "jump": "largest step of the face's centre from a frame to the next, in face sizes",
        "lips": "standard deviation of the opening of the lips over the width of the mouth",
        "around": "mean change from frame to frame outside the face's surroundings, grey levels of 255",
        "still": "share of frames that differ from the one before by less than 0.05 grey levels in the mean",
    }

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self._last: np.ndarray | None = None
        self._changes: list[float] = []
        self._still = 0

    def see(self, image: np.ndarray, landmarks: np.ndarray, seen: bool) -> None:
        """Compare a small grey copy with the one before, without the face."""
        scale = _THUMB / max(image.shape[:2])
        size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
        grey = cv2.cvtColor(cv2.resize(image, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY).astype(np.int16)
        if self._last is not None:
            change = np.abs(grey - self._last)
            self._still += int(change.mean() < _STILL)
            low, high = landmarks[:, :2].min(0) * scale, landmarks[:, :2].max(0) * scale
            reach = (high - low) * 0.4
            x0, y0 = np.floor(np.maximum(low - reach, 0)).astype(int)
            x1, y1 = np.ceil(high + reach).astype(int)
            outside = np.ones(change.shape, bool)
            outside[y0:y1, x0:x1] = False
            if outside.sum() >= 50:
                self._changes.append(float(change[outside].mean()))
        self._last = grey

    def finish(self) -> Scores:
        """See ``measures``."""
        faces = self.view.faces
        size = float(faces.sizes.mean())
        boxes = faces.boxes
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2
        steps = np.linalg.norm(np.diff(centres, axis=0), axis=1)
        turns = head_pose(faces.landmarks).rotation
        between = np.einsum("fij,fkj->fik", turns[1:], turns[:-1])
        angle = np.degrees(np.arccos(np.clip((np.trace(between, axis1=1, axis2=2) - 1) / 2, -1, 1)))
        return rounded(
            {
                "travel": float(np.linalg.norm(centres - centres.mean(0), axis=1).max() / size),
                "turning": float(angle.mean() * FPS),
                "jump": float(steps.max() / size),
                "lips": float(np.std([lip_ratio(points) for points in faces.landmarks])),
                "around": float(np.mean(self._changes)) if self._changes else None,
                "still": self._still / max(1, len(faces.seen) - 1),
            }
        )
