"""Frames one after another: the sampler, the order of conditions, bad input."""

from contextlib import nullcontext
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from nets import SMALL_CONFIG, controls, portrait, speech

from vivant.core.controls import Controls
from vivant.core.errors import ConfigError, WeightsError
from vivant.diffusion.schedule import cosine
from vivant.methods.diffused_heads.audio import WINDOW, embeddings, neighbours
from vivant.methods.diffused_heads.config import PRESETS, Config, Options
from vivant.methods.diffused_heads.generate import FrameChain, Generator, _noises, sampling_of, with_layers_in
from vivant.methods.diffused_heads.model import build_modules
from vivant.methods.diffused_heads.prepare import identity_frame, to_frames

TINY = PRESETS["tiny"]


def made(config, seed=0):
    torch.manual_seed(seed)
    return {name: module.eval() for name, module in build_modules(config).items()}


def frames(config, count=4, seed=0, options=None, modules=None, **more):
    generator = Generator(modules or made(config), config, **more)
    options = options or Options(seed=seed, steps=3)
    return np.stack(list(generator.generate(portrait(), controls(config, count), options)))


@pytest.mark.parametrize(
    "change", [{}, {"grey_motion": True}, {"motion_frames": 0}, {"motion_frames": 1}, {"motion_frames": 4},
               {"audio_reach": 0}, {"audio_reach": 4}, {"encoder": "whisper-tiny-en"}, {"prediction": "v"},
               {"encoder": "window", "audio_width": 256}, {"prediction": "sample"},
               {"prediction": "sample", "learned_variance": False, "copies": "all"},
               {"prediction": "sample", "learned_variance": False, "copies": "all", "grey_motion": True},
               {"prediction": "sample", "learned_variance": False, "copies": "identity", "motion_frames": 0},
               {"prediction": "sample", "learned_variance": False, "copies": "warped", "motion_coarse": 4},
               {"prediction": "sample", "learned_variance": False, "copies": "warped", "motion_frames": 0},
               {"learned_variance": False, "attention": "lowest"}],
)  # fmt: skip
def test_every_kind_of_net_draws_as_many_frames_as_there_are(change):
    config = replace(TINY, **change)
    found = frames(config)
    assert found.shape == (4, 32, 32, 3) and found.dtype == np.uint8
    assert (found == frames(config)).all() and (found != frames(config, seed=1)).any()


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_clips_shorter_than_the_neighbourhood_are_drawn(count):
    assert len(frames(TINY, count)) == count


@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "dpm-solver", "euler", "euler-ancestral"])
def test_every_sampler_runs(sampler):
    found = frames(TINY, 2, options=Options(sampler=sampler, steps=4))
    assert len(found) == 2


def test_frames_without_predecessors_are_drawn_together():
    config = replace(TINY, motion_frames=0)
    one, many = (frames(config, 7, options=Options(steps=3, batch=b)) for b in (1, 4))
    assert np.abs(one.astype(int) - many.astype(int)).max() <= 1


def test_memory_is_kept_for_the_last_frames_only():
    asked = []

    class Track:
        def __getitem__(self, rows):
            asked.append(rows.stop)
            return np.zeros((rows.stop - rows.start, 4, 80), np.float32)

    long = replace(speech(TINY, 3), voiced=np.ones(100_000, np.float32), features={"mel": Track()})
    stream = Generator(made(TINY), TINY).generate(portrait(), Controls(Fraction(25), 100_000, long), Options(steps=1))
    for _ in range(3):
        next(stream)
    assert max(asked) <= 300


def plain_chain(unet, config, count, steps, identity, audio, seed):
    """The published sampler in a plain loop, in float32: learned variance, respaced, noise drawn as upstream does."""
    betas = cosine(dtype=torch.float32).betas
    levels = (1 - betas).cumprod(0)
    kept = [round(i * (999 / (steps - 1))) for i in range(steps)]
    generator = torch.Generator().manual_seed(seed)
    starts = torch.randn((1, count, *identity.shape[1:]), generator=generator)
    motion, out = [identity, identity], []
    index = [0, 0, 0, 1, 2]
    for frame in range(count):
        x = starts[:, frame]
        for at in reversed(range(steps)):
            level, before = levels[kept[at]], levels[kept[at - 1]] if at else torch.tensor(1.0)
            beta = 1 - level / before
            heard = audio[[min(max(i, 0), count - 1) for i in index]][None]
            answer = unet(x, torch.tensor([kept[at]]), torch.cat(motion, 1), identity, heard)
            noise, variance = answer.chunk(2, 1)
            x0 = ((x - (1 - level).sqrt() * noise) / level.sqrt()).clamp(-1, 1)
            mean = before.sqrt() * beta / (1 - level) * x0 + (1 - beta).sqrt() * (1 - before) / (1 - level) * x
            low = beta * (1 - before) / (1 - level) if at else None
            fresh = torch.randn(x.shape, generator=generator)
            if at:
                share = (variance + 1) / 2
                x = mean + (0.5 * (share * beta.log() + (1 - share) * low.log())).exp() * fresh
            else:
                x = mean
        out.append(x.clamp(-1, 1))
        motion = [motion[1], out[-1]]
        index = [*index[1:], min(frame + 3, count - 1)]
    return torch.cat(out)


@torch.no_grad()
def test_the_published_sampler_in_a_plain_loop_gives_the_same_frames():
    config = replace(SMALL_CONFIG, image_size=16)
    modules = made(config, 2)
    for parameter in modules["unet"].out[2].parameters():
        parameter.mul_(0.5)
    count, steps = 4, 5
    heard = speech(config, count)
    audio = torch.stack(list(embeddings(modules["audio_encoder"], config, heard, count, torch.device("cpu"))))
    identity = identity_frame(portrait(), 16)
    want = plain_chain(modules["unet"], config, count, steps, identity, audio, seed=3)
    options = Options(steps=steps, sampler="ddpm", guard=False, upstream=True, seed=3)
    found = np.stack(
        list(Generator(modules, config).generate(portrait(), Controls(Fraction(25), count, heard), options))
    )
    assert np.abs(found.astype(int) - to_frames(want, upstream=True).astype(int)).max() <= 1
    assert (found[0] != found[1]).any()


def test_neighbours_are_clamped_to_the_clip():
    assert [list(n) for n in neighbours(iter(range(4)), 2)] == [
        [0, 0, 0, 1, 2], [0, 0, 1, 2, 3], [0, 1, 2, 3, 3], [1, 2, 3, 3, 3]
    ]  # fmt: skip
    assert list(neighbours(iter([7]), 2)) == [[7] * 5] and list(neighbours(iter([1, 2]), 0)) == [[1], [2]]
    assert next(iter(neighbours(iter([1, 2]), 3))) == [1, 1, 1, 1, 2, 2, 2] and not list(neighbours(iter([]), 2))


def test_windows_of_sound_lie_where_the_published_ones_do():
    heard = []

    class Encoder(torch.nn.Module):
        def forward(self, window, lengths, state):
            heard.append(window[0, 0].clone())
            assert lengths.tolist() == [WINDOW] and state.shape == (2, 1, 256)
            return window[0, :, :1] + state[0, 0, 0], lengths, state + 1

    config = Config()
    samples = np.arange(1, 640 * 6 + 1, dtype=np.float32)
    sound = replace(speech(config, 6), samples=samples)
    found = [float(x) for x in embeddings(Encoder(), config, sound, 6, torch.device("cpu"))]
    padded = np.concatenate([np.zeros(1280), samples, np.zeros(1280)])
    for i, window in enumerate(heard):
        want = padded[640 * i : 640 * i + WINDOW]
        assert np.array_equal(window.numpy()[: len(want)], want)
    assert [round(f - float(heard[i][0])) for i, f in enumerate(found)] == [0, 1, 2, 3, 4, 5]  # the memory goes on
    faster = replace(sound, fps=Fraction(30))
    heard.clear()
    list(embeddings(Encoder(), config, faster, 6, torch.device("cpu")))
    assert heard[3][0] == samples[int(3 * 16000 / 30) - 1280]


def test_noise_is_as_loud_as_the_preset_says(monkeypatch):
    heard = []
    run = FrameChain._run
    monkeypatch.setattr(
        FrameChain, "_run", lambda self, *given: heard.append(float(given[3].std())) or run(self, *given)
    )
    frames(TINY, 1)
    frames(replace(TINY, noise_scale=0.5), 1)
    assert heard[1] == pytest.approx(heard[0] / 2)


def test_the_guard_changes_long_clips_only_as_told():
    modules = made(TINY)
    plain, guarded = (
        frames(TINY, 20, modules=modules, options=Options(steps=2, guard=g, hold_colour=0.0)) for g in (False, True)
    )
    assert (plain[:15] == guarded[:15]).all() and (plain[15:] != guarded[15:]).any()


def test_noise_can_stay_alike_from_frame_to_frame():
    chain = FrameChain(made(TINY)["unet"], sampling_of(TINY, Options(sampler="ddpm")), torch.device("cpu"), nullcontext)
    found = {
        kept: torch.stack(list(_noises(torch.Size((1, 3, 32, 32)), chain, 200, Options(seed=3), kept))).flatten(1)
        for kept in (0.0, 0.9, 1.0)
    }
    for kept, noises in found.items():
        alike = torch.corrcoef(torch.stack([noises[:-1].flatten(), noises[1:].flatten()]))[0, 1]
        assert float(alike) == pytest.approx(kept, abs=0.01)
        assert float(noises.std()) == pytest.approx(1, abs=0.02)  # never louder or softer than the net was trained for
        assert torch.equal(noises[0], found[0.0][0])
    still = frames(TINY, 3, options=Options(steps=3, keep_noise=1.0))
    assert (still != frames(TINY, 3, options=Options(steps=3)))[1:].any() and PRESETS["released"].keep_noise == 0


def test_half_precision_that_breaks_goes_on_in_a_wider_type(monkeypatch):
    generator = Generator(made(TINY), TINY, dtype=torch.bfloat16)
    run = FrameChain._run

    def broken(self, *given):
        out = run(self, *given)
        return out * float("nan") if generator.dtype == torch.bfloat16 else out

    monkeypatch.setattr(FrameChain, "_run", broken)
    with pytest.warns(UserWarning, match="float32"):
        found = list(generator.generate(portrait(), controls(TINY, 2), Options(steps=2)))
    assert len(found) == 2
    monkeypatch.setattr(FrameChain, "_run", lambda self, *given: given[1] * float("nan"))
    with pytest.raises(WeightsError, match="not finite"):
        list(generator.generate(portrait(), controls(TINY, 1), Options(steps=2)))


def test_weights_cast_once_give_the_frames_of_weights_cast_in_every_step(monkeypatch):
    modules = made(TINY)
    once = frames(TINY, 3, modules=modules, dtype=torch.bfloat16)
    half, net = with_layers_in(modules["unet"], torch.bfloat16), modules["unet"]
    assert half.out[2].weight.dtype == torch.bfloat16 and half.out[0].weight is net.out[0].weight
    assert net.out[2].weight.dtype == torch.float32
    monkeypatch.setattr("vivant.methods.diffused_heads.generate.with_layers_in", lambda unet, dtype: unet)
    assert (once == frames(TINY, 3, modules=modules, dtype=torch.bfloat16)).all()


def test_what_cannot_be_drawn_is_refused_before_any_work():
    generator = Generator(made(TINY), TINY)
    heard = speech(TINY, 3)
    bad = {
        "-a speech.wav": Controls(Fraction(25), 3),
        "mel": Controls(Fraction(25), 3, replace(heard, features={})),
        "fills 3 of 9": Controls(Fraction(25), 9, heard),
    }
    for text, control in bad.items():
        with pytest.raises(ConfigError, match=text):
            generator.generate(portrait(), control, Options())
    with pytest.raises(ConfigError, match="1 to 1000"):
        generator.generate(portrait(), controls(TINY, 3), Options(steps=1001))
    with pytest.raises(WeightsError, match=r"audio_encoder\.pt"):
        Generator({"unet": made(TINY)["unet"]}, TINY).generate(portrait(), controls(TINY, 1), Options())
    with pytest.raises(ConfigError, match="copy"):
        build_modules(replace(TINY, copies="all"))
    with pytest.raises(ConfigError, match="256"):
        build_modules(Config(audio_width=128))


def test_presets_sample_as_they_say():
    assert sampling_of(PRESETS["released"], Options()).table.timesteps[:3] == (999, 989, 979)
    lite = sampling_of(PRESETS["lite"], Options())
    assert lite.kind == "sample" and lite.table.before[0] == 0 and len(lite.table) == PRESETS["lite"].steps
    assert sampling_of(PRESETS["lite"], Options(sampler="ddim", steps=3)).sampler == "ddim"


def test_a_portrait_becomes_a_frame_and_a_frame_pixels():
    crop = portrait(64)
    frame = identity_frame(crop, 64)
    assert (to_frames(frame)[0] == crop.image).all()
    assert identity_frame(crop, 32).shape == (1, 3, 32, 32)
    assert to_frames(torch.full((1, 3, 1, 1), 1.0), upstream=True).max() == 254
