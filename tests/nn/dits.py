"""Small video transformers and their inputs for tests."""

from __future__ import annotations

import torch
from torch import nn
from waking import wake

from vivant.nn.pixart import PixArtConfig
from vivant.nn.video_dit import VideoDiT

SIZES = PixArtConfig(
    width=32, heads=2, depth=4, side=8, context=12, injected=2, temporal_heads=2, groups=4, positions=8
)
FRAMES = 3


def randn(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def alive(net, seed=0):
    """Everything that starts at zero gets numbers, so that every path shows."""
    torch.manual_seed(seed)
    wake(net)
    if isinstance(net, VideoDiT):
        nn.init.normal_(net.pos_embed.proj.weight, std=0.2)
    return net.eval()


def inputs(config=SIZES, rows=1, masks=False):
    side, extra = config.side, config.extra
    added = randn(1, rows, FRAMES, extra + 2 * masks, side, side)
    if masks:
        added[:, :, extra:] = 0
        added[:, :, extra, 5:7, 2:6] = 1  # mouth
        added[:, :, extra + 1, 1:3, 1:7] = 1  # driven
    return randn(0, rows, FRAMES, config.channels, side, side), added, randn(2, rows, FRAMES, 5, config.context)
