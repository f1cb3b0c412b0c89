"""The median filter over space and time that the released pipeline puts behind the decoder, frame by frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np


def median_filter(frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Each (H, W, 3) uint8 frame as the median of 3 x 3 pixels in the frames before, now and behind.

    The clip is mirrored at its ends without repeating the last frame, as pictures are at their borders. Three frames
    are held.
    """
    waiting = iter(frames)
    now = next(waiting, None)
    if now is None:
        return
    behind = next(waiting, None)
    if behind is None:
        yield now
        return
    before = behind
    while behind is not None:
        yield median_of(np.stack([before, now, behind]))[1]
        before, now, behind = now, behind, next(waiting, None)
    yield median_of(np.stack([before, now, before]))[1]


def median_of(volume: np.ndarray) -> np.ndarray:
    """(F, H, W, C) of any kind, each number the median of its 27 neighbours in frames and pixels, mirrored at the
    borders; same shape."""
    from scipy.ndimage import median_filter as filtered

    found: np.ndarray = filtered(volume, size=(3, 3, 3, 1), mode="mirror")
    return found
