"""The video U-Net and the reference net: what is left out equals what would have been computed; no state; compiles."""

from __future__ import annotations

import pytest
import torch
from torch._dynamo.testing import CompileCounter

import vivant.nn.attention as attention_module
from vivant.core.errors import ConfigError
from vivant.nn.attention import Attention
from vivant.nn.guider import Guider
from vivant.nn.perceiver import AudioProjection
from vivant.nn.reference_unet import ReferenceUNet
from vivant.nn.transformer import BlockContext, Strength, attend_with_reference
from vivant.nn.unet_blocks import UNetConfig
from vivant.nn.video_unet import VideoUNet

SIZES = {"widths": (16, 24), "attention": (True, False), "layers": 1, "heads": 2, "context": 12, "groups": 4}
FRAMES, SIDE = 3, 8


def randomised(net, seed=0):
    """Also the layers that start at zero get numbers, so that every path shows in the result."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for key, value in net.named_parameters():
            spread = 0.3 if value.ndim < 2 else 1 / value[0].numel() ** 0.5
            value.copy_(torch.randn(value.shape, generator=generator) * spread + (value.ndim < 2 and "norm" in key))
    return net.eval()


def randn(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def nets(kind, motion=True):
    video = randomised(VideoUNet(UNetConfig(**SIZES, reference=kind, motion=motion)))
    reference = randomised(ReferenceUNet(UNetConfig(**SIZES, head=()), "norm2" if kind == "cross" else "norm1"), seed=1)
    return video, reference


@pytest.fixture(params=["cross", "concat"])
def kind(request):
    return request.param


def inputs(rows=1):
    return randn(1, rows, FRAMES, 4, SIDE, SIDE), randn(2, rows, FRAMES, 16, SIDE, SIDE), randn(3, rows, 4, SIDE, SIDE)


def zeros(bank):
    return {path: torch.zeros_like(tokens) for path, tokens in bank.items()}


@torch.inference_mode()
def test_unconditional_rows_equal_zero_tokens(kind):
    """Both halves of guidance in one pass give what two plain passes give."""
    video, reader = nets(kind)
    noisy, added, latent = inputs()
    bank, audio = reader(latent), randn(4, 1, FRAMES, 5, 12)
    strength = Strength(0.9, 3.0)
    with_all = video(noisy, torch.tensor(7), video.project(bank, audio), added, strength=strength)
    # of a concatenation zero tokens would be keys, so there the plain pass has no reference at all
    nothing = video.project(zeros(bank) if kind == "cross" else None, torch.zeros_like(audio))
    without = video(noisy, torch.tensor(7), nothing, torch.zeros_like(added), strength=strength)
    both = video(
        noisy.repeat(2, 1, 1, 1, 1), torch.tensor(7), video.project(bank, audio), added, free=1, strength=strength
    )
    assert torch.allclose(both, torch.cat([without, with_all]), atol=1e-5)
    assert (both[0] - both[1]).abs().max() > 0.1


@torch.inference_mode()
def test_a_single_token_is_one_vector(kind):
    """One context token gives the same as attention that computes queries and a softmax over it."""
    video, reader = nets(kind)
    noisy, added, latent = inputs()
    token = randn(5, 1, 1, 12)
    bank = reader(latent, token)
    quick = video.project(bank, token)
    assert all(seen.context is None and seen.vector is not None for seen in quick.values())
    plain = {
        path: seen._replace(vector=None, context=video.transformer(path).block.attn2.keys_values(token))
        for path, seen in quick.items()
    }
    found = [video(noisy, torch.tensor(7), seen, added) for seen in (quick, plain)]
    assert torch.allclose(*found, atol=1e-5)


@torch.inference_mode()
def test_keys_of_one_row_serve_all_frames(kind):
    """Reference tokens copied for every frame, as published code does, give the same."""
    video, reader = nets(kind)
    noisy, added, latent = inputs(rows=2)
    bank, audio = reader(latent), randn(4, 2, FRAMES, 5, 12)
    shared = video.project(bank, audio)
    copied = video.project({path: t.repeat_interleave(FRAMES, 0) for path, t in bank.items()}, audio)
    if kind == "concat":  # rows are counted in frames then
        block, path = video.transformer(video.config.paths[0]).block, video.config.paths[0]
        found = [
            attend_with_reference(block.attn1, randn(6, 2 * FRAMES, 64, 16), 0, seen[path]) for seen in (shared, copied)
        ]
    else:
        found = [video(noisy, torch.tensor(7), seen, added) for seen in (shared, copied)]
    assert torch.allclose(*found, atol=1e-5)


@torch.inference_mode()
def test_dropped_frames_see_no_reference(kind):
    """Without motion modules a frame whose reference is dropped equals the frame without any, others are untouched."""
    video, reader = nets(kind, motion=False)
    noisy, added, latent = inputs()
    bank, audio = reader(latent), randn(4, 1, FRAMES, 5, 12)
    seen = video.project(bank, audio)
    keep = torch.tensor([[1.0, 0.0, 1.0]])
    dropped = {path: block._replace(keep=keep) for path, block in seen.items()}
    full = video(noisy, torch.tensor(7), seen, added)
    none = video(noisy, torch.tensor(7), video.project(zeros(bank) if kind == "cross" else None, audio), added)
    found = video(noisy, torch.tensor(7), dropped, added)
    assert torch.allclose(found[:, 1], none[:, 1], atol=1e-5)
    assert torch.allclose(found[:, ::2], full[:, ::2], atol=1e-5)
    assert (full[:, 1] - none[:, 1]).abs().max() > 0.01


@torch.inference_mode()
def test_windows_are_independent_rows(kind):
    video, reader = nets(kind)
    noisy, added, latent = inputs(rows=2)
    seen = video.project(reader(latent), randn(4, 2, FRAMES, 5, 12))
    both = video(noisy, torch.tensor([7, 90]), seen, added)
    for row, t in enumerate((7, 90)):
        one = video.project(reader(latent[row : row + 1]), randn(4, 2, FRAMES, 5, 12)[row : row + 1])
        part = slice(row, row + 1)
        assert torch.allclose(both[part], video(noisy[part], torch.tensor(t), one, added[part]), atol=1e-5)
    frames = video(noisy, torch.tensor([[7] * FRAMES, [90] * FRAMES]), seen, added)
    assert torch.allclose(frames, both, atol=1e-6)


@torch.inference_mode()
def test_nothing_is_kept_between_calls(kind):
    video, reader = nets(kind)
    noisy, added, latent = inputs()
    audio = randn(4, 1, FRAMES, 5, 12)
    first = video(noisy, torch.tensor(7), video.project(reader(latent), audio), added)
    video(noisy, torch.tensor(300), video.project(reader(-latent), -audio), -added)
    assert torch.equal(first, video(noisy, torch.tensor(7), video.project(reader(latent), audio), added))


@torch.inference_mode()
def test_grids_that_do_not_halve_evenly_come_back_in_size(kind):
    video, reader = nets(kind)
    noisy = randn(1, 1, 2, 4, 7, 5)
    assert video(noisy, torch.tensor(3), video.project(reader(randn(2, 1, 4, 7, 5)), None)).shape == noisy.shape


@pytest.mark.parametrize(("kind", "backend"), [("cross", "eager"), ("concat", "aot_eager")])
def test_compiles_as_one_graph(kind, backend):
    video, reader = nets(kind)
    noisy, added, latent = inputs()
    with torch.no_grad():
        seen = video.project(reader(latent), randn(4, 1, FRAMES, 5, 12))
        twice = noisy.repeat(2, 1, 1, 1, 1)
        want = video(twice, torch.tensor(7), seen, added, free=1)
        torch._dynamo.reset()
        counter = CompileCounter()
        fast = torch.compile(video, fullgraph=True, backend=counter if backend == "eager" else backend)
        assert torch.allclose(fast(twice, torch.tensor(7), seen, added, free=1), want, atol=1e-5)
        again = fast(twice, torch.tensor(8), dict(seen), added * 2, free=1)
        assert torch.allclose(again, video(twice, torch.tensor(8), seen, added * 2, free=1), atol=1e-5)
        assert counter.frame_count == (1 if backend == "eager" else 0)
        if backend == "eager":
            bank = torch.compile(reader, fullgraph=True, backend="eager")(latent)
            assert list(bank) == list(video.config.paths)


def test_saved_memory_gives_the_same_gradients(kind):
    video, reader = nets(kind)
    noisy, added, latent = inputs()
    found = []
    for save in (False, True):
        video.zero_grad()
        seen = video.project(reader(latent), randn(4, 1, FRAMES, 5, 12))
        video(noisy, torch.tensor(7), seen, added, save_memory=save).square().mean().backward()
        found.append([p.grad.clone() for p in video.parameters() if p.grad is not None])
    assert len(found[0]) == len(found[1]) and all(torch.allclose(a, b, atol=1e-6) for a, b in zip(*found))


def test_attributes_change_nothing_until_they_are_trained():
    plain = VideoUNet(UNetConfig(**SIZES, reference="cross"))
    more = VideoUNet(UNetConfig(**SIZES, reference="cross", attributes=6))
    missing, unexpected = more.load_state_dict(plain.state_dict(), strict=False)
    assert missing and not unexpected and all("attributes" in key for key in missing)
    noisy, added, _ = inputs()
    tokens = randn(8, 1, 2, 6)
    with torch.no_grad():
        want = plain(noisy, torch.tensor(7), plain.project(None, None), added)
        assert torch.equal(more(noisy, torch.tensor(7), more.project(None, None, tokens), added), want)
    more(noisy, torch.tensor(7), more.project(None, None, tokens), added).sum().backward()
    block = more.transformer("mid_block.attentions.0").block
    assert block.attn_attributes.to_out[0].weight.grad is not None


def test_new_guiders_and_motion_modules_change_nothing():
    """Zero-initialised outputs: the start of training is the picture model."""
    assert Guider(16)(torch.rand(1, 2, 3, 16, 24)).abs().max() == 0
    config = UNetConfig(**SIZES, reference="cross", motion=True)
    torch.manual_seed(0)
    video, noisy = VideoUNet(config), randn(1, 1, FRAMES, 4, SIDE, SIDE)
    with torch.no_grad():
        whole = video(noisy, torch.tensor(7), {})
        single = video(noisy[:, :1], torch.tensor(7), {})
    assert torch.allclose(whole[:, :1], single, atol=1e-6)


@torch.inference_mode()
def test_motion_modules_can_be_left_out(kind):
    """The picture model is the net without them, whatever they have learned."""
    video, _ = nets(kind)
    pictures, _ = nets(kind, motion=False)
    pictures.load_state_dict({key: value for key, value in video.state_dict().items() if "motion_modules" not in key})
    noisy, time = randn(1, 1, FRAMES, 4, SIDE, SIDE), torch.tensor(7)
    assert torch.equal(video(noisy, time, {}, motion=False), pictures(noisy, time, {}))
    assert not torch.allclose(video(noisy, time, {}), pictures(noisy, time, {}), atol=1e-3)


def test_a_window_longer_than_the_positions_is_refused():
    video = VideoUNet(UNetConfig(**SIZES, motion=True, positions=2))
    with pytest.raises(ConfigError, match="3 frames"):
        video(randn(1, 1, 3, 4, SIDE, SIDE), torch.tensor(7), {})


def test_more_rows_than_a_kernel_takes_are_looked_at_in_parts(monkeypatch):
    query, key, value = (randn(seed, 7, 2, count, 4) for seed, count in ((0, 3), (1, 5), (2, 5)))
    whole = attention_module.attention(query, key, value)
    monkeypatch.setattr(attention_module, "MOST_ROWS", 3)
    assert torch.allclose(attention_module.attention(query, key, value), whole, atol=1e-6)


def test_attention_on_zero_tokens_is_its_bias():
    attention = randomised(Attention(8, 6, heads=2))
    found = attention(randn(1, 2, 5, 8), torch.zeros(2, 3, 6))
    assert torch.allclose(found, attention.bias.expand_as(found), atol=1e-6)


def test_audio_projection_looks_at_the_whole_window():
    net = randomised(AudioProjection(6, 4, 8, 10, tokens=3, layers=2, heads=2, head_width=4))
    x = randn(1, 2, 4, 6)
    found = net(x)
    assert found.shape == (2, 3, 10)
    for step in range(4):
        changed = x.clone()
        changed[:, step] += 1
        assert (net(changed) - found).abs().max() > 1e-3


def test_context_defaults_are_empty():
    assert BlockContext() == (None, None, None, None, None)
