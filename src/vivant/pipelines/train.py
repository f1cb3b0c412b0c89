"""``vivant train``: a method learns by a recipe, stage after stage."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from vivant.core.errors import ConfigError
from vivant.pipelines.inputs import check_folder
from vivant.pipelines.learners import find_config, find_learner
from vivant.pipelines.recipe import Recipe, check_losses, only_stage, read_recipe, with_settings, write_resolved
from vivant.pipelines.sample_options import FACE_CLIPS, check_samples, loader
from vivant.pipelines.trained import Keeper

if TYPE_CHECKING:
    import torch
    from torch import nn

    from vivant.training.loop import LoopOptions, Trainer
    from vivant.training.protocol import Samples
    from vivant.training.stage import Stage

STOPPED = 3
"""Exit code of a run that was asked to stop and can be resumed."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``vivant train``."""
    parser.add_argument("method", nargs="?", help="method (default: the recipe's)")
    parser.add_argument("--recipe", required=True, help="YAML file that says what to train, on what, for how long")
    parser.add_argument("--data", help="folder with manifest.jsonl, instead of the recipe's")
    parser.add_argument("--out", help="folder for log, sheets, checkpoints and weights (default: runs/<recipe>)")
    parser.add_argument("--resume", action="store_true", help="go on from the latest checkpoint in --out")
    parser.add_argument("--stage", help="run only this stage")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="settings",
        help="change the recipe: seed=3, samples.size=128, base.steps=100, base.mix.rig=0.5; "
        "stage.steps=10 for all stages",
    )  # fmt: skip
    parser.add_argument("--init", help="weights to start from, instead of the recipe's")
    parser.add_argument("--max-seconds", type=float, help="time budget of the whole run; schedules follow it")
    parser.add_argument("--device", default="auto", help="cpu, cuda, or auto (default)")
    parser.add_argument("--workers", type=int, help="processes that decode the data (default: one a core)")
    parser.add_argument("--log-every", type=int, default=20, help="steps between log lines (default: 20)")
    parser.add_argument("--keep", type=int, default=2, help="checkpoints kept of each stage (default: 2)")
    parser.add_argument("--dry-run", action="store_true", help="say memory, time a step and total time, and leave")
    parser.add_argument("--dry-steps", type=int, default=5, help="timed steps of each stage for that (default: 5)")
    parser.add_argument("--tracker", default="tensorboard", help="tensorboard (default), trackio, wandb or none")
    parser.add_argument(
        "--best-by", default="total", metavar="LOSS",
        help="validation loss by which a checkpoint is kept as the best (default: total; '' for none)",
    )  # fmt: skip
    parser.add_argument("--no-capture", action="store_true", help="do not run steps as CUDA graphs")
    parser.add_argument("--capture-many", action="store_true", help="run steps of several processes as graphs, too")


def run(args: argparse.Namespace) -> int:
    """Train as asked. Returns 0, or 3 if the run was asked to stop before its end."""
    numbers = [value for value in (args.log_every, args.keep, args.max_seconds, args.workers) if value is not None]
    if not all(value > 0 for value in numbers):  # also what is no number
        raise ConfigError("--log-every, --keep, --max-seconds and --workers must be more than 0.")
    recipe = with_settings(read_recipe(args.recipe), args.settings)
    recipe = replace(
        recipe, method=args.method or recipe.method, data=args.data or recipe.data, init=args.init or recipe.init
    )
    if args.stage:
        recipe = only_stage(recipe, args.stage)
    if not recipe.data:
        raise ConfigError("The recipe names no data: add a data key, or give --data FOLDER.")
    import torch

    from vivant.training import parallel

    out = Path(args.out or Path("runs") / Path(args.recipe).stem)
    check_folder(out)
    try:
        return _rehearse(Run(recipe, out, args), args) if args.dry_run else Run(recipe, out, args).train()
    except torch.cuda.OutOfMemoryError as error:
        raise ConfigError(
            "The GPU's memory does not suffice: compute the batch in parts (--set stage.accumulate=4), lower it (--set "
            "stage.batch=N), or recompute activations (stage.recompute; stage.settings.save_memory=1 of diffusion)."
        ) from error
    finally:
        parallel.stop()


class Run:
    """One training run: data and modules are loaded once, stages follow one another."""

    def __init__(self, recipe: Recipe, out: Path, args: argparse.Namespace) -> None:
        self.started = time.monotonic()
        self.recipe, self.out, self.args = recipe, out, args
        self.spec = find_learner(recipe.method)
        if not self.spec.capabilities.trainable:
            raise ConfigError(f"The method '{recipe.method}' cannot be trained here.")
        self.config = find_config(self.spec, recipe.preset)
        self.teacher = self.spec.part("train")
        check_samples(loader(self.teacher), recipe.samples)
        configured = getattr(self.teacher, "configured", None)
        if configured is not None:
            self.config = configured(self.config, recipe.samples)
        self.stages = as_launched(recipe.resolve(self.teacher.STAGES), os.environ)
        check_losses(self.stages, self.teacher)
        self.keeper = Keeper(self.spec, self.config, recipe)
        self.device = _device(args.device)
        if not args.resume and not args.dry_run and any(out.glob("*/checkpoints/latest")):
            raise ConfigError(f"{out} holds a run already: go on with --resume, or choose another --out.")

    def train(self) -> int:
        """All stages. Returns the exit code."""
        from vivant.training import parallel

        data = self.load("train")
        validation = self.load(self.recipe.validation) if self.recipe.validation else None
        modules = self.fresh_modules(data)
        self._note()
        for number, stage in enumerate(self.stages):
            folder = self.out / stage.name
            if self.args.resume and self.keeper.restore_finished(modules, folder, stage):
                self._settle(modules, stage)
                continue
            outcome = self.trainer(modules, stage, folder, data, validation, number).run(self.args.resume)
            modules = outcome.modules
            if parallel.rank() == 0:
                self.keeper.save(modules, folder, stage, outcome)
                self.keeper.save_best(modules, folder, stage)
            if not outcome.finished:
                return STOPPED
            self._settle(modules, stage)
        if parallel.rank() == 0 and not self.stages[-1].lora_rank:
            self.keeper.save(modules, self.out, self.stages[-1], None)
        return 0

    def _settle(self, modules: dict[str, nn.Module], stage: Stage) -> None:
        """Additions become part of the weights for the next stage; those of the last stage are the run's result."""
        from vivant.training import parallel
        from vivant.training.adapters import settle

        if not stage.lora_rank:
            return
        if stage is self.stages[-1] and parallel.rank() == 0:
            self.keeper.save(modules, self.out, stage, None)
        settle(modules)

    def load(self, split: str) -> Samples:
        """The data of a split, as the method learns from it."""
        recipe, options = self.recipe, dict(self.recipe.samples)
        if getattr(self.teacher, "SAMPLES", FACE_CLIPS) == FACE_CLIPS and split == "train":
            options.setdefault("poses_per_still", recipe.poses_per_still)
        samples: Samples = loader(self.teacher)(
            recipe.data,
            self.device,
            split,
            groups=recipe.groups,
            seed=recipe.seed,
            workers=self.args.workers,
            **options,
        )
        return samples

    def fresh_modules(self, data: Samples) -> dict[str, nn.Module]:
        """The modules to start from: given weights, the shipped ones, or a fresh start by the method's own rule."""
        import torch

        init, weights = self.recipe.init, self.spec.part("weights")
        torch.manual_seed(self.recipe.seed)
        if init:
            modules, config, _ = weights.load_modules(self.recipe.preset, None if init == "shipped" else init)
            extended = getattr(self.teacher, "extended", None)
            return modules if extended is None or config == self.config else extended(modules, self.config)
        modules = self.spec.part("model").build_modules(self.config)
        initialise = getattr(self.teacher, "initialise", None)
        if initialise is not None:
            with torch.no_grad():
                initialise(modules, self.config, data)
        return modules

    def trainer(
        self,
        modules: dict[str, nn.Module],
        stage: Stage,
        folder: Path,
        data: Samples,
        validation: Samples | None,
        number: int,
    ) -> Trainer:
        """The loop of one stage."""
        from vivant.training.loop import Trainer

        return Trainer(
            modules, self.config, stage, self.teacher.Objective, data, folder, self.device,
            self._options(number), validation,
        )  # fmt: skip

    def _options(self, number: int) -> LoopOptions:
        from vivant.training.loop import LoopOptions

        precision = self.recipe.precision
        if precision == "auto":
            half = self.device.type == "cuda" or os.environ.get("ACCELERATE_MIXED_PRECISION") == "bf16"
            precision = "bf16" if half else "fp32"
        return LoopOptions(
            seed=self.recipe.seed, precision=precision, capture=not self.args.no_capture,
            capture_many=self.args.capture_many, log_every=self.args.log_every, keep=self.args.keep,
            seconds=self._budget(number), tracker=self.args.tracker, best=self.args.best_by,
            channels_last=self.device.type == "cuda",
        )  # fmt: skip

    def _budget(self, number: int) -> float | None:
        """This stage's part of what is left of the time budget, by steps (by seconds if all stages name them), and
        what a resumed stage has used before."""
        from vivant.training.checkpoint import saved_seconds

        if self.args.max_seconds is None:
            return None
        rest = self.stages[number:]
        by_seconds = all(stage.seconds for stage in rest)
        before = saved_seconds(self.out / self.stages[number].name / "checkpoints") if self.args.resume else 0.0
        wishes = [float(stage.seconds or 0) if by_seconds else float(stage.steps) for stage in rest]
        left = self.args.max_seconds - (time.monotonic() - self.started)
        return before + max(1.0, left * wishes[0] / sum(wishes))

    @property
    def device_name(self) -> str:
        """What people call the device."""
        import torch

        return torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "CPU"

    def _note(self) -> None:
        """Write the resolved recipe beside the output."""
        import torch

        import vivant
        from vivant.training import parallel

        if parallel.rank():
            return
        self.out.mkdir(parents=True, exist_ok=True)
        extra = {"vivant": vivant.__version__, "torch": torch.__version__, "device": self.device_name}
        extra["processes"] = str(parallel.world())
        write_resolved(self.out / "recipe.yaml", self.recipe, self.stages, extra)


def _rehearse(run: Run, args: argparse.Namespace) -> int:
    """Print what the run would need."""
    from vivant.pipelines.dry_run import dry_run
    from vivant.training import parallel

    if args.dry_steps < 1:
        raise ConfigError("--dry-steps must be more than 0.")
    lines = dry_run(run, args.dry_steps)
    if parallel.rank() == 0:
        print("\n".join(lines))
    return 0


def as_launched(stages: list[Stage], environment: Mapping[str, str]) -> list[Stage]:
    """The stages with what ``accelerate launch --use_fsdp`` asks for: they share their weights, unless they say what
    they share."""
    if environment.get("ACCELERATE_USE_FSDP", "").lower() != "true":
        return stages
    return [stage if stage.shard else replace(stage, shard="weights") for stage in stages]


def _device(name: str) -> torch.device:
    """The device to train on, joined with other processes if started by ``torchrun``."""
    import torch

    from vivant.training import parallel

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"The device '{name}' is unknown: use cpu, cuda or auto.") from error
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise ConfigError("There is no CUDA device here: train with --device cpu.")
        torch.backends.cudnn.benchmark = True
    return parallel.start(device)


def train(recipe: str | Path, arguments: Sequence[str] = ()) -> int:
    """Train from Python: ``train("recipe.yaml", ["--out", "runs/x"])``; see ``vivant train --help``."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return run(parser.parse_args(["--recipe", str(recipe), *arguments]))
