"""Consistency distillation: its pieces against what they must be, and a toy that learns to sample in one step."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from vivant.core.errors import ConfigError
from vivant.core.registry import get_method
from vivant.diffusion.clips import latent_schedule
from vivant.diffusion.samplers import Sampling, consistency_scales, sample
from vivant.diffusion.schedule import timetable
from vivant.training.consistency import consistency_error, paired_times, teacher_of

SCHEDULE = latent_schedule("scaled-linear")


def mean_of_two_points(x, time):
    """The exact posterior mean of data that are -1 or 1, and the velocity that says so."""
    signal, spread = (rate.float() for rate in SCHEDULE.rates(time, x))
    x0 = torch.tanh(signal * x / spread.square())
    return (signal * x - x0) / spread


def points(count, generator):
    return torch.randint(0, 2, (count, 1, 1, 1, 1), generator=generator) * 2.0 - 1


def test_pairs_stand_on_the_ladder_that_is_sampled():
    batch = paired_times(torch.zeros(400, 2, 4, 2, 2), SCHEDULE, 0.0, torch.Generator().manual_seed(0))
    rungs = set(timetable(SCHEDULE, 50, "lcm").timesteps)
    assert set(batch["time"].tolist()) == rungs and max(rungs) == 999
    assert torch.equal(batch["earlier"], (batch["time"] - 20).clamp_min(0))
    last = batch["noisy"][batch["time"] == 999]
    assert abs(last.std().item() - 1) < 0.1  # zero terminal SNR: nothing but noise


def test_at_time_0_the_answer_is_the_picture():
    skip, out = consistency_scales(torch.tensor([0, 19, 999]))
    assert (skip[0], out[0]) == (1, 0) and out[1] > 0.999 and skip[2] < 1e-8


def test_a_consistent_student_has_no_error_and_guidance_moves_the_aim():
    """All data are one point: the teacher's steps lead where the student says, whatever the time."""
    clean = torch.full((8, 3, 2, 2, 2), 0.7)

    def net(x, time):
        signal, spread = (rate.float() for rate in SCHEDULE.rates(time, x))
        return (signal * x - 0.7) / spread

    def loss(student, guidance, free):
        batch = paired_times(clean, SCHEDULE, 0.0, torch.Generator().manual_seed(1))
        batch["time"], batch["earlier"] = torch.full((8,), 519), torch.full((8,), 499)
        return consistency_error(student, lambda x, t: (free(x, t), net(x, t)), batch, SCHEDULE, "v", guidance).item()

    assert loss(net, 2.0, net) < 1e-5
    assert loss(lambda x, t: net(x, t) + 0.3 * (t.view(-1, 1, 1, 1, 1) > 510), 2.0, net) > 0.05
    away = loss(lambda x, t: net(x, t) + 0.1 * x, 3.0, lambda x, t: net(x, t) - 0.5)
    assert away != pytest.approx(loss(lambda x, t: net(x, t) + 0.1 * x, 1.0, lambda x, t: net(x, t) - 0.5), rel=1e-3)


class Small(nn.Module):
    """Corrects the exact velocity, as a student that starts from its teacher does."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 1))

    def forward(self, x, time):
        level = SCHEDULE.rates(time, x)[0].float().expand_as(x)
        given = torch.stack([x.flatten(), level.flatten(), (x * level).flatten()], 1)
        return mean_of_two_points(x, time) + self.layers(given).view_as(x)


def test_what_is_distilled_samples_in_one_step():
    """From noise the teacher's first guess is between the two points; the student's is one of them."""
    torch.manual_seed(0)
    generator, student = torch.Generator().manual_seed(0), Small()
    optimizer = torch.optim.Adam(student.parameters(), 2e-3)
    for step in range(1500):
        batch = paired_times(points(256, generator), SCHEDULE, 0.0, generator)
        loss = consistency_error(
            student, lambda x, t: (mean_of_two_points(x, t),) * 2, batch, SCHEDULE, "v", 1.0
        )  # fmt: skip
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step == 1000:
            optimizer.param_groups[0]["lr"] = 2e-4
    noise = torch.randn(500, 1, 1, 1, 1, generator=generator)
    far = noise.abs() > 0.3  # which side noise near 0 belongs to is the last thing to be learned

    def made(net, steps):
        sampling = Sampling(timetable(SCHEDULE, steps, "lcm"), "lcm", "v")
        with torch.no_grad():
            return sample(lambda x, m: net(x, torch.full((len(x),), m.timestep)), noise, sampling, generator)

    assert made(mean_of_two_points, 1)[far].abs().mean() < 0.1
    assert (made(student, 1)[far] - noise[far].sign()).abs().mean() < 0.25
    assert (made(student, 4).abs() - 1).abs().mean() < 0.3


def test_nets_that_predict_noise_are_refused():
    with pytest.raises(ConfigError, match="cannot be distilled"):
        teacher_of(nn.Linear(1, 1), "epsilon")


@pytest.mark.parametrize("name", ["v-express", "animate-anyone"])
def test_the_methods_distil(name):
    """The student learns, the teacher stays; with weights of the teacher and no guidance it begins near the aim."""
    spec = get_method(name)
    config, train = spec.part("config").PRESETS["tiny"], spec.part("train")
    torch.manual_seed(0)
    modules = spec.part("model").build_modules(config)
    stage = replace(train.STAGES["few-steps"], frames=3)
    objective = train.Objective(modules, config, stage, torch.device("cpu"))
    before = {key: value.clone() for key, value in objective.teacher.state_dict().items()}
    batch = objective.augment(raw(name, config), torch.Generator().manual_seed(0))
    assert {"noisy", "time", "earlier"} <= set(batch) and "target" not in batch
    learning = list(modules["denoising_unet"].parameters())
    optimizer = torch.optim.Adam(learning, 1e-3)
    losses = []
    for _ in range(12):
        loss = objective.losses(batch, False)[0]["velocity"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    assert all(torch.equal(value, before[key]) for key, value in objective.teacher.state_dict().items())
    assert not any(p.requires_grad for p in objective.teacher.parameters())
    assert torch.isfinite(objective.sheet(batch, modules)).all()


def raw(name, config):
    """Two windows of three frames."""
    generator = torch.Generator().manual_seed(1)
    side, channels = config.output_size // 8, config.unet.channels
    found = {
        "latents": torch.randn(2, 3, channels, side, side, generator=generator),
        "reference_latents": torch.randn(2, channels, side, side, generator=generator),
    }
    if name == "animate-anyone":
        drawing = torch.randint(0, 255, (2, 3, 3, 64, 64), generator=generator, dtype=torch.uint8)
        return {**found, "drawing": drawing, "reference_look": torch.randn(2, 24, generator=generator)}
    audio = config.audio
    return {
        **found, "flip": torch.zeros(2), "heard": torch.ones(2, 3),
        "v_kps": torch.tensor([[-0.3, -0.1], [0.3, -0.1], [0.0, 0.2]]).repeat(2, 3, 1, 1),
        "mouth": torch.tensor([-0.2, 0.3, 0.2, 0.6]).repeat(2, 3, 1),
        "speech": torch.randn(2, 3, audio.steps, audio.inputs, generator=generator),
    }  # fmt: skip
