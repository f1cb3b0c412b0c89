"""Two frames at once instead of one frame twice as fast.

Small layers gain little from several cores, and on a busy machine the cores of one layer wait for each other. On a CPU
a batch is cut into as many parts as torch has threads, and each part is computed by a thread that gives torch one core.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor

Result = TypeVar("Result", Tensor, dict[str, Tensor])


class SideBySide:
    """Applies a function of a batch in parts. Threads are made on first use and end with the object."""

    def __init__(self, device: torch.device) -> None:
        self._threads = torch.get_num_threads() if device.type == "cpu" else 1
        self._pool: ThreadPoolExecutor | None = None

    def __call__(self, function: Callable[[Tensor], Result], batch: Tensor) -> Result:
        """``function(batch)`` for (B, ...), without gradients; its result, or every entry of it, has B rows, too."""
        if self._threads == 1 or len(batch) == 1:
            return _quiet(function, batch)
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, "vivant", initializer=torch.set_num_threads, initargs=(1,))
        parts = batch.tensor_split(min(len(batch), self._threads))
        found = list(self._pool.map(lambda part: _quiet(function, part), parts))
        if isinstance(found[0], dict):
            return {name: torch.cat([part[name] for part in found]) for name in found[0]}
        return torch.cat(found)


@torch.inference_mode()
def _quiet(function: Callable[[Tensor], Result], part: Tensor) -> Result:
    return function(part)
