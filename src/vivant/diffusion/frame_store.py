"""Numbers of frames that several sampling steps need: computed once, given back when no step needs them any more."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import torch
from torch import Tensor

Compute = Callable[[int, int], Tensor]
"""Numbers (n, ...) of the frames from a to b - 1 of a clip."""


class FrameStore:
    """Rows of a clip's frames, computed ``chunk`` frames at a time when they are first asked for.

    On a GPU they wait in the host's memory, so that the device's does not grow with the number of sampling steps.
    """

    def __init__(self, compute: Compute, count: int, chunk: int = 16) -> None:
        self._compute, self._count, self._chunk = compute, count, chunk
        self._held: deque[tuple[int, Tensor]] = deque()  # first frame and rows of neighbouring chunks
        self._known = 0
        self._device = torch.device("cpu")

    def window(self, start: int, length: int) -> Tensor:
        """(length, ...) on the device that computes. Frames are asked for in rising order, and again at will."""
        while self._known < start + length:
            self._next()
        parts = []
        for first, rows in self._held:
            low, high = max(start, first), min(start + length, first + len(rows))
            if low < high:
                parts.append(rows[low - first : high - first])
        if self._device.type == "cpu":
            return torch.cat(parts)
        return torch.cat([part.to(self._device, non_blocking=True) for part in parts])

    def _next(self) -> None:
        stop = min(self._known + self._chunk, self._count)
        rows = self._compute(self._known, stop)
        self._device = rows.device
        self._held.append((self._known, rows.to("cpu").pin_memory() if rows.is_cuda else rows))
        self._known = stop

    def release(self, before: int) -> None:
        """Forget the chunks that lie wholly in front of frame ``before``."""
        while self._held and self._held[0][0] + len(self._held[0][1]) <= before:
            self._held.popleft()

    def forget(self) -> None:
        """Compute everything anew when it is asked for, from the first frame that is still held."""
        self._known = self._held[0][0] if self._held else self._known
        self._held.clear()

    def __len__(self) -> int:
        """Frames held at this moment."""
        return sum(len(rows) for _, rows in self._held)
