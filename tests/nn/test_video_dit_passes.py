"""The video transformer goes over its tokens no more often than it must: their order in memory, masks, guidance."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from dits import FRAMES, SIZES, alive, inputs, randn
from torch import nn
from torch.nn import functional as F

from vivant.nn.attention import Blind, attention
from vivant.nn.pixart import PixArtBlock, modulated
from vivant.nn.temporal import TemporalTransformer
from vivant.nn.transformer import Strength
from vivant.nn.video_dit import ReferenceDiT, VideoDiT


@pytest.mark.parametrize("temporal", ["plain", "grid"])
@pytest.mark.parametrize("free", [0, 1])
def test_tokens_lie_one_behind_the_other_in_all_layers(temporal, free):
    """Otherwise each norm and each linear layer copies them first, and sums go across memory."""
    sizes = replace(SIZES, temporal=temporal)
    net, reader, seen = alive(VideoDiT(sizes)), alive(ReferenceDiT(sizes)), []

    def look(layer, given):
        if isinstance(layer, (PixArtBlock, nn.LayerNorm, nn.Linear)) and given[0].ndim == 3:
            seen.append(given[0].is_contiguous())

    x, added, context = inputs(masks=True)
    with torch.inference_mode(), torch.nn.modules.module.register_module_forward_pre_hook(look):
        bank = reader(randn(5, 1, 4, 8, 8))
        net(torch.cat([x] * (1 + free)), torch.tensor(5), net.project(bank, context), added, free)
    assert len(seen) > 50 and all(seen)


def test_masks_are_none_to_the_kernel(monkeypatch):
    """A kernel that takes a mask reads it for each head, and flash attention takes none."""
    real, masks = F.scaled_dot_product_attention, []

    def seen(query, key, value, attn_mask=None, **more):
        masks.append(attn_mask)
        assert query.shape[-1] == key.shape[-1] == value.shape[-1]
        return real(query, key, value, attn_mask, **more)

    monkeypatch.setattr(F, "scaled_dot_product_attention", seen)
    net, (x, added, context) = alive(VideoDiT(SIZES)), inputs(masks=True)
    with torch.inference_mode():
        net(x, torch.tensor(5), net.project(None, context), added)
    assert masks and all(mask is None for mask in masks)


@pytest.mark.parametrize("width", [8, 12, 16])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_marks_hide_what_a_mask_hides(width, dtype):
    query, key, value = (40 * randn(seed, 2, 3, count, width).to(dtype) for seed, count in ((0, 6), (1, 9), (2, 9)))
    queries, keys = torch.rand(2, 6) < 0.5, torch.rand(2, 5) < 0.5
    blind = Blind.of(queries, keys, randn(3, 1)).beside(4)
    hidden = queries[:, :, None] & F.pad(keys, (0, 4))[:, None]
    found = blind.attention(query, key, value)
    wanted = F.scaled_dot_product_attention(query, key, value, ~hidden[:, None])
    assert found.dtype == dtype and torch.allclose(found, wanted, atol=1e-4 if dtype == torch.float32 else 0.5)
    other = torch.where(F.pad(keys, (0, 4))[:, None, :, None], -value, value)
    marked = queries[:, None, :, None].expand_as(found)
    assert torch.equal(found[marked], blind.attention(query, key, other)[marked])  # nothing comes through
    assert (~marked).any() and not torch.equal(found, blind.attention(query, key, other))
    assert torch.allclose(attention(query, key, value), Blind.of(queries & False, keys, query).beside(4).attention(
        query, key, value), atol=1e-4 if dtype == torch.float32 else 0.5)  # fmt: skip


@pytest.mark.parametrize("rows", [1, 4])
def test_modulation_is_norm_times_scale_and_shift(rows):
    norm, x = nn.LayerNorm(16, eps=1e-6, elementwise_affine=False), randn(0, 4, 5, 16)
    shift, scale = randn(1, rows, 1, 16), randn(2, rows, 1, 16)
    assert torch.allclose(modulated(norm, x, shift, scale), norm(x) * (1 + scale) + shift, atol=1e-5)


@pytest.mark.parametrize("strength", [1.5, randn(6, FRAMES, 1, 1)])
def test_guidance_gives_the_same_with_gradients_as_without(strength):
    """Without them the speech is added in place."""
    net, (x, added, context) = alive(VideoDiT(SIZES)), inputs()
    given = torch.cat([x, x]), torch.tensor(5), net.project(None, context), added, 1, Strength(context=strength)
    answer = net(*given)
    with torch.no_grad():
        assert torch.allclose(net(*given), answer, atol=1e-6)
    answer.square().mean().backward()
    assert net.transformer_blocks[0].attn2.to_q.weight.grad.any()


@pytest.mark.parametrize("grid", [1, 2])
def test_temporal_modules_do_the_same_to_tokens_as_to_maps(grid):
    net, maps = alive(TemporalTransformer(16, 2, 4, 8, grid)), randn(0, 2 * FRAMES, 16, 4, 6)
    tokens = maps.flatten(2).transpose(1, 2).contiguous()
    with torch.inference_mode():
        found, wanted = net.tokens(tokens, FRAMES, (4, 6)), net(maps, FRAMES)
    assert wanted.shape == maps.shape and torch.allclose(found, wanted.flatten(2).transpose(1, 2), atol=1e-5)
