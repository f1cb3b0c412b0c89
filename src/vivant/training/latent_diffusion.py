"""What trainings of reference-net diffusion share: noise, targets, weights and dropouts, drawn free of the host.

Axis letters: B batch, F frames, C latent channels, h w latent grid.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from vivant.core.errors import ConfigError
from vivant.diffusion.losses import min_snr_weight, offset_noise, uniform_times, weighted_mean
from vivant.diffusion.schedule import Prediction, Schedule

Batch = dict[str, Tensor]
_SET_BY = {"latents": "codec and size", "speech": "encoder and numbers", "reference_look": "image and blocks"}
"""What of a recipe's samples decides the shape of an array."""


def check_window(raw: Batch, frames: int, **wanted: tuple[int | None, ...]) -> None:
    """Refuse windows that the nets cannot learn from.

    Args:
        raw: arrays by name, ``latents`` (B, frames or more, C, h, w) among them.
        frames: what the stage takes of a window.
        wanted: name of an array -> its last axes as the nets take them, None for any length.

    Raises:
        ConfigError: the windows are shorter, or an array has another shape.
    """
    found = raw["latents"].shape[1]
    if found < frames:
        raise ConfigError(
            f"The stage takes {frames} frames of a window, and those of the samples have {found}: raise length of the "
            "recipe's samples, or lower the stage's frames."
        )
    for name, shape in wanted.items():
        given = raw[name].shape[-len(shape) :]
        if any(b is not None and a != b for a, b in zip(given, shape)):
            told = [" x ".join("any" if n is None else str(n) for n in each) for each in (given, shape)]
            raise ConfigError(
                f"The samples' {name} are {told[0]} numbers where these nets take {told[1]}: mend {_SET_BY[name]} of "
                "the recipe's samples."
            )


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
