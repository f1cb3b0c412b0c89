"""The median filter over space and time that the released pipeline puts behind the decoder, frame by frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

_MIDDLE = 14  # of 27 numbers in order


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
        yield median_of(before, now, behind)
        before, now, behind = now, behind, next(waiting, None)
    yield median_of(before, now, before)


def median_of(before: np.ndarray, now: np.ndarray, behind: np.ndarray) -> np.ndarray:
    """The middle one of each place's 27 neighbours in three frames (H, W, C) of unsigned integers; same shape.

    The number is found bit by bit, from how many neighbours are not above it: passes over whole pictures, much faster
    than sorting 27 numbers a place.
    """
    height, width = now.shape[:2]
    padded = [np.pad(frame, ((1, 1), (1, 1), (0, 0)), mode="reflect") for frame in (before, now, behind)]
    seen = [frame[y : y + height, x : x + width] for frame in padded for y in range(3) for x in range(3)]
    value, count = np.zeros_like(now), np.empty(now.shape, np.uint8)
    for bit in reversed(range(8 * now.dtype.itemsize)):
        highest = value + now.dtype.type((1 << bit) - 1)
        count[:] = 0
        for frame in seen:
            count += frame <= highest
        value += np.where(count >= _MIDDLE, 0, 1 << bit).astype(now.dtype)
    return value
