"""Schedules and timetables against published numbers and diffusers."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from vivant.core.errors import ConfigError
from vivant.diffusion.samplers import learned_log_variance
from vivant.diffusion.schedule import Schedule, cosine, from_betas, linear, scaled_linear, timetable

GOLDEN = json.loads((Path(__file__).parent / "data" / "schedules.golden.json").read_text())
LATENT = {"scaled-linear": scaled_linear().zero_snr(), "linear": linear(1000, 0.00085, 0.012).zero_snr()}


@pytest.mark.parametrize("name", LATENT)
def test_zero_terminal_snr_has_the_published_levels(name):
    schedule, golden = LATENT[name], GOLDEN["latent"][name]
    for step, level in golden["alphas_cumprod"].items():
        assert float(schedule.alpha_bar[int(step)]) == pytest.approx(level, abs=5e-7)
    assert float(schedule.alpha_bar[-1]) == 0 and float(schedule.betas[-1]) == 1


@pytest.mark.parametrize("count", [20, 25, 30])
def test_trailing_times_round_half_to_even(count):
    assert list(timetable(LATENT["linear"], count).timesteps) == GOLDEN["latent"]["linear"][f"timesteps_{count}"]


@pytest.mark.parametrize("count", [50, 100, 200])
def test_respaced_cosine_chain_has_the_published_coefficients(count):
    golden = GOLDEN["cosine"][str(count)]
    table = timetable(cosine(dtype=torch.float32), count, "linspace")
    rising = table.timesteps[::-1]
    assert list(rising[:12]) == golden["timesteps_first12"] and list(rising[-6:]) == golden["timesteps_last6"]
    assert sum(rising) == golden["sum"]
    for number, beta, low in zip(golden["index"], golden["beta"], golden["logbt"]):
        at = count - 1 - number
        assert 1 - table.before[at] / table.after[at] == pytest.approx(beta, rel=1e-4)
        assert float(learned_log_variance(table, at, torch.zeros(1))) == pytest.approx(low, abs=1e-4)
        assert float(learned_log_variance(table, at, torch.ones(1))) == pytest.approx(np.log(beta), abs=1e-4)


def test_the_full_cosine_chain_has_the_published_levels():
    golden, schedule = GOLDEN["cosine"]["full"], cosine(dtype=torch.float32)
    assert schedule.betas[golden["index"]].tolist() == pytest.approx(golden["beta"], rel=1e-6)
    assert schedule.alpha_bar[golden["index"]].tolist() == pytest.approx(golden["abar"], rel=1e-6)


def test_stride_arrives_where_published_pipelines_do():
    table, plain = (timetable(LATENT["linear"], 30, stride=s) for s in (True, False))
    levels = LATENT["linear"].alpha_bar
    assert table.timesteps[1:3] == (966, 932)
    assert table.after[1] == float(levels[933]) and plain.after[1] == float(levels[932])
    assert plain.after[-1] == table.after[-1] == 1.0


def test_leading_linspace_and_lcm_times():
    assert timetable(linear(), 4, "leading").timesteps == (750, 500, 250, 0)
    assert timetable(linear(), 4, "linspace").timesteps == (999, 666, 333, 0)
    assert timetable(linear(), 4, "lcm").timesteps == (999, 759, 499, 259)
    assert timetable(linear(), timesteps=[900, 10]).timesteps == (900, 10)
    assert timetable(linear(), 10, clean=False).after[-1] == float(linear().alpha_bar[0])


def test_noise_and_velocity_are_a_rotation():
    schedule, t = scaled_linear().zero_snr(), torch.tensor([0, 400, 999])
    clean, noise = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    x, v = schedule.add_noise(clean, noise, t), schedule.target("v", clean, noise, t)
    signal, spread = schedule.rates(t, clean)
    assert torch.allclose(signal * x - spread * v, clean, atol=1e-6)
    assert torch.allclose(spread * x + signal * v, noise, atol=1e-6)
    assert torch.equal(x[2], noise[2]) and torch.equal(v[2], -clean[2])
    assert schedule.target("epsilon", clean, noise, t) is noise and schedule.target("sample", clean, noise, t) is clean


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: timetable(linear(), 0),
        lambda: timetable(linear(), 1001),
        lambda: timetable(linear(), 51, "lcm"),
        lambda: timetable(linear(), 5, "sideways"),
        lambda: timetable(linear(), timesteps=[5, 5]),
        lambda: timetable(linear(), timesteps=[1000]),
        lambda: from_betas(torch.tensor([0.1, 1.2])),
        lambda: linear().target("x", torch.zeros(1), torch.zeros(1), torch.tensor([0])),
    ],
)
def test_what_makes_no_sense_is_refused(wrong):
    with pytest.raises(ConfigError):
        wrong()


def test_a_schedule_moves_as_a_whole():
    moved = linear(10).to("cpu")
    assert isinstance(moved, Schedule) and len(moved) == 10
