"""What is known about each frame of a clip, and how interesting a frame is for training.

Coordinates are those of the square crop: x right, y down, -1..1 from edge to edge, z in the same unit with
0 at the head's centre. P landmarks of the 478 of the mesh are kept; ``points`` says which.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields

import numpy as np

from vivant.core.errors import ARRAY_ERRORS, MediaError
from vivant.data.part import Part, as_part

_LIDS = ((159, 145, 33, 133), (386, 374, 263, 362))  # upper, lower, corner, corner
_IRISES = ((468, 33, 133), (473, 263, 362))  # centre, corner, corner
_LIPS = (13, 14, 33, 263)  # upper, lower, outer eye corners
_NEEDED = sorted({i for row in (*_LIDS, *_IRISES, _LIPS) for i in row})


@dataclass(frozen=True)
class Labels:
    """Labels of F frames of one person.

    ``landmarks`` (F,P,3) float16; ``rotation`` (F,3) radians pitch, yaw, roll; ``scale`` (F,);
    ``translation`` (F,2); ``neutral`` (P,3) float16, the person's shape at rest in the head's own frame;
    ``weight`` (P,) trust in each landmark, 0..1 (in files also called ``trust``); ``points`` (P,) int64,
    numbers of the landmarks in the mesh of 478.
    """

    landmarks: np.ndarray
    rotation: np.ndarray
    scale: np.ndarray
    translation: np.ndarray
    neutral: np.ndarray
    weight: np.ndarray
    points: np.ndarray

    def __len__(self) -> int:
        return len(self.landmarks)


def _shapes(frames: int, points: int) -> dict[str, tuple[int, ...]]:
    return {
        "landmarks": (frames, points, 3),
        "rotation": (frames, 3),
        "scale": (frames,),
        "translation": (frames, 2),
        "neutral": (points, 3),
        "weight": (points,),
        "points": (points,),
    }


def _load(part: Part) -> dict[str, np.ndarray]:
    with np.load(part.open(), allow_pickle=False) as data:
        names = {f.name for f in fields(Labels)} | {"trust"}
        found = {("weight" if k == "trust" else k): data[k] for k in data.files if k in names}
    found.setdefault("points", np.arange(found["landmarks"].shape[1]))
    return {f.name: found[f.name] for f in fields(Labels)}


def read_labels(path: str | os.PathLike[str] | Part, frames: int) -> Labels:
    """Read and check the labels of a clip with ``frames`` frames; without ``points`` the first P are meant.

    Raises:
        MediaError: the file is missing or damaged, or its arrays do not fit the clip.
    """
    try:
        arrays = _load(as_part(path))
    except ARRAY_ERRORS as error:
        raise MediaError(f"The labels {path} cannot be read ({error}): label the clip again.") from error
    for name, shape in _shapes(frames, len(arrays["points"])).items():
        if arrays[name].shape != shape:
            raise MediaError(
                f"The labels {path} hold {name} of shape {arrays[name].shape} where {shape} is needed: "
                "label the clip again."
            )
        if not np.isfinite(arrays[name]).all():
            raise MediaError(f"The labels {path} hold {name} that are not finite: label the clip again.")
    kinds = {"landmarks": np.float16, "neutral": np.float16, "points": np.int64}
    return Labels(**{k: v.astype(kinds.get(k, np.float32)) for k, v in arrays.items()})


def write_labels(path: str | os.PathLike[str], labels: Labels) -> None:
    """Write labels as a compressed ``.npz`` that :func:`read_labels` accepts."""
    np.savez_compressed(path, **{f.name: getattr(labels, f.name) for f in fields(Labels)})


def _length(a: np.ndarray) -> np.ndarray:
    return np.sqrt((a**2).sum(-1))


def openings(landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """From (F,478,3): lids (F,2) and lips (F,) as gaps, gaze (F,2,2) as the irises' offset from the middle
    of the eye; lids and gaze in units of the eye's width, lips in units of the distance of the outer eye
    corners."""
    p = landmarks.astype(np.float32)
    lids = [_length(p[:, u] - p[:, d]) / (_length(p[:, a] - p[:, b]) + 1e-6) for u, d, a, b in _LIDS]
    up, down, left, right = _LIPS
    lips = _length(p[:, up] - p[:, down]) / (_length(p[:, left] - p[:, right]) + 1e-6)
    gaze = [
        ((p[:, i] - (p[:, a] + p[:, b]) / 2) / (_length(p[:, a] - p[:, b])[:, None] + 1e-6))[:, :2]
        for i, a, b in _IRISES
    ]
    return np.stack(lids, 1), lips, np.stack(gaze, 1)


def interest(landmarks: np.ndarray, points: np.ndarray) -> np.ndarray:
    """How much more often than others a frame should be drawn, (F,) in 1..4: closed lids, wide mouths and
    eyes turned away from the clip's usual gaze each add up to one. All 1 if the landmarks it needs are not
    kept."""
    if not np.isin(_NEEDED, points).all():
        return np.ones(len(landmarks), np.float32)
    mesh = np.zeros((len(landmarks), 478, 3), np.float32)
    mesh[:, points] = landmarks
    lids, lips, gaze = openings(mesh)
    usual_lids = np.quantile(lids, 0.7, axis=0) + 1e-6
    blink = np.clip((0.75 - (lids / usual_lids).min(1)) / 0.4, 0, 1)
    wide = np.clip((lips - 0.05) / 0.2, 0, 1)
    turned = _length((gaze - np.median(gaze, 0)).mean(1))
    aside = np.clip((turned - 0.05) / 0.12, 0, 1)
    return (1 + blink + wide + aside).astype(np.float32)
