"""The video transformer: equals PixArt of diffusers without its additions; additions act as they are meant to."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from dits import FRAMES, SIZES, alive, inputs, randn
from torch import nn
from torch._dynamo.testing import CompileCounter

from vivant.core.errors import ConfigError
from vivant.nn.driven_encoder import DrivenEncoder
from vivant.nn.pixart import PixArtConfig
from vivant.nn.temporal import TemporalTransformer
from vivant.nn.transformer import Strength
from vivant.nn.video_dit import ReferenceDiT, VideoDiT


@torch.inference_mode()
def run(net, x, added, context, reference=None, time=321, **more):
    return net(x, torch.tensor(time), net.project(reference, context), added, **more)


def test_published_sizes():
    """Counts of the report on the described model (its section B8), and of the released driven encoder."""
    with torch.device("meta"):
        plain = VideoDiT(PixArtConfig(temporal="none"))
        whole = VideoDiT(PixArtConfig())
        reader = ReferenceDiT(PixArtConfig())
        driven = DrivenEncoder()

    def count(net):
        return sum(p.numel() for p in net.parameters())

    assert count(plain) == 555_281_312
    assert count(whole) - count(plain) == 409_086_720
    # of the whole reference transformer (456,043,424) the head and the last block behind its norm are left out
    assert count(reader) == 456_043_424 - (2304 + 36_896) - (5_313_024 + 10_622_592)
    assert count(driven) == 164_792


@pytest.mark.parametrize("text", [False, True])
def test_equals_pixart_of_diffusers(text):
    """With its key names: the same answer without context, and with PixArt's text in the context attention's place."""
    transformer = pytest.importorskip("diffusers").PixArtTransformer2DModel
    torch.manual_seed(0)
    theirs = transformer(
        num_attention_heads=2, attention_head_dim=16, in_channels=4, out_channels=8, num_layers=4,
        cross_attention_dim=32, sample_size=8, caption_channels=10, norm_eps=1e-6,
    ).eval()  # fmt: skip
    config = replace(SIZES, context=32 if text else SIZES.context)
    ours = alive(VideoDiT(config))
    nn.init.zeros_(ours.pos_embed.proj.weight)  # new inputs count for nothing at first
    kept = {k: v for k, v in theirs.state_dict().items() if not k.startswith("caption_projection.")}
    if not text:
        for block in theirs.transformer_blocks:
            for value in block.attn2.to_out[0].parameters():
                nn.init.zeros_(value)
        kept = {k: v for k, v in kept.items() if ".attn2." not in k}
    weight = torch.zeros_like(ours.pos_embed.proj.weight)
    weight[:, :4] = kept["pos_embed.proj.weight"]
    unknown = ours.load_state_dict({**kept, "pos_embed.proj.weight": weight}, strict=False)
    assert not unknown.unexpected_keys
    assert all(".temporal." in key or ".attn2." in key for key in unknown.missing_keys)
    for block in ours.transformer_blocks:  # temporal modules start at zero
        if block.temporal is not None:
            nn.init.zeros_(block.temporal.proj_out.weight)
            nn.init.zeros_(block.temporal.proj_out.bias)
    x, words, time = randn(1, 2, 4, 8, 8), randn(2, 2, 6, 10), torch.tensor([17, 801])
    with torch.inference_mode():
        wanted = theirs(x, encoder_hidden_states=words, timestep=time, added_cond_kwargs={}).sample
        tokens = theirs.caption_projection(words) if text else None
        found = ours(x[:, None], time, ours.project(None, tokens), randn(3, 2, 1, 4, 8, 8), variance=True)[:, 0]
    assert (found - wanted).abs().max() < 2e-5


def test_the_variance_is_answered_only_when_asked_for():
    net = alive(VideoDiT(SIZES))
    x, added, context = inputs()
    assert run(net, x, added, context).shape == x.shape
    assert run(net, x, added, context, variance=True).shape == (1, FRAMES, 8, 8, 8)


def test_additions_act_and_start_at_nothing():
    torch.manual_seed(0)
    fresh, (x, added, context) = VideoDiT(SIZES).eval(), inputs()
    assert torch.equal(run(fresh, x, added, context), run(fresh, x, None, context))  # concatenated channels
    assert torch.allclose(run(fresh, x, None, context), run(fresh, x, None, context, temporal=False), atol=1e-6)
    net = alive(VideoDiT(SIZES))
    whole = run(net, x, added, context)
    for other in (
        run(net, x, None, context), run(net, x, added, None), run(net, x, added, context, temporal=False),
        run(net, x, added, context, strength=Strength(context=2.0)),
        run(net, x, added, context, reference=alive(ReferenceDiT(SIZES))(randn(5, 1, 4, 8, 8))),
    ):  # fmt: skip
        assert (other - whole).abs().max() > 1e-4
    assert torch.equal(run(net, x, added, context, strength=Strength(context=0.0)), run(net, x, added, None))


def test_the_reference_reaches_the_last_blocks_only():
    reader = alive(ReferenceDiT(SIZES))
    bank = reader(randn(5, 1, 4, 8, 8))
    assert list(bank) == ["transformer_blocks.2", "transformer_blocks.3"] == list(SIZES.seeing)
    net = alive(VideoDiT(SIZES))
    seen = net.project(bank, None)
    assert [path for path, each in seen.items() if each.reference is not None] == list(bank)


def test_reference_tokens_are_further_keys_of_the_receivers_own_projection():
    """By hand: softmax over own and reference tokens together, all projected by the receiver."""
    net, h, tokens = alive(VideoDiT(SIZES)), randn(1, 1, 16, 32), randn(2, 1, 16, 32)
    from vivant.nn.transformer import BlockContext, attend_with_reference

    attn = net.transformer_blocks[2].attn1
    with torch.inference_mode():
        found = attend_with_reference(attn, h, 0, BlockContext(attn.keys_values(tokens)))
        both = torch.cat([h, tokens], 1)
        q, k, v = (attn.split(each) for each in (attn.to_q(h), attn.to_k(both), attn.to_v(both)))
        weights = (q @ k.transpose(-1, -2) / 16**0.5).softmax(-1)
        wanted = attn.to_out[0]((weights @ v).transpose(1, 2).flatten(2))
    assert (found - wanted).abs().max() < 1e-5


def test_unconditional_rows_see_nothing():
    """Both halves of guidance in one pass give what two passes give, with masks and without."""
    net, reader = alive(VideoDiT(SIZES)), alive(ReferenceDiT(SIZES))
    for masks in (False, True):
        x, added, context = inputs(masks=masks)
        bank = reader(randn(5, 1, 4, 8, 8))
        with torch.inference_mode():
            both = net(torch.cat([x, x]), torch.tensor(5), net.project(bank, context), added, free=1)
        assert torch.allclose(both[1:], run(net, x, added, context, bank, 5), atol=1e-5)
        assert torch.allclose(both[:1], run(net, x, None, None, None, 5), atol=1e-5)
        whole = torch.cat([torch.zeros_like(added), added])
        with torch.inference_mode():
            again = net(torch.cat([x, x]), torch.tensor(5), net.project(bank, context), whole, free=1)
        assert torch.allclose(both, again, atol=1e-6)


def test_the_mouth_does_not_look_at_what_is_driven():
    """In a net of one block: what the driver shows reaches tokens of the mouth only without the mask."""
    config = replace(SIZES, depth=1, injected=1, temporal="none")
    net = alive(VideoDiT(config))
    x, added, context = inputs(config, masks=True)
    other = added.clone()
    other[:, :, :4, 1:3, 1:7] += 1  # the driver shows something else in the driven region
    changes = []
    for free_view in (False, True):
        pair = []
        for each in (added, other):
            each = each[:, :, : config.extra] if free_view else each
            pair.append(run(net, x, each, context))
        changes.append((pair[0] - pair[1]).abs()[0, 0].amax(0))
    masked, plain = changes
    mouth = torch.zeros(8, 8, dtype=torch.bool)
    mouth[4:8, 2:6] = True  # tokens that touch it
    assert not masked[mouth].any() and (plain[mouth] > 0).all()
    assert (masked[:4] > 0).any() and torch.equal(masked[:4] > 0, plain[:4] > 0)


def test_a_driven_region_that_is_everything_masks_nothing():
    net, (x, added, context) = alive(VideoDiT(SIZES)), inputs(masks=True)
    added[:, :, SIZES.extra + 1] = 1
    found = run(net, x, added, context)
    assert torch.isfinite(found).all() and torch.allclose(found, run(net, x, added[:, :, :4], context), atol=1e-6)


def test_saved_memory_gives_the_same_gradients():
    net, reader = alive(VideoDiT(SIZES)), alive(ReferenceDiT(SIZES))
    x, added, context = inputs(masks=True)
    found = []
    for save in (False, True):
        for each in (net, reader):
            each.zero_grad()
        bank = reader(randn(5, 1, 4, 8, 8), save_memory=save)
        net(x, torch.tensor([7]), net.project(bank, context), added, save_memory=save).square().mean().backward()
        found.append([net.proj_out.weight.grad.clone(), reader.pos_embed.proj.weight.grad.clone()])
    assert all(torch.allclose(a, b, atol=1e-7) for a, b in zip(*found))


def test_compiles_to_one_graph():
    net, (x, added, context) = alive(VideoDiT(SIZES)), inputs(masks=True)
    bank = alive(ReferenceDiT(SIZES))(randn(5, 1, 4, 8, 8))
    seen, counter = net.project(bank, context), CompileCounter()
    compiled = torch.compile(net, backend=counter, fullgraph=True)
    with torch.inference_mode():
        found = compiled(torch.cat([x, x]), torch.tensor(5), seen, added, 1, Strength(context=1.5))
        again = compiled(torch.cat([x, x]), torch.tensor(9), seen, added, 1, Strength(context=1.5))
        wanted = net(torch.cat([x, x]), torch.tensor(5), seen, added, 1, Strength(context=1.5))
    assert counter.frame_count == 1 and torch.allclose(found, wanted, atol=1e-5) and (again != found).any()


def test_temporal_grid_mixes_neighbouring_tokens_of_all_frames():
    x = randn(0, 2 * FRAMES, 8, 4, 6)
    changed = x.clone()
    changed[0, :, 0, 1] += 1  # first frame of the first video, a token of the square in the corner
    for grid, reach in ((1, 1), (2, 2)):
        net = alive(TemporalTransformer(8, 2, 8, 4, grid))
        nn.init.zeros_(net.norm.bias)
        net.norm = nn.Identity()  # its mean couples all places
        with torch.inference_mode():
            moved = (net(x, FRAMES) - net(changed, FRAMES)).abs().amax(1) > 1e-6
        assert moved[:FRAMES].any((1, 2)).all() and not moved[FRAMES:].any()
        touched = moved[1].nonzero()
        assert len(touched) == reach**2 and (touched[:, 0] < reach).all()
    with pytest.raises(ConfigError, match="does not divide by the temporal grid"):
        alive(TemporalTransformer(8, 2, 8, 4, 2))(randn(0, FRAMES, 8, 3, 4), FRAMES)


def test_nothing_is_kept_between_calls_and_driven_pictures_keep_their_frames():
    net, (x, added, context) = alive(VideoDiT(SIZES)), inputs()
    first = run(net, x, added, context)
    run(net, x + 1, added, context, time=9)
    assert torch.equal(first, run(net, x, added, context))
    encoder = DrivenEncoder(4, (3, 8, 8, 8, 8)).eval()
    pictures = torch.rand(2, FRAMES, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    whole = encoder(pictures)
    assert whole.shape == (2, FRAMES, 4, 8, 8)
    assert torch.allclose(whole[1, 2], encoder(pictures[1:, 2:])[0, 0], atol=1e-6)
