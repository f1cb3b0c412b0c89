"""The "dlib identity distance": does the result still show the same person?

Euclidean distance of 128-number embeddings of dlib's face recognition ResNet (Davis King, 2017, CC0),
computed on faces aligned by their landmarks. Range 0 and up, lower is better; two photos of one person
mostly lie below 0.4, of two people above 0.4 (dlib's own threshold is 0.6). It is not the ArcFace cosine
(CSIM) of the papers; never compare the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from vivant.core.face import FaceCrop

NAME = "dlib identity distance"
BATCH = 16


@lru_cache(maxsize=1)
def _net() -> Any:
    from vivant.perception.identity import IdentityNet

    return IdentityNet()


def embeddings(images: Sequence[np.ndarray], landmarks: Sequence[np.ndarray | None]) -> np.ndarray:
    """(F, 128) float32 embeddings of F pictures (H, W, 3) uint8; NaN where the landmarks are None."""
    import torch

    from vivant.perception.identity import align_face

    found = np.full((len(images), 128), np.nan, np.float32)
    faces_at = {i: align_face(images[i], points) for i, points in enumerate(landmarks) if points is not None}
    known = list(faces_at)
    for start in range(0, len(known), BATCH):
        part = known[start : start + BATCH]
        faces = np.stack([faces_at[i] for i in part])
        batch = torch.from_numpy(np.ascontiguousarray(faces.transpose(0, 3, 1, 2))).float() / 255
        with torch.inference_mode():
            found[part] = _net()(batch).numpy()
    return found


def identity_distances(
    source: FaceCrop, images: Sequence[np.ndarray], landmarks: Sequence[np.ndarray | None]
) -> np.ndarray:
    """(F,) float64 dlib identity distance of every picture to the source; NaN where it has no face."""
    own = embeddings([source.image], [source.landmarks])
    return np.linalg.norm(embeddings(images, landmarks).astype(np.float64) - own, axis=1)
