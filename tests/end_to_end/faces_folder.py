"""A tiny folder of training data from the bundled pictures, labelled as the tools label it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vivant.core.facemesh import TRAINING_POINTS
from vivant.data.ingest import CROP_SIZE, full_track, label, square_around, standard_face
from vivant.data.manifest import Row, write_manifest
from vivant.media.image import write_image
from vivant.media.writer import VideoWriter
from vivant.perception.faces import FaceFinder


def write_faces(root: Path, portrait: np.ndarray, frames: list[np.ndarray]) -> Path:
    """One still and one clip under ``root``."""
    finder, keep, rows, found = FaceFinder(), np.array(TRAINING_POINTS), [], []
    for pictures in ([portrait], frames):
        landmarks = full_track(finder.find(picture)[0] for picture in pictures)
        square = square_around(landmarks, *pictures[0].shape[:2])
        found.append((square.normalise(landmarks), [square.cut(picture) for picture in pictures]))
    root.mkdir(parents=True, exist_ok=True)
    for name, (marks, crops) in zip(("still", "talk"), found):
        np.savez_compressed(root / f"{name}.npz", **label(marks, standard_face(), keep))
        still = name == "still"
        if still:
            write_image(root / "still.jpg", crops[0])
        else:
            with VideoWriter(root / "talk.mp4", 25, quality=10) as writer:
                for crop in crops:
                    writer.write(crop)
        kind, media = ("still", {"image": "still.jpg"}) if still else ("clip", {"video": "talk.mp4"})
        rows.append(Row(name, name, "train", kind, name, len(crops), 25.0, CROP_SIZE, f"{name}.npz", **media))
    write_manifest(root, rows)
    return root
