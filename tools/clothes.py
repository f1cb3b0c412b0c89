"""How alike clothes are in made and true clips of rendered people; used by ``measure_reference_claims.py``."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

from vivant.data.manifest import read_manifest
from vivant.media.video import open_clip
from vivant.metrics.image import ssim
from vivant.metrics.nets.lite0 import Lite0, distance

BODY = (2, 5, 8, 9, 11, 12)
"""OpenPose-18: shoulders, hips, knees; what lies between them is mostly cloth."""
SIDE, EVERY, MARGIN = 160, 4, 0.12


def crop(frame: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """(160, 160, 3): the upright box around shoulders, hips and knees, a little wider than they are."""
    size = np.array([frame.shape[1], frame.shape[0]])
    points = (pose[list(BODY), :2] + 1) / 2 * size
    low, high = points.min(0), points.max(0)
    margin = MARGIN * (high - low).max()
    x0, y0 = np.clip(low - margin, 0, size - 12).astype(int)
    x1, y1 = np.clip(high + margin, (x0 + 12, y0 + 12), size).astype(int)
    return cv2.resize(frame[y0:y1, x0:x1], (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def likeness(people: Path, run: Path) -> dict[str, list[float]]:
    """SSIM and feature distance (lite0) of the crops of every fourth frame, a mean for each clip of ``run``."""
    rows = {row.id: row for row in read_manifest(people)}
    meter = Lite0("cpu")
    found: dict[str, list[float]] = {"ssim": [], "feat-lite0": []}
    for record in sorted((run / "clips").glob("*.json")):
        row = rows[json.loads(record.read_text(encoding="utf-8"))["id"]]
        pose = np.load(people / row.labels)["pose"]
        pairs = []
        frames = zip(
            open_clip(run / "generated" / f"{record.stem}.mp4").frames, open_clip(people / str(row.video)).frames
        )
        for number, (made, true) in enumerate(frames):
            if number % EVERY == EVERY - 1:
                made = cv2.resize(made, true.shape[1::-1], interpolation=cv2.INTER_AREA)
                pairs.append((crop(made, pose[number]), crop(true, pose[number])))
        found["ssim"].append(float(np.mean([ssim(*pair) for pair in pairs])))
        ours, theirs = (list(side) for side in zip(*pairs))
        found["feat-lite0"].append(float(np.mean(distance(meter.levels(ours), meter.levels(theirs)))))
    return found
