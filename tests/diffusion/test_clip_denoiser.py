"""What is computed once for a clip equals what is computed anew in every step; frames are given back; precision."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vivant.core.errors import ConfigError, WeightsError
from vivant.diffusion.clip_denoiser import ClipConditions, ClipDenoiser, GuidanceScale
from vivant.diffusion.clips import ClipPlan, latent_schedule, make_frames
from vivant.diffusion.frame_store import FrameStore
from vivant.diffusion.guidance import guide
from vivant.diffusion.samplers import Moment, Sampling
from vivant.diffusion.schedule import timetable
from vivant.diffusion.windows import Windows, denoise_stream, frame_noise
from vivant.nn.reference_unet import ReferenceUNet
from vivant.nn.transformer import Strength
from vivant.nn.unet_blocks import UNetConfig
from vivant.nn.video_unet import VideoUNet

SIZES = {"widths": (16, 24), "attention": (True, False), "layers": 1, "heads": 2, "context": 12, "groups": 4}
COUNT, SIDE, CHANNELS = 9, 4, 4


def randn(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def randomised(net, seed):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for key, value in net.named_parameters():
            spread = 0.2 if value.ndim < 2 else 1 / value[0].numel() ** 0.5
            value.copy_(torch.randn(value.shape, generator=generator) * spread + (value.ndim < 2 and "norm" in key))
    return net.eval()


class Clip:
    """A clip's conditions, counted whenever they are computed."""

    def __init__(self, kind):
        self.kind, self.calls = kind, []
        self.unet = randomised(VideoUNet(UNetConfig(**SIZES, reference=kind, motion=True)), 0)
        self.reader = randomised(
            ReferenceUNet(UNetConfig(**SIZES, head=()), "norm2" if kind == "cross" else "norm1"), 1
        )
        self.audio, self.added = randn(2, COUNT, 3, 12), randn(3, COUNT, 16, SIDE, SIDE)
        self.latent, self.token_value = randn(4, 1, CHANNELS, SIDE, SIDE), randn(5, 1, 1, 12)

    def conditions(self):
        frames = self.kind == "cross"

        def noted(name, values):
            def compute(first, stop):
                self.calls.append((name, first, stop))
                return values[first:stop]

            return compute

        def reference():
            self.calls.append(("reference", 0, 0))
            return self.reader(self.latent, None if frames else self.token_value)

        return ClipConditions(
            reference,
            None if frames else lambda: self.token_value,
            noted("context", self.audio) if frames else None,
            noted("added", self.added),
            added_free=not frames,
        )

    def plain(self, x, moment, starts, scale, strength):
        """Every window alone, everything computed anew, both halves of guidance in full."""
        answers = []
        for row, start in enumerate(starts):
            part = x[row : row + 1].transpose(1, 2)
            frames = slice(start, start + part.shape[1])
            bank = self.reader(self.latent, None if self.kind == "cross" else self.token_value)
            context = self.audio[None, frames] if self.kind == "cross" else self.token_value
            t, added = torch.tensor(moment.timestep), self.added[None, frames]
            asked = self.unet(part, t, self.unet.project(bank, context), added, strength=strength)
            if self.kind == "cross":
                zero = {path: torch.zeros_like(tokens) for path, tokens in bank.items()}
                nothing, added = self.unet.project(zero, torch.zeros_like(context)), torch.zeros_like(added)
            else:
                nothing = self.unet.project(None, torch.zeros_like(context))
            free = self.unet(part, t, nothing, added, strength=strength)
            answers.append(guide(free, asked, scale).transpose(1, 2))
        return torch.cat(answers)


def sampling(steps=3):
    return Sampling(timetable(latent_schedule("scaled-linear"), steps), "ddim", "v")


def run(predict, batch=1, steps=3):
    noise = frame_noise((CHANNELS, SIDE, SIDE), 0)
    return torch.stack(list(denoise_stream(predict, noise, COUNT, sampling(steps), Windows(4, 1), batch)))


@pytest.fixture(params=["cross", "concat"])
def clip(request):
    return Clip(request.param)


@pytest.mark.parametrize("batch", [1, 3])
@torch.inference_mode()
def test_everything_once_equals_everything_in_each_step(clip, batch):
    strength = Strength(0.9, 2.0) if clip.kind == "cross" else Strength()
    fast = ClipDenoiser(clip.unet, clip.conditions(), COUNT, GuidanceScale(3.5), strength)
    plain = run(lambda x, moment, starts: clip.plain(x, moment, starts, 3.5, strength))
    assert torch.allclose(run(fast, batch), plain, atol=2e-5)
    assert clip.calls.count(("reference", 0, 0)) == 1
    for name in {name for name, _, _ in clip.calls} - {"reference"}:
        frames = [f for called, first, stop in clip.calls if called == name for f in range(first, stop)]
        assert frames == list(range(COUNT)), name


class Empty(torch.nn.Module):
    """A net that is false as a truth value, as some compiled ones are."""

    def __init__(self, net):
        super().__init__()
        self.net, self.calls = net, 0

    def __len__(self):
        return 0

    def forward(self, *args, **options):
        self.calls += 1
        return self.net(*args, **options)


@torch.inference_mode()
def test_a_given_net_is_used_whatever_its_truth_value(clip):
    net = Empty(clip.unet)
    run(ClipDenoiser(clip.unet, clip.conditions(), COUNT, GuidanceScale(3.5), net=net))
    assert net.calls


@torch.inference_mode()
def test_guidance_in_a_span_leaves_the_other_steps_unguided(clip):
    whole, none = (run(ClipDenoiser(clip.unet, clip.conditions(), COUNT, GuidanceScale(s))) for s in (3.5, 1.0))
    spans = [(0.0, 0.0), (0.0, 1.0), (0.3, 1.0)]
    found = [run(ClipDenoiser(clip.unet, clip.conditions(), COUNT, GuidanceScale(3.5, span))) for span in spans]
    assert torch.equal(found[0], none) and torch.equal(found[1], whole)
    assert not torch.allclose(found[2], whole) and not torch.allclose(found[2], none)


@torch.inference_mode()
def test_reused_deep_features_are_near_and_cheaper(clip):
    exact = run(ClipDenoiser(clip.unet, clip.conditions(), COUNT, GuidanceScale(1.0)), steps=6)
    calls = []
    clip.unet.mid_block.register_forward_hook(lambda *_: calls.append(1))
    near = run(ClipDenoiser(clip.unet, clip.conditions(), COUNT, GuidanceScale(1.0), reuse=2), steps=6)
    windows = len(Windows(4, 1).starts(COUNT))
    assert len(calls) == 3 * windows
    assert 0 < (near - exact).abs().mean() < 0.3 * exact.std()


@pytest.mark.parametrize("steps", [4, 5, 6, 7])
def test_deep_features_are_given_back(clip, steps):
    denoiser = ClipDenoiser(clip.unet, clip.conditions(), COUNT, GuidanceScale(1.0), reuse=3)
    run(denoiser, steps=steps)
    assert not denoiser._deep


@torch.inference_mode()
def test_a_reference_of_an_empty_picture_for_the_unconditional_half():
    """The face set's guidance: two reference rows, no row left out."""
    clip = Clip("concat")
    latent, token = (torch.cat([torch.zeros_like(t), t]) for t in (clip.latent, clip.token_value))
    conditions = ClipConditions(
        lambda: clip.reader(latent, token), lambda: token, added=lambda a, b: clip.added[a:b], added_free=True,
        free_reference=True,
    )  # fmt: skip
    x, moment = randn(7, 2, CHANNELS, 4, SIDE, SIDE), Moment(0, 3, 999)
    found = ClipDenoiser(clip.unet, conditions, COUNT, GuidanceScale(3.5))(x, moment, [0, 3])
    for row, start in enumerate((0, 3)):
        part, added = x[row : row + 1].transpose(1, 2), clip.added[None, start : start + 4]
        halves = [
            clip.unet(part, torch.tensor(999), clip.unet.project(clip.reader(a, b), b), added)
            for a, b in zip(latent[:, None], token[:, None])
        ]
        assert torch.allclose(found[row], guide(*halves, 3.5).transpose(1, 2)[0], atol=1e-5)


def test_frames_are_given_back():
    """A long clip holds only the frames between its first and its last step."""
    clip, held = Clip("cross"), []
    clip.audio, clip.added = randn(2, 60, 3, 12), randn(3, 60, 16, SIDE, SIDE)
    denoiser = ClipDenoiser(clip.unet, clip.conditions(), 60, GuidanceScale(1.0))
    noise = frame_noise((CHANNELS, SIDE, SIDE), 0)
    for _ in denoise_stream(denoiser, noise, 60, sampling(3), Windows(4, 1)):
        held.append(max(len(store) for store in denoiser._stores.values()))
    assert max(held) <= 48  # three chunks of 16


def test_a_store_computes_each_frame_once():
    calls = []

    def compute(first, stop):
        calls.append((first, stop))
        return torch.arange(first, stop).float()[:, None]

    store = FrameStore(compute, 10, chunk=4)
    assert store.window(0, 3).flatten().tolist() == [0, 1, 2]
    assert store.window(2, 5).flatten().tolist() == [2, 3, 4, 5, 6]
    assert calls == [(0, 4), (4, 8)]
    store.release(3)
    assert len(store) == 8
    store.release(5)
    assert len(store) == 4
    store.forget()
    assert store.window(5, 3).flatten().tolist() == [5, 6, 7] and calls[2:] == [(4, 8)]
    assert store.window(6, 4).flatten().tolist() == [6, 7, 8, 9] and calls[3:] == [(8, 10)]


def test_half_precision_that_breaks_goes_on_in_bfloat16():
    clip = Clip("cross")
    with torch.no_grad():
        clip.unet.conv_out.bias.fill_(1e5)  # beyond float16, within bfloat16
    clip.unet.half()
    conditions = ClipConditions(lambda: None, added=lambda a, b: clip.added[a:b].to(clip.unet.conv_in.weight.dtype))
    denoiser = ClipDenoiser(clip.unet, conditions, COUNT, GuidanceScale(1.0))
    with torch.no_grad():
        clip.unet.conv_out.weight.zero_()
        clip.unet.conv_out.bias.fill_(60000.0)
        clip.unet.conv_norm_out.bias.fill_(60000.0)
        clip.unet.conv_out.weight.fill_(100.0)
    with pytest.warns(UserWarning, match=r"float16 gave numbers that are not finite; going on in torch\.bfloat16"):
        found = denoiser(randn(7, 1, CHANNELS, 4, SIDE, SIDE), Moment(0, 3, 999), [0])
    assert torch.isfinite(found).all() and clip.unet.conv_in.weight.dtype == torch.bfloat16


def test_broken_weights_are_said_to_be_broken():
    clip = Clip("cross")
    with torch.no_grad():
        clip.unet.conv_out.bias.fill_(float("nan"))
    denoiser = ClipDenoiser(clip.unet, clip.conditions(), COUNT, GuidanceScale(1.0))
    with pytest.raises(WeightsError, match="damaged or untrained"):
        denoiser(randn(7, 1, CHANNELS, 4, SIDE, SIDE), Moment(0, 3, 999), [0])


def test_a_full_memory_says_what_to_lower():
    def predict(x, moment, starts):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    plan = ClipPlan(2, (CHANNELS, SIDE, SIDE), sampling(), Windows(4, 1))
    with pytest.raises(ConfigError, match="lower --batch-size or --window"):
        list(make_frames(predict, None, plan, torch.device("cpu")))


def test_no_frames_are_refused():
    plan = ClipPlan(0, (CHANNELS, SIDE, SIDE), sampling(), Windows(4, 1))
    with pytest.raises(ConfigError, match="0 s"):
        list(make_frames(None, None, plan, torch.device("cpu")))


def test_noise_of_a_whole_clip_is_the_released_pipelines():
    """One draw of (1, C, F, h, w), as released pipelines draw it."""
    plan = ClipPlan(3, (CHANNELS, SIDE, SIDE), sampling(), Windows(4, 1), seed=5, whole_noise=True)
    whole = torch.randn(1, CHANNELS, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(5))
    found = torch.stack(list(plan.noise(torch.device("cpu"))))
    assert torch.equal(found, whole[0].transpose(0, 1))


@pytest.mark.parametrize(("scale", "span"), [(-1.0, (0, 1)), (2.0, (0.6, 0.4)), (2.0, (0.0, 1.5))])
def test_guidance_that_makes_no_sense_is_refused(scale, span):
    with pytest.raises(ConfigError, match=r"makes no sense: .* does not end before it begins\."):
        GuidanceScale(scale, span)


def test_numbers_of_a_clip_are_finite():
    assert np.isfinite(latent_schedule("linear").alpha_bar.numpy()).all()
    with pytest.raises(ConfigError, match="no noise schedule"):
        latent_schedule("square")
