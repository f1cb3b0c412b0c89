"""A training run that takes its time, to be killed by test_kept_runs.py at any moment."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch
from toy import ToyObjective, ToySamples, toy_modules, toy_stage

from vivant.training.loop import LoopOptions, Trainer

if __name__ == "__main__":
    torch.set_num_threads(1)
    out, pause = Path(sys.argv[1]), float(sys.argv[2])
    stage = toy_stage(steps=30, critics_from=0.3, accumulate=2, checkpoint_every=3, validate_every=5)
    options = LoopOptions(log_every=1, keep=2, tracker="none")
    trainer = Trainer(toy_modules(), None, stage, ToyObjective, ToySamples(), out, "cpu", options, ToySamples(9))
    step = trainer._one

    def slow(done: float) -> None:
        step(done)
        time.sleep(pause)

    trainer._one = slow  # type: ignore[method-assign]
    trainer.run(resume=True)
