"""How far a stage has come, how fast it learns, and the seeds of a step."""

from __future__ import annotations

import math
import zlib

import numpy as np


def progress(step: int, steps: int, elapsed: float, seconds: float | None) -> float:
    """Fraction of a stage that is done, by steps or by time, whichever is further."""
    by_time = elapsed / seconds if seconds else 0.0
    return min(1.0, max(step / steps, by_time))


def rate_factor(step: int, done: float, warmup: int, final: float) -> float:
    """Factor on the learning rate: linear rise over ``warmup`` steps, cosine from 1 to ``final`` by ``done``.

    Cosine annealing without restarts: Loshchilov and Hutter 2017, equation 5.
    """
    rise = min(1.0, (step + 1) / warmup) if warmup > 0 else 1.0
    return rise * (final + (1 - final) * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))


def average_rate(step: int, decay: float) -> float:
    """Weight of the newest parameters in their running average; larger in the first steps, so that the
    average soon forgets the start."""
    return 1 - min(decay, (1 + step) / (10 + step))


def step_seed(seed: int, name: str, step: int, rank: int = 0) -> int:
    """A well-mixed 63-bit seed for one step of one stage on one process."""
    words = np.random.SeedSequence([seed, zlib.crc32(name.encode()), step, rank])
    return int(words.generate_state(1, np.uint64)[0] >> np.uint64(1))
