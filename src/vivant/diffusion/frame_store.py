"""Numbers of frames that several sampling steps need: computed once, given back when no step needs them any more."""

from __future__ import annotations

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
        self._rows: dict[int, Tensor] = {}
        self._known = 0
        self._device: torch.device | None = None

    def window(self, start: int, length: int) -> Tensor:
        """(length, ...) on the device that computes. Frames are asked for in rising order, and again at will."""
        while self._known < start + length:
            stop = min(self._known + self._chunk, self._count)
            rows = self._compute(self._known, stop)
            self._device = rows.device
            if rows.is_cuda:
                rows = rows.to("cpu").pin_memory()
            self._rows.update(zip(range(self._known, stop), rows))
            self._known = stop
        found = torch.stack([self._rows[index] for index in range(start, start + length)])
        return found.to(self._device) if self._device is not None else found

    def release(self, before: int) -> None:
        """Forget the frames in front of ``before``."""
        for index in [index for index in self._rows if index < before]:
            del self._rows[index]

    def forget(self) -> None:
        """Compute everything anew when it is asked for, from the first frame that is still held."""
        self._known = min(self._rows, default=self._known)
        self._rows.clear()

    def __len__(self) -> int:
        """Frames held at this moment."""
        return len(self._rows)
