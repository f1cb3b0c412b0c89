"""One of several training processes; started by test_parallel.py with the environment torchrun sets."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from toy import ToyObjective, ToySamples, toy_modules, toy_stage

from vivant.training import parallel
from vivant.training.loop import LoopOptions, Trainer

if __name__ == "__main__":
    torch.set_num_threads(1)
    device = parallel.start(torch.device("cpu"))
    stage = toy_stage(critics_from=0.5, accumulate=2, shard=len(sys.argv) > 2)
    modules = toy_modules()
    with torch.no_grad():  # processes that start differently must still agree
        for parameter in modules["net"].parameters():
            parameter.add_(0.1 * parallel.rank())
    out = Path(sys.argv[1])
    trainer = Trainer(modules, None, stage, ToyObjective, ToySamples(), out, device, LoopOptions(log_every=5))
    trainer.run()
    torch.save(modules["net"].state_dict(), out / f"rank{parallel.rank()}.pt")
    parallel.stop()
