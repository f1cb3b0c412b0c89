"""Samplers: plain functions of one signature that take a noisy picture one step towards the clean one.

A step is ``step(table, index, x, guess, past, noise) -> x'``. Shapes are free: x (B, ...). All arithmetic of a step
runs in float32 on numbers that were computed in float64; levels of exactly 0 (zero terminal SNR) and 1 (the clean
picture) are limits that every step takes exactly. ``noise`` is None in the last step, which adds none.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from vivant.core.errors import ConfigError
from vivant.diffusion.schedule import Prediction, Timetable, unknown_prediction


class Guess(NamedTuple):
    """What the net believes: the clean picture ``x0``, the ``noise``, and, if it learned one, the log of the step's
    variance. All have the shape of x."""

    x0: Tensor
    noise: Tensor
    log_variance: Tensor | None = None


@dataclass(frozen=True)
class Moment:
    """Where in the sampling a net is asked: step ``index`` of ``count``, at ``timestep`` of the schedule."""

    index: int
    count: int
    timestep: int

    @property
    def progress(self) -> float:
        """0 at the first step, towards 1 at the last."""
        return self.index / self.count


Predict = Callable[[Tensor, Moment], Tensor]
"""The net with its conditions: x (B, ...) at a moment to its raw answer, in any floating type."""
Step = Callable[[Timetable, int, Tensor, Guess, "Guess | None", "Tensor | None"], Tensor]


def guess(kind: Prediction, answer: Tensor, x: Tensor, level: float, clip: float | None = None) -> Guess:
    """Clean picture and noise from a net's answer at signal level ``level`` = alpha_bar.

    ``clip``: clamp the clean picture to -clip..clip, and let the noise follow.

    Raises:
        ConfigError: unknown kind, or noise prediction at level 0, where the picture cannot be told from the noise.
    """
    signal, spread = math.sqrt(level), math.sqrt(1 - level)
    answer, x = answer.float(), x.float()
    if kind == "epsilon":
        if level <= 0:
            raise ConfigError("A net that predicts noise cannot start at zero signal: use a schedule without zero SNR.")
        x0, noise = (x - spread * answer) / signal, answer
    elif kind == "v":
        x0, noise = signal * x - spread * answer, signal * answer + spread * x
    elif kind == "sample":
        x0, noise = answer, (x - signal * answer) / max(spread, 1e-12)
    else:
        raise unknown_prediction(kind)
    if clip is not None:
        x0 = x0.clamp(-clip, clip)
        noise = (x - signal * x0) / max(spread, 1e-12)
    return Guess(x0, noise)


def ddim(table: Timetable, index: int, x: Tensor, now: Guess, past: Guess | None, noise: Tensor | None) -> Tensor:
    """Deterministic implicit step (Song et al. 2021, arXiv:2010.02502, equation 12 with sigma 0)."""
    after = table.after[index]
    return math.sqrt(after) * now.x0 + math.sqrt(1 - after) * now.noise


def euler(table: Timetable, index: int, x: Tensor, now: Guess, past: Guess | None, noise: Tensor | None) -> Tensor:
    """Euler's method on the flow of x / sqrt(alpha_bar) over sigma (Karras et al. 2022, arXiv:2206.00364).

    It arrives where :func:`ddim` does from the same times (both integrate the same line); from zero signal, where
    sigma is infinite, it is that limit.
    """
    before, after = table.before[index], table.after[index]
    if before <= 0 or after <= 0:
        return ddim(table, index, x, now, past, noise)
    sigma, onward = math.sqrt((1 - before) / before), math.sqrt((1 - after) / after)
    slope = (x.float() / math.sqrt(before) - now.x0) / sigma
    return math.sqrt(after) * (x.float() / math.sqrt(before) + (onward - sigma) * slope)


def euler_ancestral(
    table: Timetable, index: int, x: Tensor, now: Guess, past: Guess | None, noise: Tensor | None
) -> Tensor:
    """An Euler step that goes further down and adds fresh noise; DDIM with eta 1."""
    before, after = table.before[index], table.after[index]
    if noise is None:
        return ddim(table, index, x, now, past, noise)
    fresh = (1 - after) / (1 - before) * (1 - before / after) if after > 0 else 0.0
    kept = math.sqrt(max(0.0, 1 - after - fresh))
    return math.sqrt(after) * now.x0 + kept * now.noise + math.sqrt(max(0.0, fresh)) * noise


def dpm_solver(table: Timetable, index: int, x: Tensor, now: Guess, past: Guess | None, noise: Tensor | None) -> Tensor:
    """DPM-Solver++ (2M), midpoint (Lu et al. 2022, arXiv:2211.01095, algorithm 2).

    First order in the first step, from zero signal, and into the clean picture.
    """
    before, after = table.before[index], table.after[index]
    x0 = now.x0
    if past is not None and before > 0 and after < 1 and table.before[index - 1] > 0:
        width = _log_snr(after) - _log_snr(before)
        ratio = (_log_snr(before) - _log_snr(table.before[index - 1])) / width
        x0 = x0 + (now.x0 - past.x0) * (0.5 / ratio)
    shrink = math.sqrt((1 - after) / (1 - before))
    return shrink * x.float() + (math.sqrt(after) - shrink * math.sqrt(before)) * x0


def _log_snr(level: float) -> float:
    return 0.5 * (math.log(level) - math.log1p(-level))


def consistency_scales(time: Tensor) -> tuple[Tensor, Tensor]:
    """How much the noisy picture and the clean one count in a consistency model's answer at timesteps of any shape:
    (1, 0) at 0, where both are the same (Luo et al. 2023, with times scaled by 10 and a data deviation of 0.5)."""
    time, spread = 10.0 * time.double(), 0.5
    length = time.square() + spread**2
    return spread**2 / length, time / length.sqrt()


def lcm(table: Timetable, index: int, x: Tensor, now: Guess, past: Guess | None, noise: Tensor | None) -> Tensor:
    """A step of a latent consistency model: jump to the clean picture, noise it again (Luo et al. 2023,
    arXiv:2310.04378)."""
    skip, out = (float(scale) for scale in consistency_scales(torch.tensor(table.timesteps[index])))
    clean = out * now.x0 + skip * x.float()
    if noise is None:
        return clean
    after = table.after[index]
    return math.sqrt(after) * clean + math.sqrt(1 - after) * noise


def ddpm(table: Timetable, index: int, x: Tensor, now: Guess, past: Guess | None, noise: Tensor | None) -> Tensor:
    """Ancestral step (Ho et al. 2020): the posterior's mean, and noise of its variance, or of the one that the net
    learned. No noise in the last step."""
    before, after = table.before[index], table.after[index]
    beta = 1 - before / after
    mean = (math.sqrt(after) * beta * now.x0 + math.sqrt(1 - beta) * (1 - after) * x.float()) / (1 - before)
    if noise is None:
        return mean
    log_variance = now.log_variance
    if log_variance is None:
        return mean + math.sqrt(beta * (1 - after) / (1 - before)) * noise
    return mean + (0.5 * log_variance).exp() * noise


def learned_log_variance(table: Timetable, index: int, fraction: Tensor) -> Tensor:
    """Log variance between the posterior's (fraction 0) and beta (fraction 1), log-linear, in float32.

    Nichol and Dhariwal 2021, equation 15. The posterior's variance is 0 in the last step; there it is that of the
    step before.
    """
    before, after = table.before[index], table.after[index]
    largest = math.log(1 - before / after)
    low = index if after < 1 else max(0, index - 1)
    b, a = table.before[low], table.after[low]
    least = math.log(max(1e-20, (1 - b / a) * (1 - a) / (1 - b)))
    return fraction.float() * largest + (1 - fraction.float()) * least


@dataclass(frozen=True)
class Sampler:
    """A step function and what it needs: fresh noise in every step, the guess of the step before."""

    step: Step
    noisy: bool = False
    remembers: bool = False


SAMPLERS: dict[str, Sampler] = {
    "ddim": Sampler(ddim),
    "euler": Sampler(euler),
    "euler-ancestral": Sampler(euler_ancestral, noisy=True),
    "dpm-solver": Sampler(dpm_solver, remembers=True),
    "lcm": Sampler(lcm, noisy=True),
    "ddpm": Sampler(ddpm, noisy=True),
}


def get_sampler(name: str) -> Sampler:
    """The sampler called ``name``.

    Raises:
        ConfigError: there is none; the message names the known ones.
    """
    if name not in SAMPLERS:
        raise ConfigError(f"There is no sampler '{name}': use one of {', '.join(SAMPLERS)}.")
    return SAMPLERS[name]


@dataclass(frozen=True)
class Sampling:
    """How pictures are drawn: the times, the sampler by name, what the net predicts, and where x0 is clamped."""

    table: Timetable
    sampler: str = "ddim"
    kind: Prediction = "epsilon"
    clip: float | None = None

    def moment(self, index: int) -> Moment:
        """The moment of step ``index``."""
        return Moment(index, len(self.table), self.table.timesteps[index])

    def step(
        self, index: int, x: Tensor, answer: Tensor, past: Guess | None = None, noise: Tensor | None = None
    ) -> tuple[Tensor, Guess]:
        """One step from the net's answer; x and answer (B, ...), or (B, 2C, ...) with a learned variance.

        Returns:
            x of the next time in the type of ``x``, and the guess, which ``past`` of the next step is.
        """
        sampler = get_sampler(self.sampler)
        variance = None
        if answer.shape[1] == 2 * x.shape[1]:
            answer, variance = answer.chunk(2, dim=1)
        now = guess(self.kind, answer, x, self.table.before[index], self.clip)
        if variance is not None and sampler.step is ddpm:
            now = now._replace(log_variance=learned_log_variance(self.table, index, (variance.float() + 1) / 2))
        return sampler.step(self.table, index, x, now, past, noise).to(x.dtype), now


def sample(
    predict: Predict,
    x: Tensor,
    sampling: Sampling,
    generator: Generator | None = None,
    watch: Callable[[Moment], None] | None = None,
) -> Tensor:
    """The clean pictures (B, ...) that start from noise ``x`` (B, ...).

    Args:
        predict: the net with its conditions.
        x: standard normal noise.
        sampling: times, sampler, prediction.
        generator: of the fresh noise that some samplers add; on the CPU the same numbers come on every device.
        watch: called after every step, for progress.
    """
    sampler = get_sampler(sampling.sampler)
    past: Guess | None = None
    for index in range(len(sampling.table)):
        moment = sampling.moment(index)
        noise = draw_noise(x, generator) if sampler.noisy and index < len(sampling.table) - 1 else None
        x, now = sampling.step(index, x, predict(x, moment), past, noise)
        past = now if sampler.remembers else None
        if watch is not None:
            watch(moment)
    return x


def draw_noise(like: Tensor, generator: Generator | None = None) -> Tensor:
    """Standard normal noise of the shape and device of ``like``, float32, drawn where the generator lives."""
    where = generator.device if generator is not None else like.device
    return torch.randn(like.shape, generator=generator, device=where).to(like.device)
