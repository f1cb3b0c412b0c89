"""Noise schedules of discrete diffusion, and the times a sampler visits.

A schedule is its signal level: alpha_bar(t), the share of the clean picture's variance that is left at step t of T.
x_t = sqrt(alpha_bar) x_0 + sqrt(1 - alpha_bar) noise (Ho et al. 2020, arXiv:2006.11239, equation 4).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from vivant.core.errors import ConfigError

Prediction = Literal["epsilon", "v", "sample"]
"""What a net answers: the noise, the velocity (Salimans and Ho 2022, arXiv:2202.00512), or the clean picture."""
Spacing = Literal["trailing", "leading", "linspace", "lcm"]
PREDICTIONS: tuple[str, ...] = ("epsilon", "v", "sample")
SPACINGS: tuple[str, ...] = ("trailing", "leading", "linspace", "lcm")
CONSISTENCY_STEPS = 50
"""Steps of the teacher that latent consistency models are distilled from."""


@dataclass(frozen=True)
class Schedule:
    """Signal levels ``alpha_bar`` (T,) falling from about 1 to about 0, and ``betas`` (T,), the variance that each step
    adds; on whatever device they were moved to."""

    alpha_bar: Tensor
    betas: Tensor

    def __len__(self) -> int:
        return len(self.alpha_bar)

    def to(self, device: torch.device | str) -> Schedule:
        """The schedule on another device; training steps need it where the pictures are."""
        return Schedule(self.alpha_bar.to(device), self.betas.to(device))

    def zero_snr(self) -> Schedule:
        """The schedule whose last step is pure noise: sqrt(alpha_bar) shifted to end at 0 and scaled to keep its start.

        Lin et al. 2024 (arXiv:2305.08891), algorithm 1. Needs v- or sample prediction.
        """
        root = self.alpha_bar.double().sqrt()
        root = (root - root[-1]) * (root[0] / (root[0] - root[-1]))
        levels = root.square()
        betas = 1 - levels / torch.cat([torch.ones_like(levels[:1]), levels[:-1]])
        return Schedule(levels.to(self.alpha_bar.dtype), betas.to(self.betas.dtype))

    def rates(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """sqrt(alpha_bar) and sqrt(1 - alpha_bar) at steps ``t`` (B,), shaped to multiply ``like`` (B, ...)."""
        level = self.alpha_bar.index_select(0, t).view(-1, *[1] * (like.ndim - 1))
        kind = torch.promote_types(like.dtype, torch.float32)
        return level.sqrt().to(kind), (1 - level).sqrt().to(kind)

    def add_noise(self, clean: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """x_t of clean pictures (B, ...) and standard normal noise of the same shape at steps ``t`` (B,)."""
        signal, spread = self.rates(t, clean)
        return signal * clean + spread * noise

    def target(self, kind: Prediction, clean: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """What a net with prediction ``kind`` should answer, the shape of ``clean`` (B, ...).

        Raises:
            ConfigError: unknown kind.
        """
        if kind == "epsilon":
            return noise
        if kind == "sample":
            return clean
        if kind != "v":
            raise unknown_prediction(kind)
        signal, spread = self.rates(t, clean)
        return signal * noise - spread * clean

    def snr(self, t: Tensor) -> Tensor:
        """Signal-to-noise ratio alpha_bar / (1 - alpha_bar) at steps ``t``, same shape, float32."""
        level = self.alpha_bar.index_select(0, t.flatten()).view(t.shape)
        return (level / (1 - level)).float()


def unknown_prediction(kind: str) -> ConfigError:
    """The error for a prediction kind that does not exist."""
    return ConfigError(f"There is no prediction '{kind}': use one of {', '.join(PREDICTIONS)}.")


def from_betas(betas: Tensor, dtype: torch.dtype = torch.float64) -> Schedule:
    """The schedule of ``betas`` (T,), rounded to ``dtype`` before they are multiplied up.

    Published float32 chains are met to the last digit with ``torch.float32``.

    Raises:
        ConfigError: a beta is not in 0..1.
    """
    if betas.ndim != 1 or len(betas) < 1 or not bool(((betas >= 0) & (betas <= 1)).all()):
        raise ConfigError("A noise schedule needs betas between 0 and 1.")
    betas = betas.to(dtype)
    return Schedule((1 - betas).cumprod(0), betas)


def linear(steps: int = 1000, start: float = 1e-4, end: float = 2e-2, dtype: torch.dtype = torch.float64) -> Schedule:
    """Betas in a straight line (Ho et al. 2020)."""
    return from_betas(torch.linspace(start, end, steps, dtype=torch.float64), dtype)


def scaled_linear(
    steps: int = 1000, start: float = 0.00085, end: float = 0.012, dtype: torch.dtype = torch.float64
) -> Schedule:
    """Square roots of betas in a straight line, as Stable Diffusion has them."""
    return from_betas(torch.linspace(start**0.5, end**0.5, steps, dtype=torch.float64).square(), dtype)


def cosine(steps: int = 1000, dtype: torch.dtype = torch.float64, most: float = 0.999) -> Schedule:
    """alpha_bar = cos^2 with offset 0.008, betas at most ``most`` (Nichol and Dhariwal 2021, arXiv:2102.09672, eq. 17).

    Betas are computed in float64 whatever ``dtype`` is.
    """
    time = torch.arange(steps + 1, dtype=torch.float64) / steps
    level = torch.cos((time + 0.008) / 1.008 * math.pi / 2).square()
    return from_betas((1 - level[1:] / level[:-1]).clamp(max=most), dtype)


SCHEDULES = {"linear": linear, "scaled-linear": scaled_linear, "cosine": cosine}


@dataclass(frozen=True)
class Timetable:
    """The n times a sampler visits, from noise to picture.

    ``timesteps``: what the net is told. ``before``: alpha_bar there. ``after``: alpha_bar that the step arrives at, 1
    for the clean picture. ``schedule``: where they come from.
    """

    timesteps: tuple[int, ...]
    before: tuple[float, ...]
    after: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.timesteps)


def timetable(
    schedule: Schedule,
    count: int | None = None,
    spacing: Spacing = "trailing",
    *,
    timesteps: Sequence[int] | None = None,
    stride: bool = False,
    clean: bool = True,
) -> Timetable:
    """``count`` times of a schedule with T steps.

    Args:
        schedule: the schedule the net was trained with.
        count: how many, 1..T.
        spacing: "trailing" from T - 1 down in equal strides (visits the last step, needed with zero terminal SNR),
            "leading" multiples of T // count up from 0, "linspace" from T - 1 to 0 with both ends (also the respacing
            of improved DDPM), "lcm" a choice of the 50 steps that latent consistency models know.
        timesteps: the times themselves, falling, instead of count and spacing.
        stride: each step arrives at t - T // count instead of at the next time. They differ where count does not
            divide T; published pipelines did this, so it is for parity.
        clean: the last step arrives at the clean picture; else at alpha_bar(0).

    Raises:
        ConfigError: impossible count, spacing or times.
    """
    total = len(schedule)
    if timesteps is None:
        timesteps = _spaced(total, count if count is not None else total, spacing)
    times = [int(t) for t in timesteps]
    if not times or any(a <= b for a, b in pairwise(times)) or times[0] >= total or times[-1] < 0:
        raise ConfigError(f"The times of a sampler must fall from at most {total - 1} to at least 0.")
    levels = schedule.alpha_bar.double().cpu()
    last = 1.0 if clean else float(levels[0])
    following = [t - total // len(times) for t in times] if stride else [*times[1:], -1]
    after = [float(levels[t]) if t >= 0 else last for t in following]
    return Timetable(tuple(times), tuple(float(levels[t]) for t in times), tuple(after))


def _spaced(total: int, count: int, spacing: str) -> list[int]:
    if spacing not in SPACINGS:
        raise ConfigError(f"There is no spacing '{spacing}' of sampling steps: use one of {', '.join(SPACINGS)}.")
    limit = min(total, CONSISTENCY_STEPS) if spacing == "lcm" else total
    if not 1 <= count <= limit:
        raise ConfigError(f"{count} sampling steps do not fit: give 1 to {limit}.")
    if spacing == "trailing":
        found = np.round(np.arange(total, 0, -total / count))[:count] - 1
    elif spacing == "leading":
        found = (np.arange(count) * (total // count))[::-1]
    elif spacing == "linspace":
        found = np.round(np.linspace(0, total - 1, count))[::-1]
    else:
        origin = (np.arange(1, limit + 1) * (total // limit) - 1)[::-1]
        found = origin[np.floor(np.linspace(0, limit, count, endpoint=False)).astype(int)]
    return [int(t) for t in found]
