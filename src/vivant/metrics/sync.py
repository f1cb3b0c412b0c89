"""Do lips and sound belong together, and by how many frames are they apart?

The published definition (Chung and Zisserman 2016, sections 4.1 and 4.2; known as Sync-C and Sync-D, or LSE-C and
LSE-D): 25 frames a second, sound at 16 kHz; each window of five frames is embedded, and so are the 0.2 s of sound that
begin at the same time; the Euclidean distance of a video window to the sound windows up to 15 frames before and after
it is averaged over the clip. Of that curve of 31 numbers Sync-D is the minimum, Sync-C the median less the minimum,
and the offset 15 less the place of the minimum: the sound must be moved later by that many frames to fit.

What is before the first and after the last sound window counts as an embedding of zeros, as in the published code;
clips of a second or less therefore mean little.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

FPS = 25
WINDOW = 5
"""Frames that a net sees at once."""
STEPS_PER_FRAME = 4
"""Steps of sound features (100 a second) in a frame."""
SHIFT = 15
"""Most frames that sound and pictures are moved against each other."""
SAMPLES_PER_FRAME = 640


@dataclass(frozen=True)
class SyncResult:
    """How well lips and sound fit.

    ``confidence``: Sync-C, higher is better. ``distance``: Sync-D, lower is better. ``offset``: frames by which the
    sound is early; 0 when in step. ``curve``: (31,) mean distance at each shift, from the sound 15 frames early to 15
    late in its embedding. ``framewise``: (N,) confidence of each window at the best shift.
    """

    confidence: float
    distance: float
    offset: int
    curve: np.ndarray
    framewise: np.ndarray

    @property
    def windows(self) -> int:
        """N, the number of windows."""
        return len(self.framewise)


def window_count(frames: int, samples: int) -> int:
    """Windows that the definition compares: five fewer than the whole frames that have sound, at least 0."""
    return max(0, min(frames, samples // SAMPLES_PER_FRAME) - WINDOW)


def shifted_distances(video: Tensor, sound: Tensor, before: int, total: int, shift: int = SHIFT) -> Tensor:
    """Distances of video windows to the sound windows around them.

    Args:
        video: (n, D) embeddings of the windows ``before`` .. ``before + n`` of a clip.
        sound: (m, D) embeddings of the sound windows :func:`sound_range` names for them.
        before: windows of the clip that come before these.
        total: windows of the whole clip.
        shift: most frames to move.

    Returns:
        (n, 2 * shift + 1); column c compares with the sound window c - shift frames later.
    """
    first, last = sound_range(before, len(video), total, shift)
    assert len(sound) == last - first
    missing = (first - (before - shift), before + len(video) + shift - last)
    padded = F.pad(sound, (0, 0, *missing))
    columns = [F.pairwise_distance(video, padded[at : at + len(video)]) for at in range(2 * shift + 1)]
    return torch.stack(columns, dim=1)


def sound_range(before: int, count: int, total: int, shift: int = SHIFT) -> tuple[int, int]:
    """First sound window, and the one after the last, that ``count`` video windows from ``before`` on are compared
    with."""
    return max(0, before - shift), min(total, before + count + shift)


def sync_result(distances: np.ndarray) -> SyncResult:
    """The numbers of the definition from all distances (N, 2 * shift + 1) of a clip, N at least 1."""
    curve = distances.mean(axis=0, dtype=np.float64)
    best = int(curve.argmin())
    # torch.median, which the published code uses, is the lower of two middle values; the curve's length is odd.
    median = float(np.sort(curve)[(len(curve) - 1) // 2])
    return SyncResult(
        confidence=median - float(curve[best]),
        distance=float(curve[best]),
        offset=(len(curve) - 1) // 2 - best,
        curve=curve,
        framewise=median - distances[:, best],
    )


def sync_of_embeddings(video: Tensor, sound: Tensor, shift: int = SHIFT) -> SyncResult:
    """The numbers of the definition for embeddings (N, D) of all windows of a clip, N at least 1."""
    return sync_result(shifted_distances(video, sound, 0, len(video), shift).cpu().numpy())


def mean_confidence(results: list[SyncResult]) -> tuple[float, float]:
    """Mean Sync-C and Sync-D over clips, as tables of papers give them; not a number if there is no clip."""
    if not results:
        return math.nan, math.nan
    return (
        float(np.mean([result.confidence for result in results])),
        float(np.mean([result.distance for result in results])),
    )
