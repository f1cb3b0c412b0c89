"""Every sampler against diffusers on the CPU, with and without zero terminal SNR, and against what must hold."""

import math

import diffusers
import pytest
import torch
from test_schedule import GOLDEN, LATENT

from vivant.core.errors import ConfigError
from vivant.diffusion.guidance import guide, guided
from vivant.diffusion.samplers import SAMPLERS, Moment, Sampling, get_sampler, guess, sample
from vivant.diffusion.schedule import linear, scaled_linear, timetable

SHAPE = (2, 4, 6, 6)
PLAIN = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000}


def noise(seed=0, shape=SHAPE):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def net(x, t):
    """A smooth answer that depends on picture and time."""
    return torch.tanh(0.7 * x + 0.3) * (0.4 + t / 2000) + 0.2 * math.sin(t / 100)


def theirs(scheduler, count, x, generator=None):
    scheduler.set_timesteps(count)
    for t in scheduler.timesteps:
        more = {"generator": generator} if generator is not None else {}
        x = scheduler.step(net(x, float(t)), t, x, **more, return_dict=False)[0]
    return x


def ours(name, kind, schedule, count, x, spacing="trailing", clean=True, **more):
    table = timetable(schedule, count, spacing, clean=clean)
    return sample(lambda x, moment: net(x, moment.timestep), x, Sampling(table, name, kind), **more)


@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("kind", ["epsilon", "v", "sample"])
def test_ddim_equals_diffusers(kind, zero):
    if zero and kind == "epsilon":
        with pytest.raises(ConfigError, match="zero SNR"):
            ours("ddim", kind, LATENT["scaled-linear"], 20, noise())
        return
    names = {"v": "v_prediction"}
    scheduler = diffusers.DDIMScheduler(
        **PLAIN, prediction_type=names.get(kind, kind), rescale_betas_zero_snr=zero, timestep_spacing="trailing",
        clip_sample=False, set_alpha_to_one=True,
    )  # fmt: skip
    schedule = LATENT["scaled-linear"] if zero else scaled_linear()
    found, want = ours("ddim", kind, schedule, 20, noise()), theirs(scheduler, 20, noise())
    assert torch.allclose(found, want, atol=2e-5 * float(want.abs().max()))


@pytest.mark.parametrize("name", ["scaled-linear", "linear"])
def test_ddim_steps_have_the_published_numbers(name):
    golden = GOLDEN["latent"][name]["ddim_step eta0 25 steps"]
    x, answer = torch.linspace(-1, 1, 8), torch.linspace(0.5, -0.7, 8)
    sampling = Sampling(timetable(LATENT[name], 25), "ddim", "v")
    for t, want in golden.items():
        index = sampling.table.timesteps.index(int(t))
        found, _ = sampling.step(index, x[None, None], answer[None, None])
        close = torch.allclose(found[0, 0], torch.tensor(want), atol=1e-5)
        assert close, (t, found, want)


@pytest.mark.parametrize("kind", ["epsilon", "v", "sample"])
@pytest.mark.parametrize("count", [8, 20])
def test_dpm_solver_equals_diffusers(kind, count):
    names = {"v": "v_prediction"}
    scheduler = diffusers.DPMSolverMultistepScheduler(
        **PLAIN, prediction_type=names.get(kind, kind), timestep_spacing="trailing", final_sigmas_type="zero",
        solver_order=2, algorithm_type="dpmsolver++", solver_type="midpoint",
    )  # fmt: skip
    found = ours("dpm-solver", kind, scaled_linear(), count, noise())
    want = theirs(scheduler, count, noise())
    assert torch.allclose(found, want, atol=5e-5 * float(want.abs().max()))


@pytest.mark.parametrize("name", ["euler", "dpm-solver"])
def test_from_zero_signal_samplers_start_as_diffusers_do(name):
    """diffusers puts the last level at 2^-24 instead of 0, which moves the result by about 2^-12."""
    kind = {"euler": diffusers.EulerDiscreteScheduler, "dpm-solver": diffusers.DPMSolverMultistepScheduler}[name]
    scheduler = kind(
        **PLAIN, prediction_type="v_prediction", rescale_betas_zero_snr=True, timestep_spacing="trailing",
        final_sigmas_type="zero",
    )  # fmt: skip
    x = noise()
    if name == "euler":
        scheduler.set_timesteps(20)
        y = x * scheduler.init_noise_sigma
        for t in scheduler.timesteps:
            y = scheduler.step(net(scheduler.scale_model_input(y, t), float(t)), t, y, return_dict=False)[0]
    else:
        y = theirs(scheduler, 20, x)
    assert torch.allclose(ours(name, "v", LATENT["scaled-linear"], 20, x), y, atol=2e-3)


def test_euler_equals_diffusers_and_arrives_where_ddim_does():
    scheduler = diffusers.EulerDiscreteScheduler(**PLAIN, timestep_spacing="trailing", final_sigmas_type="zero")
    scheduler.set_timesteps(20)
    first = timetable(scaled_linear(), 20).before[0]
    y = noise() / math.sqrt(first)
    for t in scheduler.timesteps:
        y = scheduler.step(net(scheduler.scale_model_input(y, t), float(t)), t, y, return_dict=False)[0]
    found = ours("euler", "epsilon", scaled_linear(), 20, noise())
    assert torch.allclose(found, y, atol=5e-5 * float(y.abs().max()))
    assert torch.allclose(found, ours("ddim", "epsilon", scaled_linear(), 20, noise()), atol=1e-4)


def test_lcm_equals_diffusers():
    scheduler = diffusers.LCMScheduler(**PLAIN, prediction_type="v_prediction", rescale_betas_zero_snr=True)
    want = theirs(scheduler, 4, noise(), torch.Generator().manual_seed(3))
    schedule = LATENT["scaled-linear"]
    found = ours("lcm", "v", schedule, 4, noise(), "lcm", generator=torch.Generator().manual_seed(3))
    assert torch.allclose(found, want, atol=1e-5 * float(want.abs().max()))


@pytest.mark.parametrize("learned", [False, True])
def test_ddpm_equals_diffusers(learned):
    """Fresh noise is drawn before the last step here, by diffusers whenever t > 0; with linspace that is the same."""
    x = noise(shape=(1, 3, 5, 5))
    scheduler = diffusers.DDPMScheduler(
        **PLAIN, variance_type="learned_range" if learned else "fixed_small", timestep_spacing="linspace",
        clip_sample=True, clip_sample_range=1.0,
    )  # fmt: skip
    full = scaled_linear(dtype=torch.float32)

    def answer(x, t):
        return torch.cat([net(x, t), torch.tanh(x)], 1) if learned else net(x, t)

    # with all steps both walk the same chain; diffusers' respacing takes t - T // n instead of the next time
    scheduler.set_timesteps(1000)
    generator, y = torch.Generator().manual_seed(5), x
    for t in scheduler.timesteps:
        y = scheduler.step(answer(y, float(t)), t, y, generator=generator, return_dict=False)[0]
    sampling = Sampling(timetable(full, 1000, "linspace"), "ddpm", "epsilon", clip=1.0)
    found = sample(lambda x, m: answer(x, m.timestep), x, sampling, torch.Generator().manual_seed(5))
    assert torch.allclose(found, y, atol=2e-3)


def test_ancestral_euler_is_ddim_with_eta_one():
    scheduler = diffusers.DDIMScheduler(**PLAIN, timestep_spacing="trailing", clip_sample=False)
    scheduler.set_timesteps(10)
    generator, y = torch.Generator().manual_seed(5), noise()
    for t in scheduler.timesteps:
        y = scheduler.step(net(y, float(t)), t, y, eta=1.0, generator=generator, return_dict=False)[0]
    found = ours("euler-ancestral", "epsilon", scaled_linear(), 10, noise(), generator=torch.Generator().manual_seed(5))
    assert torch.allclose(found, y, atol=1e-4 * float(y.abs().max()))


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_perfect_net_is_found_from_pure_noise(name):
    """With the true picture as answer every sampler ends at it, at zero terminal SNR, in any type."""
    truth = noise(7)
    schedule = LATENT["scaled-linear"]
    sampling = Sampling(timetable(schedule, 7), name, "sample")
    found = sample(lambda x, m: truth.to(x.dtype), noise().bfloat16(), sampling, torch.Generator().manual_seed(1))
    assert found.dtype == torch.bfloat16
    assert torch.allclose(found.float(), truth, atol=0.03)


@pytest.mark.parametrize("name", ["euler-ancestral", "lcm", "ddpm"])
def test_the_same_seed_gives_the_same_picture(name):
    a, b, c = (
        ours(name, "v", LATENT["linear"], 5, noise(), generator=torch.Generator().manual_seed(s)) for s in (1, 1, 2)
    )
    assert torch.equal(a, b) and not torch.equal(a, c)


def test_clipping_bounds_the_picture_and_keeps_the_decomposition():
    x, answer = noise(), noise(1)
    found = guess("epsilon", answer, x, 0.3, clip=1.0)
    assert float(found.x0.abs().max()) <= 1
    assert torch.allclose(math.sqrt(0.3) * found.x0 + math.sqrt(0.7) * found.noise, x, atol=1e-5)


def test_guidance_and_its_span():
    free, asked = noise(1), noise(2)
    assert torch.allclose(guide(free, asked, 3.0), free + 3 * (asked - free))
    rescaled = guide(free, asked, 3.0, rescale=1.0)
    assert torch.allclose(rescaled.std((1, 2, 3)), asked.std((1, 2, 3)), rtol=1e-4)
    runs = []

    def unconditional(x, moment):
        runs.append(moment.index)
        return free

    predict = guided(lambda x, m: asked, unconditional, 3.0, span=(0.25, 0.75))
    answers = [predict(free, Moment(i, 8, 0)) for i in range(8)]
    assert runs == [2, 3, 4, 5]
    assert torch.equal(answers[0], asked) and torch.allclose(answers[3], guide(free, asked, 3.0))
    guided(lambda x, m: asked, unconditional, 1.0)(free, Moment(3, 8, 0))
    assert runs == [2, 3, 4, 5]  # at scale 1 the unconditional net is not needed
    with pytest.raises(ConfigError):
        guided(unconditional, unconditional, 2.0, span=(0.8, 0.2))


def test_unknown_names_are_refused():
    with pytest.raises(ConfigError, match="ddim"):
        get_sampler("magic")
    with pytest.raises(ConfigError, match="prediction"):
        guess("flow", noise(), noise(), 0.5)
    assert len(linear()) == 1000
