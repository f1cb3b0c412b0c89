"""One of several training processes; started by test_parallel.py with the environment torchrun sets."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from toy import ToyObjective, ToySamples, toy_modules, toy_stage

from vivant.training import parallel
from vivant.training.features import PerceptualDistance
from vivant.training.loop import LoopOptions, Trainer
from vivant.training.options import DivergedError
from vivant.training.randomness import batch_mean, rolled, whole_batch
from vivant.training.sharding import is_split, local
from vivant.training.stage import Stage


def resume_from_the_middle(out: Path, device: torch.device, stage: Stage, wanted: nn.Module) -> None:
    """Split weights and moments come back from a checkpoint, and the run ends as before."""
    dist.barrier()
    if parallel.rank() == 0:
        (out / "checkpoints" / "latest").write_text("step_00000010")
    dist.barrier()
    again = Trainer(toy_modules(), None, stage, ToyObjective, ToySamples(), out, device, LoopOptions(log_every=5),
                    ToySamples(9))  # fmt: skip
    found = again.run(resume=True).modules["net"].state_dict()
    assert again.done_steps == 20
    assert all(torch.equal(value, found[name]) for name, value in wanted.state_dict().items())


def ask_for_the_whole_batch(out: Path, device: torch.device) -> None:
    """What a loss is divided by, and the neighbour in the batch; see test_parallel.py for what must come out."""
    part, images = slice(2 * parallel.rank(), 2 * parallel.rank() + 2), torch.load(out / "images.pt")
    with whole_batch(2):
        loss = PerceptualDistance(device)(images["ours"][part], images["theirs"][part])
        rows = rolled(images["ours"][part])
    if parallel.rank() == 0:  # a sheet, which this process alone draws
        assert torch.equal(rolled(rows), rows.roll(1, 0)) and batch_mean(loss) is loss
    torch.save({"loss": loss, "rows": rows}, out / f"rank{parallel.rank()}.pt")
    parallel.stop()


def lose_a_step(out: Path, device: torch.device) -> None:
    """The loss of the second process alone is no number; writes how many weights got a gradient, and `lost`."""

    class Broken(ToyObjective):  # type: ignore[misc]
        def losses(self, *given: Any) -> Any:
            terms, aux = super().losses(*given)
            factor = float("nan") if parallel.rank() else 1.0
            return {name: value * factor for name, value in terms.items()}, aux

    trainer = Trainer(toy_modules(), None, toy_stage(), Broken, ToySamples(), out, device, LoopOptions(log_every=5))
    with contextlib.suppress(DivergedError):
        trainer.one_unlogged(0.0)
    learned = sum(bool(p.grad is not None and p.grad.any()) for p in trainer.modules["net"].parameters())
    (out / f"rank{parallel.rank()}.txt").write_text(f"{learned} {trainer.step.lost}")
    parallel.stop()


if __name__ == "__main__":
    torch.set_num_threads(1)
    device = parallel.start(torch.device("cpu"))
    if sys.argv[2] == "whole":
        ask_for_the_whole_batch(Path(sys.argv[1]), device)
        sys.exit()
    if sys.argv[2] == "lost":
        lose_a_step(Path(sys.argv[1]), device)
        sys.exit()
    stage = toy_stage(
        critics_from=0.5,
        accumulate=2,
        sample_every=10,
        validate_every=10,
        checkpoint_every=10,
        shard=sys.argv[2].replace("poison", ""),
        shard_blocks=["net.0"] if sys.argv[2] == "weights" else [],
    )
    modules = toy_modules()
    with torch.no_grad():  # processes that start differently must still agree
        for parameter in modules["net"].parameters():
            parameter.add_(0.1 * parallel.rank())
    out = Path(sys.argv[1])
    samples = ToySamples(poison=3 if sys.argv[2] == "poison" else None)
    trainer = Trainer(modules, None, stage, ToyObjective, samples, out, device, LoopOptions(log_every=5),
                      ToySamples(9))  # fmt: skip
    outcome = trainer.run()
    if sys.argv[2] == "weights":
        first = trainer.modules["net"].get_submodule("0").get_parameter("weight")
        assert is_split(first) and local(first).numel() == first.numel() // 2
        resume_from_the_middle(out, device, stage, outcome.modules["net"])
    torch.save(outcome.modules["net"].state_dict(), out / f"rank{parallel.rank()}.pt")
    parallel.stop()
