"""A few steps of a stage that leave nothing behind: how long a step takes and how much memory it needs."""

from __future__ import annotations

import resource
import statistics
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from vivant.training.recompute import recomputed

if TYPE_CHECKING:
    from vivant.training.loop import Trainer

WARM = 4
"""Steps before the timed ones: lazy allocations, kernels that are chosen, a graph that is captured."""


@dataclass(frozen=True)
class Rehearsal:
    """Measured on this machine. ``step``: median seconds of a step; ``critics``: with critics, None if the stage has
    none; ``peak``: largest memory so far in bytes, of the device, on a CPU of the process; ``learning``, ``numbers``:
    how many numbers learn, and how many there are; ``parts``: bytes of weights, moments, averages."""

    step: float
    critics: float | None
    peak: int
    learning: int
    numbers: int
    parts: dict[str, int]

    def seconds(self, steps: int, critics_from: float) -> float:
        """Time of a stage of ``steps`` steps whose critics run from the fraction ``critics_from`` on."""
        late = self.step if self.critics is None else self.critics
        return steps * (critics_from * self.step + (1 - critics_from) * late)


def rehearse(trainer: Trainer, steps: int = 5) -> Rehearsal:
    """Run some steps of ``trainer`` (its weights change, nothing is written) and measure them."""
    stage, device = trainer.stage, trainer.device
    with recomputed(trainer.blocks):
        plain = _median(trainer, 0.0, steps) if stage.critics_from > 0 or not trainer.objective.critics else None
        late = _median(trainer, 1.0, steps) if trainer.objective.critics and stage.critics_from < 1 else None
    parameters = [p for m in trainer.modules.values() for p in m.parameters()]
    moments = trainer.step.optimizer.state().values()
    average = [p for m in trainer.step.average.modules.values() for p in m.parameters()] if stage.ema_decay else []
    parts = {
        "weights": sum(p.numel() * p.element_size() for p in parameters),
        "gradients": sum(p.numel() * p.element_size() for p in parameters if p.requires_grad),
        "moments": sum(t.numel() * t.element_size() for t in moments),
        "averages": sum(p.numel() * p.element_size() for p in average),
    }
    return Rehearsal(
        plain if plain is not None else late or 0.0, late, peak_memory(device),
        sum(p.numel() for p in parameters if p.requires_grad), sum(p.numel() for p in parameters), parts,
    )  # fmt: skip


def _median(trainer: Trainer, done: float, steps: int) -> float:
    times = []
    for number in range(WARM + steps):
        begin = time.perf_counter()
        trainer.one_unlogged(done)
        if trainer.device.type == "cuda":
            torch.cuda.synchronize(trainer.device)
        if number >= WARM:
            times.append(time.perf_counter() - begin)
    return statistics.median(times)


def peak_memory(device: torch.device) -> int:
    """Bytes that were reserved on the device at most; on a CPU, bytes of this process at most."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_reserved(device))
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
