"""How a stage is run, how it ended, and what stops it before it begins."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

from vivant.core.errors import ConfigError, VivantError
from vivant.training import parallel
from vivant.training.stage import Stage


class DivergedError(VivantError):
    """A loss became infinite or not a number."""


@dataclass(frozen=True)
class LoopOptions:
    """How a stage is run. ``precision``: "fp32" or "bf16"; ``capture``: run the step as a CUDA graph;
    ``capture_many``: also with several processes, whose messages are then part of the graph; ``log_every``: steps
    between log lines, also how often the host waits for the device; ``keep``: checkpoints kept; ``seconds``: time
    budget that overrides the stage's own; ``channels_last``: memory order of 2D convolutions, faster on GPUs with half
    precision; ``tracker``: where numbers are shown (:mod:`vivant.training.trackers`); ``best``: the validation loss
    whose smallest value marks the checkpoint that is kept as the best, empty for none."""

    seed: int = 0
    precision: str = "fp32"
    capture: bool = True
    capture_many: bool = False
    log_every: int = 20
    keep: int = 3
    seconds: float | None = None
    channels_last: bool = False
    tracker: str = "tensorboard"
    best: str = "total"


@dataclass(frozen=True)
class Outcome:
    """How a stage ended: ``finished`` is False after a request to stop. ``modules``: with averaged
    weights."""

    step: int
    seconds: float
    finished: bool
    modules: dict[str, nn.Module]


def check_fit(stage: Stage, options: LoopOptions) -> None:
    """Raises ConfigError if the stage cannot be run like that, or not by this number of processes."""
    if options.precision not in ("fp32", "bf16"):
        raise ConfigError(f"The precision '{options.precision}' is unknown: use fp32 or bf16.")
    if stage.batch % (parallel.world() * stage.accumulate):
        raise ConfigError(
            f"Stage '{stage.name}': batch {stage.batch} does not divide by {parallel.world()} processes "
            f"with {stage.accumulate} parts each."
        )


def put_channels_last(modules: Iterable[nn.Module]) -> None:
    """Let 2D convolutions keep their weights with channels last."""
    for top in modules:
        for module in top.modules():
            if isinstance(module, nn.Conv2d):
                module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
