"""One stage of training as data: what learns, on what, for how long and how fast."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from vivant.core.errors import ConfigError
from vivant.core.whole import MOST, whole

MOMENTS, WEIGHTS = "moments", "weights"
"""What ``shard`` may share."""
OPTIMIZERS = ("adamw", "adamw8bit")


@dataclass(frozen=True)
class Stage:
    """A stage of a recipe.

    ``trains``: names of modules, or ``module.submodule``, that learn; all else is frozen in evaluation mode. Names may
    hold ``*``, and those behind a ``!`` are taken out again.
    ``steps``: optimiser steps; ``batch``: samples a step over all processes; ``accumulate``: parts a batch is
    computed in. ``warmup``: steps of linear rise, with a cosine down to ``final_lr_fraction`` of the rate.
    ``rates``: {parameters or modules, with ``*``: factor on the learning rate}, for layers that need another one.
    ``clip_norm``: largest gradient norm, 0 for no limit. ``ema_decay``: decay of the averaged weights.
    ``mix``: {group of the data: share of the batch}, empty for shares by size.
    ``frames``: frames of a sample, for methods that learn from videos. ``settings``: further numbers of the method's
    own objective, such as probabilities of dropouts. ``shard``: what several GPUs share: "moments" of the
    optimiser, "weights" with their gradients, moments and averages, or nothing (""); ``shard_blocks``: names of blocks,
    with ``*``, whose shared weights are gathered one after another.
    ``optimizer``: "adamw", or "adamw8bit", whose moments take a quarter of the memory. ``recompute``: names of blocks,
    with ``*``, whose activations are computed again in the backward pass instead of being kept. ``lora_rank``: above 0,
    only low-rank additions to the layers named by ``lora_on`` (within ``trains``) learn, ``lora_alpha`` strong (0: as
    the rank).
    ``critics_from``: fraction of the stage after which the critics run, 1 for never.
    ``*_every``: steps between sample sheets, validations and checkpoints, 0 for never (the last checkpoint is
    always written). ``seconds``: time budget, None for none.
    """

    name: str
    trains: tuple[str, ...]
    steps: int
    batch: int
    learning_rate: float = 2e-4
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 1e-4
    warmup: int = 100
    final_lr_fraction: float = 0.04
    clip_norm: float = 10.0
    ema_decay: float = 0.999
    rates: dict[str, float] = field(default_factory=dict)
    loss_weights: dict[str, float] = field(default_factory=dict)
    mix: dict[str, float] = field(default_factory=dict)
    frames: int = 1
    settings: dict[str, float] = field(default_factory=dict)
    shard: str = ""
    shard_blocks: tuple[str, ...] = ()
    optimizer: str = "adamw"
    recompute: tuple[str, ...] = ()
    lora_rank: int = 0
    lora_alpha: float = 0.0
    lora_on: tuple[str, ...] = ("*.to_q", "*.to_k", "*.to_v", "*.to_out.0")
    critics_from: float = 1.0
    critic_learning_rate: float = 2e-4
    critic_betas: tuple[float, float] = (0.5, 0.99)
    accumulate: int = 1
    sample_every: int = 0
    validate_every: int = 0
    checkpoint_every: int = 0
    seconds: float | None = None

    def __post_init__(self) -> None:
        self._require(self.steps >= 1, f"steps is {self.steps}, give at least 1")
        self._require(self.batch >= 1, f"batch is {self.batch}, give at least 1")
        self._require(self.accumulate >= 1, f"accumulate is {self.accumulate}, give at least 1")
        self._require(self.batch % self.accumulate == 0, f"batch {self.batch} does not divide by accumulate")
        self._require(self.frames >= 1, f"frames is {self.frames}, give at least 1")
        self._require(bool(self.trains), "trains is empty, name at least one module")
        self._require(0 <= self.ema_decay < 1, f"ema_decay is {self.ema_decay}, give 0 to below 1")
        self._require(0 <= self.critics_from <= 1, f"critics_from is {self.critics_from}, give 0 to 1")
        self._require(self.learning_rate > 0, f"learning_rate is {self.learning_rate}, give more than 0")
        self._require(self.seconds is None or self.seconds > 0, f"seconds is {self.seconds}, give more than 0")
        for name in ("warmup", "clip_norm", "weight_decay", "sample_every", "validate_every", "checkpoint_every"):
            self._require(getattr(self, name) >= 0, f"{name} is {getattr(self, name)}, give 0 or more")
        self._require(all(v >= 0 for v in self.rates.values()), "a factor of rates is negative")
        self._require(self.lora_rank >= 0, f"lora_rank is {self.lora_rank}, give 0 or more")
        self._require(self.optimizer in OPTIMIZERS, f"there is no optimizer '{self.optimizer}', use {OPTIMIZERS}")
        self._require(self.shard in ("", MOMENTS, WEIGHTS), f"shard is '{self.shard}', use {MOMENTS} or {WEIGHTS}")
        self._require(not (self.shard and self.optimizer != "adamw"), "shard needs the optimizer adamw")
        self._require(all(v >= 0 for v in self.mix.values()), "a share of mix is negative")

    def _require(self, good: bool, problem: str) -> None:
        if not good:
            raise ConfigError(f"Stage '{self.name}': {problem}.")

    def settings_over(self, usual: Mapping[str, float], chances: Sequence[str] = ()) -> dict[str, float]:
        """The objective's ``usual`` settings with those of the stage in their place. ``chances``: those up to 1.

        Raises:
            ConfigError: a setting that the objective does not know, a negative one, or a chance above 1.
        """
        unknown = sorted(set(self.settings) - set(usual))
        if unknown:
            raise ConfigError(f"The stage '{self.name}' has the unknown setting '{unknown[0]}': use {list(usual)}.")
        for name, value in self.settings.items():
            fits, limit = (0 <= value <= 1, "0 to 1") if name in chances else (0 <= value < math.inf, "0 or more")
            self._require(fits, f"settings.{name} is {value}, give {limit}")
        return {**usual, **self.settings}

    def changed(self, values: Mapping[str, Any]) -> Stage:
        """The stage with fields replaced; dictionaries are merged key by key, lists become tuples.

        Raises:
            ConfigError: for a field that does not exist or a value of another kind.
        """
        known = {f.name for f in fields(self)}
        clean: dict[str, Any] = {}
        for key, value in values.items():
            if key not in known:
                raise ConfigError(f"Stage '{self.name}' has no setting '{key}': use one of {sorted(known)}.")
            clean[key] = self._convert(key, value)
        return replace(self, **clean)

    def _convert(self, key: str, value: Any) -> Any:
        now = getattr(self, key)
        if key == "shard" and isinstance(value, bool | None):  # older recipes say true
            return MOMENTS if value else ""
        try:
            if isinstance(now, dict):
                return {**now, **{str(k): _finite(v) for k, v in dict(value).items()}}
            if isinstance(now, tuple):
                kind: Any = str if not now or isinstance(now[0], str) else _finite
                return tuple(kind(v) for v in ([value] if isinstance(value, str) else value))
            if key == "seconds":
                return None if value is None else _finite(value)
            if isinstance(now, int):
                return _count(value)
            return _finite(value) if isinstance(now, float) else type(now)(value)
        except (TypeError, ValueError, OverflowError) as error:
            if isinstance(now, int):
                needed = f": give a whole number up to {MOST}"
            else:
                needed = ": give numbers that are finite" if str(error) == _INFINITE else ""
            raise ConfigError(
                f"Stage '{self.name}': '{value!s:.60}' does not fit the setting '{key}' (now {now!r}){needed}."
            ) from error


_INFINITE = "not finite"


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(_INFINITE)
    return number


def _count(value: Any) -> int:
    number = whole(value)
    if abs(number) > MOST:
        raise ValueError(f"more than {MOST}")
    return number
