"""Losses of diffusion training, each free of host synchronisation and computed in float32.

Axis letters: B batch, C channels; the rest of a shape is free.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from vivant.core.errors import ConfigError
from vivant.diffusion.schedule import Prediction, Schedule


def uniform_times(schedule: Schedule, count: int, generator: Generator | None, device: torch.device) -> Tensor:
    """Training times (count,) int64, each step of the schedule equally likely."""
    return torch.randint(len(schedule), (count,), generator=generator, device=device)


def offset_noise(
    shape: torch.Size | tuple[int, ...], offset: float, generator: Generator | None, device: torch.device
) -> Tensor:
    """Standard normal noise (B, C, ...), plus ``offset`` times one normal number a sample and channel, which teaches
    a net to change the mean brightness (Guttenberg 2023)."""
    noise = torch.randn(shape, generator=generator, device=device)
    if offset:
        flat = (*shape[:2], *[1] * (len(shape) - 2))
        noise = noise + offset * torch.randn(flat, generator=generator, device=device)
    return noise


def min_snr_weight(schedule: Schedule, t: Tensor, kind: Prediction, gamma: float = 5.0) -> Tensor:
    """Weights of the squared error at times ``t``, same shape (Hang et al. 2023, arXiv:2303.09556, section 3.4).

    For v-prediction min(SNR + 1, gamma) / (SNR + 1), as published trainings compute it; for noise min(SNR, gamma) /
    SNR; for the picture itself min(SNR, gamma).

    Raises:
        ConfigError: noise prediction with zero terminal SNR, whose weight is infinite.
    """
    snr = schedule.snr(t)
    if kind == "v":
        return (snr + 1).clamp(max=gamma) / (snr + 1)
    if kind == "epsilon":
        return snr.clamp(max=gamma) / snr.clamp_min(1e-12)
    if kind == "sample":
        return snr.clamp(max=gamma)
    raise ConfigError(f"There is no prediction '{kind}': use epsilon, v or sample.")


def weighted_mean(values: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean of each sample (B,) of ``values`` (B, ...), each place counted ``weight`` times (which may have axes of
    length 1), over the sum of the weights."""
    axes = tuple(range(1, values.ndim))
    if weight is None:
        return values.mean(axes)
    weight = weight.expand_as(values)
    return (values * weight).sum(axes) / weight.sum(axes).clamp_min(1e-6)


def posterior(schedule: Schedule, clean: Tensor, noisy: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean (B, C, ...) of q(x_{t-1} | x_t, x_0), its log variance and log beta, both (B, 1, ...), at times ``t`` (B,).

    Ho et al. 2020, equation 7. The log variance of t = 0, which is that of 0, is that of t = 1.
    """
    levels, betas = schedule.alpha_bar, schedule.betas
    shape = (-1, *[1] * (clean.ndim - 1))
    earlier = torch.cat([torch.ones_like(levels[:1]), levels[:-1]])
    variances = betas * (1 - earlier) / (1 - levels)
    variances = torch.cat([variances[1:2], variances[1:]])
    level, before, beta = (each.index_select(0, t).view(shape) for each in (levels, earlier, betas))
    mean = (before.sqrt() * beta / (1 - level)).float() * clean.float()
    mean = mean + ((1 - beta).sqrt() * (1 - before) / (1 - level)).float() * noisy.float()
    return mean, variances.index_select(0, t).view(shape).log().float(), beta.log().float()


def variational_bound(
    schedule: Schedule, clean: Tensor, noisy: Tensor, t: Tensor, noise_guess: Tensor, fraction: Tensor,
    clip: float | None = 1.0, weight: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """The variational bound's term of each sample (B,), in bits a dimension; the net predicts noise and variance.

    At t > 0 the divergence of the posterior from the net's Gaussian, at t = 0 the negative log-likelihood of 8-bit
    pixels in -1..1. Only ``fraction`` learns from it: the noise is detached (Nichol and Dhariwal 2021, section 3.1).

    Args:
        schedule: of the chain.
        clean: x_0 (B, C, ...) in -1..1.
        noisy: x_t.
        t: times (B,).
        noise_guess: the net's noise (B, C, ...).
        fraction: where the log variance lies between the posterior's (0) and beta's (1), (B, C, ...).
        clip: bound of the x_0 that the noise implies.
        weight: how much each place counts (:func:`weighted_mean`); None for all alike.
    """
    mean, log_variance, log_beta = posterior(schedule, clean, noisy, t)
    inverse = 1 / schedule.alpha_bar.index_select(0, t).view(-1, *[1] * (clean.ndim - 1))
    x0 = inverse.sqrt().float() * noisy.float() - (inverse - 1).sqrt().float() * noise_guess.detach().float()
    x0 = x0.clamp(-clip, clip) if clip is not None else x0
    ours = posterior(schedule, x0, noisy, t)[0]
    log_ours = fraction.float() * log_beta + (1 - fraction.float()) * log_variance
    divergence = weighted_mean(normal_divergence(mean, log_variance, ours, log_ours), weight)
    likelihood = -weighted_mean(pixel_log_likelihood(clean.float(), ours, 0.5 * log_ours), weight)
    return torch.where(t == 0, likelihood, divergence) / math.log(2)


def normal_divergence(mean: Tensor, log_variance: Tensor, other: Tensor, other_log_variance: Tensor) -> Tensor:
    """KL(N(mean, variance) || N(other, other variance)) of each number, in nats."""
    ratio = log_variance - other_log_variance
    return 0.5 * (-1 - ratio + ratio.exp() + (mean - other).square() * (-other_log_variance).exp())


def pixel_log_likelihood(x: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """Log probability, in nats, of 8-bit pixels ``x`` (in -1..1, bins 2/255 wide) under a normal distribution.

    The distribution function is approximated by a tanh, as improved DDPM does (error below 4e-4).
    """
    centred, inverse = x - mean, (-log_scale).exp()
    above, below = _normal_cdf(inverse * (centred + 1 / 255)), _normal_cdf(inverse * (centred - 1 / 255))
    inside = (above - below).clamp_min(1e-12).log()
    lowest, highest = above.clamp_min(1e-12).log(), (1 - below).clamp_min(1e-12).log()
    return torch.where(x < -0.999, lowest, torch.where(x > 0.999, highest, inside))


def _normal_cdf(x: Tensor) -> Tensor:
    return 0.5 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x.pow(3))))
