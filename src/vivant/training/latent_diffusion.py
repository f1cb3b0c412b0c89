"""What trainings of reference-net diffusion share: noise, targets, weights and dropouts, drawn free of the host.

Axis letters: B batch, F frames, C latent channels, h w latent grid.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from vivant.diffusion.losses import min_snr_weight, offset_noise, uniform_times, weighted_mean
from vivant.diffusion.schedule import Prediction, Schedule

Batch = dict[str, Tensor]


def noised(clean: Tensor, schedule: Schedule, kind: Prediction, offset: float, generator: Generator | None) -> Batch:
    """Keys ``noisy`` and ``target`` (B, F, C, h, w), ``time`` (B,), from clean latents of the same shape.

    One time a video. ``offset``: strength of the noise that a channel shares over frames and pixels.
    """
    device, count = clean.device, len(clean)
    shape = (count, clean.shape[2], clean.shape[1], *clean.shape[3:])  # channels first, for the shared offset
    noise = offset_noise(shape, offset, generator, device).transpose(1, 2)
    time = uniform_times(schedule, count, generator, device)
    return {
        "noisy": schedule.add_noise(clean, noise, time).float(),
        "target": schedule.target(kind, clean, noise, time).float(),
        "time": time,
    }


def kept(count: int, frames: int, chance: float, generator: Generator | None, device: torch.device) -> Tensor:
    """(B, F) 1 for frames that keep a condition, 0 for those that lose it with probability ``chance``."""
    return (torch.rand(count, frames, generator=generator, device=device) >= chance).float()


def weighted_error(
    answer: Tensor, batch: Batch, schedule: Schedule, kind: Prediction, mask: Tensor | None, weight: float,
    gamma: float = 5.0,
) -> Tensor:  # fmt: skip
    """Mean squared error of ``answer`` (B, F, C, h, w) with min-SNR weights.

    ``mask``: (B, F, 1, h, w) in 0..1, where the error counts ``weight`` times; not renormalised (V-Express,
    section 3.4).
    """
    error = (answer.float() - batch["target"]).square()
    if mask is not None and weight != 1:
        error = error * (1 + (weight - 1) * mask)
    return _snr_weighted(error.mean((1, 2, 3, 4)), batch, schedule, kind, gamma)


def masked_error(
    answer: Tensor, batch: Batch, schedule: Schedule, kind: Prediction, weight: Tensor, gamma: float = 5.0
) -> Tensor:
    """Squared error of ``answer`` (B, F, C, h, w), averaged by ``weight`` (B, F, 1, h, w), 0 or more, with min-SNR
    weights: sum of weight times error over the sum of the weights, for each sample on its own."""
    error = (answer.float() - batch["target"]).square()
    return _snr_weighted(weighted_mean(error, weight), batch, schedule, kind, gamma)


def _snr_weighted(each: Tensor, batch: Batch, schedule: Schedule, kind: Prediction, gamma: float) -> Tensor:
    if gamma > 0:
        each = each * min_snr_weight(schedule, batch["time"], kind, gamma)
    return each.mean()
