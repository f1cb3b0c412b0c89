"""The training loop of one stage, the same for every method."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vivant.core.errors import ConfigError
from vivant.training import parallel
from vivant.training.adapters import kept_endings, prepare
from vivant.training.capture import CapturedStep
from vivant.training.checkpoint import (
    flat_state,
    forget_after,
    latest_checkpoint,
    load_checkpoint,
    restore,
    save_checkpoint,
)
from vivant.training.inspection import sample_sheet, validate, write_sheet
from vivant.training.log import RunLog
from vivant.training.options import DivergedError, LoopOptions, Outcome, check_fit, put_channels_last
from vivant.training.protocol import Objective, ObjectiveFactory, Samples
from vivant.training.recompute import find_blocks, has_dropout, recomputed
from vivant.training.schedule import average_rate, progress, rate_factor, step_seed
from vivant.training.sharding import gathered
from vivant.training.shared_norm import share_norms
from vivant.training.stage import Stage
from vivant.training.step import TrainStep
from vivant.training.stopping import asked_to_stop

_AGREE_EVERY = 10


class Trainer:
    """Trains ``modules`` for one stage; writes log, sheets and checkpoints under ``out``.

    Raises:
        ConfigError: the stage names modules or data that do not exist, or does not fit the number of
        processes.
    """

    def __init__(
        self,
        modules: dict[str, nn.Module],
        config: Any,
        stage: Stage,
        objective: ObjectiveFactory,
        samples: Samples,
        out: Path,
        device: torch.device | str = "cpu",
        options: LoopOptions | None = None,
        validation: Samples | None = None,
    ) -> None:
        self.options = options or LoopOptions()
        check_fit(stage, self.options)
        self.stage, self.samples, self.validation = stage, samples, validation
        self.device, self.out = torch.device(device), Path(out)
        self.modules = {name: module.to(self.device) for name, module in modules.items()}
        prepare(self.modules, stage, self.options.seed)
        self._kept = kept_endings(stage)
        parallel.copy_from_first(self.modules.values())
        share_norms(self.modules.values(), self.device)
        self.objective: Objective = objective(self.modules, config, stage, self.device)
        parallel.copy_from_first(self.objective.critics.values())
        if self.options.channels_last:
            put_channels_last([*self.modules.values(), *self.objective.critics.values()])
        self.step = TrainStep(
            self.objective, self.modules, stage, samples, self.device,
            self.options.precision, self.options.log_every,
        )  # fmt: skip
        self.blocks = find_blocks(self.modules, stage.recompute)
        alone = parallel.world() == 1 or self.options.capture_many
        fit = alone and stage.optimizer == "adamw" and not self.step.split and not has_dropout(self.blocks)
        self._captured = CapturedStep(
            self.step.compute, self.device, [self.step.generator], self.options.capture and fit
        )
        self.done_steps = 0
        self._seconds_before = 0.0
        self._started = time.monotonic()
        self._elapsed = 0.0
        self._logged = (0, 0.0)
        self._pending = 0
        self._adversarial = False
        self._rate = 0.0
        self._log: RunLog | None = None
        self.best: float | None = None

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.out / "checkpoints"

    def run(self, resume: bool = False) -> Outcome:
        """Train to the end of the stage, its time budget, or SIGTERM, and write a checkpoint.

        ``resume``: go on from the latest checkpoint in ``out`` if there is one.

        Raises:
            DivergedError: a loss was not finite. WeightsError: the checkpoint does not fit.
        """
        self.out.mkdir(parents=True, exist_ok=True)
        if resume:
            self._resume()
        self._started = time.monotonic()
        self._logged = (self.done_steps, self._seconds_before)
        first = parallel.rank() == 0
        self._log = RunLog(self.out, self.stage.name, self.stage.steps, self.done_steps, first, self.options.tracker)
        try:
            with asked_to_stop() as asked, recomputed(self.blocks):
                finished = self._loop(asked)
            self._drain()
            self.save(finished)
        finally:
            self._captured.release()
            self._log.close()
        found = self.step.average.modules
        if self.step.plain is not None:
            found = self.step.plain.filled(found)
        return Outcome(self.done_steps, self._now(), finished, found)

    def _now(self) -> float:
        return self._seconds_before + time.monotonic() - self._started

    def _loop(self, asked: threading.Event) -> bool:
        """Steps until the end (True) or until asked to stop (False)."""
        seconds = self.options.seconds or self.stage.seconds
        while True:
            leave = asked.is_set()
            if parallel.world() == 1:
                self._elapsed = self._now()
            elif self.done_steps % _AGREE_EVERY == 0:
                self._elapsed, leave = parallel.agree(self._now(), leave, self.device)
            else:
                leave = False
            done = progress(self.done_steps, self.stage.steps, self._elapsed, seconds)
            if done >= 1 or leave:
                return done >= 1
            self._one(done)
            self._periodic()

    def _one(self, done: float) -> None:
        """One step: everything the host decides, then the device's work."""
        adversarial = done >= self.stage.critics_from and bool(self.objective.critics)
        if adversarial != self._adversarial:
            self._drain()
            self._adversarial = adversarial
        number, stage = self.done_steps, self.stage
        factor = rate_factor(number, done, stage.warmup, stage.final_lr_fraction)
        self._rate = self.step.optimizer.set_factor(factor)
        if self.step.critic_optimizer is not None:
            self.step.critic_optimizer.set_factor(factor)
        seed = step_seed(self.options.seed, stage.name, number)
        self.step.fill(self._draw(number), self._pending, average_rate(number, stage.ema_decay), seed)
        self._captured(adversarial)
        self.done_steps += 1
        self._pending += 1
        if self.step.lost:
            self._drain()

    def one_unlogged(self, done: float) -> None:
        """One step at the fraction ``done`` of the stage whose losses nobody will read."""
        self._pending = 0
        self._one(done)
        self._pending = 0

    def _draw(self, number: int) -> Tensor:
        """This process's indices, its share of each part of the batch, so that parts do not depend on the number of
        processes."""
        parts = self._draw_whole(number).unflatten(0, (self.stage.accumulate, parallel.world(), -1))
        return parts[:, parallel.rank()].flatten(0, 1)

    def _draw_whole(self, number: int) -> Tensor:
        seed = step_seed(self.options.seed, self.stage.name, number)
        return self.samples.draw(number, seed, self.stage.batch, self.stage.mix)

    def _periodic(self) -> None:
        """What happens every so many steps."""
        stage, number = self.stage, self.done_steps
        if self._pending == self.options.log_every:
            self._drain()
        if stage.sample_every and number % stage.sample_every == 0:
            self._sheet()
        if stage.validate_every and number % stage.validate_every == 0 and self.validation is not None:
            self._validate(self.validation)
        if stage.checkpoint_every and number % stage.checkpoint_every == 0:
            self._drain()
            self.save()

    def _validate(self, samples: Samples) -> None:
        """Validation losses; a checkpoint if they are the best so far."""
        values, name = (
            parallel.mean_values(validate(self.step, samples, self.options.seed), self.device),
            self.options.best,
        )
        if self._log is not None:
            self._log.write(self.done_steps, values, "validation")
        if name and name not in values:
            raise ConfigError(f"There is no validation loss '{name}': take one of {', '.join(values)}.")
        if name and (self.best is None or values[name] < self.best):
            self._drain()
            self.best = values[name]
            self.save(best=True)

    def _drain(self) -> None:
        """Wait for the device, check the recorded losses and log their means."""
        if not self._pending:
            return
        rows, count = parallel.mean_rows(self.step.read(self._pending), self.device), self._pending
        self._pending = 0
        self._check(rows, self.done_steps - count)
        mean = dict(zip(self.step.names, rows.double().mean(0).tolist()))
        now, (last_step, last_seconds) = self._now(), self._logged
        speed = (self.done_steps - last_step) * self.stage.batch / max(1e-9, now - last_seconds)
        self._logged = (self.done_steps, now)
        memory = torch.cuda.max_memory_reserved(self.device) / 2**30 if self.device.type == "cuda" else 0.0
        assert self._log is not None
        numbers = {
            "seconds": now,
            "samples_per_second": speed,
            "learning_rate": self._rate,
            "gpu_gib": memory,
        }
        self._log.write(self.done_steps, {k: round(v, 9) for k, v in (numbers | mean).items()})
        shown = {"loss": mean["total"], "samples/s": speed}
        self._log.advance(self.done_steps, shown)

    def _check(self, rows: Tensor, first: int) -> None:
        bad = (~torch.isfinite(rows)).nonzero()
        if not len(bad):
            return
        row, column = bad[0].tolist()
        names = self.samples.describe(self._draw_whole(first + row))
        saved, listed = latest_checkpoint(self.checkpoints), self.out / f"bad_batch_{first + row:08d}.txt"
        if parallel.rank() == 0:
            listed.write_text("\n".join(names) + "\n", encoding="utf-8")
        raise DivergedError(
            f"Stage '{self.stage.name}' step {first + row}: '{self.step.names[column]}' is {rows[row, column]} "
            f"on the samples {', '.join(names[:16])} (all of them in {listed}); "
            f"resume from {saved or 'the start'} with a lower learning rate."
        )

    def _sheet(self) -> None:
        first = parallel.rank() == 0
        if not first and not self.step.split:
            return
        image = sample_sheet(self.step, self.validation or self.samples, self.options.seed)
        if first:
            write_sheet(self.out / "sheets" / f"{self.done_steps:08d}.jpg", image)
            if self._log is not None:
                self._log.image(self.done_steps, image, "sheet")

    def save(self, finished: bool = False, best: bool = False) -> None:
        """Write a checkpoint of the present step; ``finished`` marks the stage as done, ``best`` the best so far."""
        first, optimizer = parallel.rank() == 0, self.step.optimizer
        moments = optimizer.state() if first or optimizer.collective else {}
        weights = [flat_state(modules, self._kept) for modules in (self.modules, self.step.average.modules)]
        live, averaged = [gathered(state) for state in weights] if self.step.split else weights
        if first:
            critics = self.step.critic_optimizer
            parts = {
                "modules": live,
                "averaged": averaged,
                "critics": flat_state(self.objective.critics),
                "optimizer": moments,
                "critic_optimizer": critics.state() if critics else {},
            }
            state = {"stage": self.stage.name, "seconds": self._now(), "finished": finished, "best": self.best}
            save_checkpoint(self.checkpoints, self.done_steps, parts, state, self.options.keep, best)

    def _resume(self) -> None:
        path = latest_checkpoint(self.checkpoints)
        if path is None:
            return
        parts, state = load_checkpoint(path)
        if state.get("stage") != self.stage.name:
            raise ConfigError(f"{path} belongs to stage '{state.get('stage')}', not to '{self.stage.name}'.")
        with torch.no_grad():
            restore(self.modules, parts["modules"], f"{path}/modules", self._kept)
            restore(self.step.average.modules, parts["averaged"], f"{path}/averaged", self._kept)
            restore(self.objective.critics, parts["critics"], f"{path}/critics")
        self.step.optimizer.load(parts["optimizer"])
        if self.step.critic_optimizer is not None:
            self.step.critic_optimizer.load(parts["critic_optimizer"])
        self.done_steps, self._seconds_before = int(state["step"]), float(state["seconds"])
        self.best = state.get("best")
        if parallel.rank() == 0:
            forget_after(self.checkpoints, self.done_steps)
