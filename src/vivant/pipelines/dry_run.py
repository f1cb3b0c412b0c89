"""``vivant train --dry-run``: what a run will need, measured on a few steps, before it is begun."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vivant.pipelines.train import Run
    from vivant.training.rehearsal import Rehearsal
    from vivant.training.stage import Stage


def dry_run(run: Run, steps: int) -> list[str]:
    """Lines that say memory, time a step and total time; loads data and modules, and writes nothing into ``run.out``.

    Every stage runs ``steps`` timed steps on this machine with this number of processes. Sheets, validations and
    checkpoints are not timed; a time budget overrides the sum.
    """
    from vivant.training import parallel
    from vivant.training.adapters import settle
    from vivant.training.rehearsal import rehearse

    begin = time.monotonic()
    data = run.load("train")
    modules = run.fresh_modules(data)
    loaded = time.monotonic() - begin
    found: list[tuple[Stage, Rehearsal]] = []
    with tempfile.TemporaryDirectory() as folder:
        for number, stage in enumerate(run.stages):
            trainer = run.trainer(modules, stage, Path(folder), data, None, number)
            found.append((stage, rehearse(trainer, steps)))
            del trainer
            settle(modules)
    head = f"{run.spec.name}, preset {run.recipe.preset}, on {run.device_name}, processes: {parallel.world()}"
    return [head, f"Data and modules: {duration(loaded)} to load.", *_lines(found, run.args.max_seconds)]


def _lines(found: list[tuple[Stage, Rehearsal]], budget: float | None) -> Iterator[str]:
    total, disk = 0.0, 0
    for stage, seen in found:
        seconds = min(seen.seconds(stage.steps, stage.critics_from), stage.seconds or float("inf"))
        total += seconds
        both = seen.parts["gradients"] if stage.lora_rank else seen.parts["weights"]  # additions alone are kept
        kept = 2 * both + seen.parts["moments"]
        disk = max(disk, kept)
        critics = f" (with critics {1000 * seen.critics:.1f} ms)" if seen.critics is not None else ""
        parts = ", ".join(f"{name} {amount(size)}" for name, size in seen.parts.items())
        learn = f"{seen.learning:,} of {seen.numbers:,} numbers learn"
        yield f"Stage {stage.name}: {stage.steps} steps of {stage.batch} samples; {learn}"
        yield f"  time: {1000 * seen.step:.1f} ms a step{critics}, {duration(seconds)}"
        yield f"  memory: {amount(seen.peak)} at most; {parts}"
    last = duration(min(total, budget) if budget else total)
    peak = amount(max(seen.peak for _, seen in found))
    yield f"Total: {last}; memory {peak} at most; a checkpoint takes up to {amount(disk)}."


def duration(seconds: float) -> str:
    """Seconds for people."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{seconds / 3600:.1f} h"


def amount(size: int) -> str:
    """Bytes for people."""
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
