"""Loss weights and the variational bound."""

import json
import math
from pathlib import Path

import pytest
import torch

from vivant.core.errors import ConfigError
from vivant.diffusion.losses import (
    min_snr_weight,
    normal_divergence,
    offset_noise,
    pixel_log_likelihood,
    posterior,
    uniform_times,
    variational_bound,
)
from vivant.diffusion.schedule import cosine, scaled_linear


def draw(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_min_snr_weights_are_the_published_ones():
    golden = json.loads((Path(__file__).parent / "data" / "min_snr.golden.json").read_text())
    schedule = scaled_linear().zero_snr()
    found = min_snr_weight(schedule, torch.tensor([int(t) for t in golden]), "v")
    assert found.tolist() == pytest.approx(list(golden.values()), rel=1e-4)
    t = torch.tensor([0, 500, 900])
    snr = scaled_linear().snr(t)
    assert torch.allclose(min_snr_weight(scaled_linear(), t, "epsilon"), snr.clamp(max=5) / snr)
    assert torch.allclose(min_snr_weight(scaled_linear(), t, "sample"), snr.clamp(max=5))
    with pytest.raises(ConfigError):
        min_snr_weight(schedule, t, "flow")


def test_offset_noise_moves_whole_channels():
    noise = offset_noise((64, 4, 8, 8), 0.0, torch.Generator().manual_seed(0), torch.device("cpu"))
    moved = offset_noise((64, 4, 8, 8), 0.5, torch.Generator().manual_seed(0), torch.device("cpu"))
    change = moved - noise
    assert torch.allclose(change, change.mean((2, 3), keepdim=True).expand_as(change), atol=1e-5)
    assert 0.4 < float(change[..., 0, 0].std()) < 0.6


def test_the_posterior_equals_the_chain_seen_backwards():
    """q(x_{t-1} | x_t, x_0) by Bayes' rule from two Gaussians."""
    schedule, t = cosine(), torch.tensor([1, 7, 500])
    clean, noisy = draw(0, 3, 2, 3, 3), draw(1, 3, 2, 3, 3)
    mean, log_variance, log_beta = posterior(schedule, clean, noisy, t)
    for row, step in enumerate(t.tolist()):
        beta, before = float(schedule.betas[step]), float(schedule.alpha_bar[step - 1])
        precision = (1 - beta) / beta + 1 / (1 - before)
        want = (math.sqrt(1 - beta) / beta * noisy[row] + math.sqrt(before) / (1 - before) * clean[row]) / precision
        assert torch.allclose(mean[row], want, atol=1e-4)
        assert float(log_variance[row]) == pytest.approx(-math.log(precision), abs=1e-4)
        assert float(log_beta[row]) == pytest.approx(math.log(beta), abs=1e-4)
    first = posterior(schedule, clean[:1], noisy[:1], torch.tensor([0]))
    assert torch.isfinite(torch.cat([part.flatten() for part in first])).all()


def test_the_bound_is_zero_for_the_true_posterior_and_only_variance_learns():
    schedule, t = cosine(), torch.tensor([300, 800])
    clean, noise = draw(0, 2, 3, 4, 4).clamp(-1, 1), draw(1, 2, 3, 4, 4)
    noisy = schedule.add_noise(clean, noise, t)
    answer = noise.clone().requires_grad_()
    fraction = torch.zeros_like(noise, requires_grad=True)
    bound = variational_bound(schedule, clean, noisy, t, answer, fraction)
    assert torch.allclose(bound, torch.zeros(2), atol=1e-5)
    worse = variational_bound(schedule, clean, noisy, t, answer, fraction + 0.7)
    assert (worse > bound).all()
    worse.sum().backward()
    assert answer.grad is None and float(fraction.grad.abs().sum()) > 0


def test_divergence_and_likelihood_are_those_of_torch():
    a, b = torch.distributions.Normal(0.3, 0.5), torch.distributions.Normal(-0.2, 0.9)
    found = normal_divergence(a.mean, a.variance.log(), b.mean, b.variance.log())
    assert float(found) == pytest.approx(float(torch.distributions.kl_divergence(a, b)), rel=1e-5)
    levels = torch.arange(256) / 127.5 - 1
    total = pixel_log_likelihood(levels, torch.tensor(0.1), torch.tensor(-1.5)).exp().sum()
    assert float(total) == pytest.approx(1, abs=1e-4)


def test_times_cover_the_schedule():
    t = uniform_times(cosine(10), 500, torch.Generator().manual_seed(0), torch.device("cpu"))
    assert set(t.tolist()) == set(range(10))
