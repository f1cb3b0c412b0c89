"""The median filter over space and time that the released pipeline puts behind the decoder, frame by frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import product

import numpy as np
import torch
from torch import Tensor

_RANK = 14
"""Of 27 numbers in order the middle one, counted from 1."""


def median_filter(frames: Iterable[np.ndarray], device: torch.device | str = "cpu") -> Iterator[np.ndarray]:
    """Each (H, W, 3) uint8 frame as the median of 3 x 3 pixels in the frames before, now and behind.

    The clip is mirrored at its ends without repeating the last frame, as pictures are at their borders. Three frames
    are held, on ``device``, which also computes.
    """
    waiting = (torch.from_numpy(frame).to(device) for frame in frames)
    now = next(waiting, None)
    if now is None:
        return
    behind = next(waiting, None)
    if behind is None:
        yield now.cpu().numpy()
        return
    before = behind
    while behind is not None:
        yield median_of(before, now, behind).cpu().numpy()
        before, now, behind = now, behind, next(waiting, None)
    yield median_of(before, now, before).cpu().numpy()


def median_of(before: Tensor, now: Tensor, behind: Tensor) -> Tensor:
    """The middle one of each place's 27 neighbours in three frames (H, W, C); same shape.

    The neighbours are sorted along each of the three axes, where neighbouring places share their work. In such a cube
    the place of a number bounds its rank, which leaves 19 numbers that can be the middle one. Only least and largest of
    whole pictures are taken, which is much faster than sorting 27 numbers a place.
    """
    levels = sort3(before, now, behind)
    columns = [list(sort3(*_shifted(level, 1))) for level in levels]
    cube = [[list(sort3(*_shifted(number, 0))) for number in row] for row in columns]
    below = {(i, j, k): (i + 1) * (j + 1) * (k + 1) for i, j, k in product(range(3), repeat=3)}  # counts itself
    return _middle([cube[i][j][k] for i, j, k in below if max(below[i, j, k], below[2 - i, 2 - j, 2 - k]) <= _RANK])


def sort3(a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Least, middle and largest of each place."""
    low, high = torch.minimum(a, b), torch.maximum(a, b)
    rest = torch.minimum(high, c)
    return torch.minimum(low, rest), torch.maximum(low, rest), torch.maximum(high, c)


def _shifted(x: Tensor, axis: int) -> tuple[Tensor, Tensor, Tensor]:
    """``x`` (H, W, C) and its neighbours on both sides along ``axis``, mirrored at the borders."""
    size = x.shape[axis]
    at = torch.arange(size, device=x.device)
    last = size - 1
    before, behind = (at - 1).abs(), last - (last - at - 1).abs()
    return x.index_select(axis, before), x, x.index_select(axis, behind)


def _middle(numbers: Sequence[Tensor]) -> Tensor:
    """The middle one of an odd count of numbers, 3 or more, at each place.

    Of more than half of them the least and the largest are not the middle one: they are forgotten, another number is
    looked at, and so on.
    """
    most = len(numbers) // 2 + 2
    known = list(numbers[:most])
    for further in (*([number] for number in numbers[most:]), []):
        known = _without_ends(known) + further
    return known[0]


def _without_ends(numbers: Sequence[Tensor]) -> list[Tensor]:
    """``numbers`` of each place without the least and the largest, in another order."""
    least, *rest = numbers
    larger = []
    for number in rest:
        larger.append(torch.maximum(least, number))
        least = torch.minimum(least, number)
    largest, *rest = larger
    found = []
    for number in rest:
        found.append(torch.minimum(largest, number))
        largest = torch.maximum(largest, number)
    return found
