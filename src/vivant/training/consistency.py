"""Latent consistency distillation: a net learns to say at once where its teacher arrives in many guided steps.

Luo et al. 2023, arXiv:2310.04378, algorithm 1, with one scale of guidance for all samples and without a second, slowly
following student: the answer at the earlier time is the student's own, held fixed. With low-rank additions in place of
all weights it is LCM-LoRA (arXiv:2311.05556). What is learned is sampled with ``sampler="lcm"``, without guidance.

Axis letters: B batch, F frames, C latent channels, h w latent grid.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Generator, Tensor, nn

from vivant.core.errors import ConfigError
from vivant.diffusion.losses import offset_noise
from vivant.diffusion.samplers import consistency_scales
from vivant.diffusion.schedule import CONSISTENCY_STEPS, Prediction, Schedule

Batch = dict[str, Tensor]
Net = Callable[[Tensor, Tensor], Tensor]
"""Noisy latents (B, F, C, h, w) at times (B,) to an answer of the same shape."""
Both = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""The same, to the unconditional and the conditional answer."""
_HUBER = 1e-3  # below this an error counts squared


def teacher_of(net: nn.Module, kind: Prediction) -> nn.Module:
    """A frozen copy of ``net`` as it is now.

    Raises:
        ConfigError: it predicts noise, from which nothing can be told at zero signal, where sampling begins.
    """
    if kind == "epsilon":
        raise ConfigError("A net that predicts noise cannot be distilled under zero terminal SNR: use v or sample.")
    return copy.deepcopy(net).eval().requires_grad_(False)


def paired_times(clean: Tensor, schedule: Schedule, offset: float, generator: Generator | None) -> Batch:
    """Keys ``noisy`` (B, F, C, h, w), ``time`` and ``earlier`` (B,): neighbours of the ladder of times that is learned,
    drawn alike; from clean latents (B, F, C, h, w). ``offset``: as in training from data."""
    count, device = len(clean), clean.device
    stride = len(schedule) // CONSISTENCY_STEPS
    rung = torch.randint(1, CONSISTENCY_STEPS + 1, (count,), generator=generator, device=device)
    time = rung * stride - 1
    shape = (count, clean.shape[2], clean.shape[1], *clean.shape[3:])
    noise = offset_noise(shape, offset, generator, device).transpose(1, 2)
    noisy = schedule.add_noise(clean, noise, time).float()
    return {"noisy": noisy, "time": time, "earlier": (time - stride).clamp_min(0)}


def consistency_error(
    student: Net, teacher: Both, batch: Batch, schedule: Schedule, kind: Prediction, guidance: float,
    mask: Tensor | None = None, weight: float = 1.0,
) -> Tensor:  # fmt: skip
    """How far the student's picture at ``time`` is from its own at ``earlier``, where the teacher's guided step leads.

    Args:
        student: the net that learns.
        teacher: the net that it was.
        batch: of :func:`paired_times`.
        schedule: signal levels.
        kind: what both predict.
        guidance: scale of the teacher's guidance.
        mask: (B, F, 1, h, w) in 0..1, where the error counts ``weight`` times.
        weight: see ``mask``.

    Returns:
        The mean pseudo-Huber error, a scalar in float32.
    """
    noisy, time, earlier = batch["noisy"], batch["time"], batch["earlier"]
    found = _picture(student(noisy, time), noisy, time, schedule, kind)
    with torch.no_grad():
        free, asked = (answer.float() for answer in teacher(noisy, time))
        x0, noise = _believed(free + guidance * (asked - free), noisy, time, schedule, kind)
        signal, spread = schedule.rates(earlier, noisy)
        before = (signal * x0 + spread * noise).float()
        wanted = _picture(student(before, earlier), before, earlier, schedule, kind)
    error = ((found - wanted).square() + _HUBER**2).sqrt() - _HUBER
    if mask is not None and weight != 1:
        error = error * (1 + (weight - 1) * mask)
    return error.mean()


def _picture(answer: Tensor, x: Tensor, time: Tensor, schedule: Schedule, kind: Prediction) -> Tensor:
    """The consistency function: the clean picture that an answer implies, and x itself at time 0."""
    skip, out = (s.float().view(-1, 1, 1, 1, 1) for s in consistency_scales(time))
    return out * _believed(answer, x, time, schedule, kind)[0] + skip * x


def _believed(answer: Tensor, x: Tensor, time: Tensor, schedule: Schedule, kind: Prediction) -> tuple[Tensor, Tensor]:
    """Clean picture and noise of an answer, float32."""
    signal, spread = (rate.float() for rate in schedule.rates(time, x))
    answer = answer.float()
    if kind == "v":
        return signal * x - spread * answer, signal * answer + spread * x
    return answer, (x - signal * answer) / spread.clamp_min(1e-6)
