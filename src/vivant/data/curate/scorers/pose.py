"""How far the head is turned away from the camera."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from vivant.data.curate.scorers.base import Scorer, Scores, rounded
from vivant.perception.pose import head_pose


class Pose(Scorer):
    """From the landmarks; looks at no frame."""

    name = "pose"
    frames = False
    measures: ClassVar[Mapping[str, str]] = {
        "mean": "mean angle by which the head is turned away from the camera, degrees; roll does not count",
        "most": "95th percentile of that angle",
        "yaw": "mean of the yaw's size in degrees",
        "pitch": "mean of the pitch's size in degrees",
        "roll": "mean of the roll's size in degrees",
        "frontal": "share of frames whose triangle of eyes and nose tip has 35 to 64 whole degrees at both eyes",
    }

    def finish(self) -> Scores:
        """See ``measures``."""
        landmarks = self.view.faces.landmarks[self.view.faces.seen]
        pose = head_pose(landmarks)
        # The third row of the rotation is where the face's own axis points; its angle to the camera's ignores roll.
        away = np.degrees(np.arccos(np.clip(pose.rotation[:, 2, 2], -1, 1)))
        return rounded(
            {
                "mean": float(away.mean()),
                "most": float(np.percentile(away, 95)),
                "yaw": float(np.abs(pose.yaw).mean()),
                "pitch": float(np.abs(pose.pitch).mean()),
                "roll": float(np.abs(pose.roll).mean()),
                "frontal": float(frontal(landmarks).mean()),
            }
        )


def frontal(landmarks: np.ndarray) -> np.ndarray:
    """(F,) whether the triangle of eye centres and nose tip is that of a frontal face (the rule of MegActor's released
    data scripts), for landmarks (F, 478, 3)."""
    left, right, nose = landmarks[:, 468, :2], landmarks[:, 473, :2], landmarks[:, 1, :2]

    def angle(at: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        u, v = a - at, b - at
        cosine = (u * v).sum(1) / (np.linalg.norm(u, axis=1) * np.linalg.norm(v, axis=1) + 1e-9)
        whole: np.ndarray = np.floor(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
        return whole

    both = np.stack([angle(left, right, nose), angle(right, left, nose)])
    good: np.ndarray = np.all((both >= 35) & (both <= 64), axis=0)
    return good
