"""Blocks of the diffusion transformer PixArt-alpha (arXiv:2310.00426) with diffusers' key names, made for video.

Axis letters: R videos, F frames, C channels, h w latent grid, N = h w / patch^2 tokens, T context tokens. Frames are
folded into the rows, (R F). One embedding of the time gives shift, scale and gate of all blocks (adaLN-single, section
2.3); each block adds a table of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vivant.nn.attention import Attention, Blind, FeedForward
from vivant.nn.temporal import TemporalTransformer
from vivant.nn.transformer import BlockContext, Strength, add_behind, attend_with_reference
from vivant.nn.unet_blocks import TimeEmbedding

_TIME_CODE = 256


@dataclass(frozen=True)
class PixArtConfig:
    """Sizes of the transformer; the defaults are those of PixArt-alpha at 512 px with MegActor-Sigma's additions.

    ``channels``: of a latent. ``extra``: further channels that are concatenated to the noisy latent. ``side``: of the
    latents that positions are told for. ``context``: channels of the context tokens, 0 without context attention.
    ``variance``: the net also learns the variance. ``injected``: how many blocks, the last ones, see the reference.
    ``temporal``: temporal modules in odd blocks, each token alone ("plain") or 2 x 2 together ("grid"). ``groups``,
    ``positions``: of the temporal modules' group norm, and the longest window.
    """

    channels: int = 4
    extra: int = 4
    width: int = 1152
    heads: int = 16
    depth: int = 28
    patch: int = 2
    side: int = 64
    context: int = 384
    variance: bool = True
    injected: int = 16
    temporal: Literal["none", "plain", "grid"] = "grid"
    temporal_heads: int = 8
    groups: int = 32
    positions: int = 32

    @property
    def paths(self) -> tuple[str, ...]:
        """Names of all blocks in the order in which they run."""
        return tuple(f"transformer_blocks.{number}" for number in range(self.depth))

    @property
    def seeing(self) -> tuple[str, ...]:
        """Names of the blocks that see the reference."""
        return self.paths[self.depth - self.injected :]

    @property
    def outputs(self) -> int:
        """Channels that the net answers."""
        return self.channels * (2 if self.variance else 1)


class PatchEmbed(nn.Module):
    """Patches of latents as tokens; channels beyond the latent's own count for nothing at first."""

    def __init__(self, config: PixArtConfig, inputs: int) -> None:
        super().__init__()
        self.config = config
        self.proj = nn.Conv2d(inputs, config.width, config.patch, config.patch)
        with torch.no_grad():
            self.proj.weight[:, config.channels :] = 0

    def forward(self, x: Tensor) -> Tensor:
        """x (R, channels + extra, h, w) to tokens (R, N, C) with their positions added."""
        config = self.config
        tokens = self.proj(x)
        codes = position_codes(tokens.shape[2], tokens.shape[3], config.width, config.side, config.patch, tokens.device)
        # The first summand decides in which order the sum lies in memory. Tokens that lay channel by channel, as the
        # convolution leaves them, would stay so in all blocks: each norm and linear layer would have to copy them.
        return codes.to(tokens.dtype) + tokens.flatten(2).transpose(1, 2)


def position_codes(height: int, width: int, channels: int, side: int, patch: int, device: torch.device) -> Tensor:
    """Fixed sine-cosine codes (height width, C) of a token grid: half of C for the column, then half for the row.

    Positions are stretched to the grid of latents of ``side``, and above 64 divided by ``side`` // 64, as PixArt was
    trained at several sizes.
    """
    base, shrink = side // patch, max(side // 64, 1)
    rates = torch.arange(channels // 4, device=device, dtype=torch.float32) / (channels // 4)
    rates = torch.exp(rates * -9.210340371976184)  # 10000 ** -rates

    def along(count: int) -> Tensor:
        places = torch.arange(count, device=device, dtype=torch.float32) * (base / count / shrink)
        angles = places[:, None] * rates
        return torch.cat([angles.sin(), angles.cos()], 1)

    rows, columns = along(height), along(width)
    both = [columns[None].expand(height, -1, -1), rows[:, None].expand(-1, width, -1)]
    return torch.cat(both, 2).flatten(0, 1)


class _Embedder(nn.Module):
    """The extra level of names is that of published files."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.timestep_embedder = TimeEmbedding(_TIME_CODE, width)


class TimeModulation(nn.Module):
    """adaLN-single: the embedding of the time, and six vectors of it for all blocks."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.emb = _Embedder(width)
        self.linear = nn.Linear(width, 6 * width)

    def forward(self, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        """Timesteps (R,) to (R, 6, C) and the embedding (R, C)."""
        embedding = self.emb.timestep_embedder(timesteps)
        return self.linear(F.silu(embedding)).unflatten(1, (6, -1)), embedding


class Run(NamedTuple):
    """What all blocks of one pass share. ``six``: of :class:`TimeModulation`, (1 or R F, 6, C). ``frames``: F.
    ``free``: number of unconditional videos, the first ones. ``blind`` (R F of the others): tokens that do not look
    at some of their frame. ``grid``: token grid. ``temporal``: temporal modules run."""

    six: Tensor
    frames: int
    free: int
    blind: Blind | None
    grid: tuple[int, int]
    strength: Strength
    temporal: bool = True


class PixArtBlock(nn.Module):
    """Gated self-attention, temporal module, context attention without norm and gate, gated feed-forward.

    ``context``: channels of context tokens, 0 for no such attention. ``temporal``: with a temporal module. ``tap``:
    only what gives the tokens that another net reads: norm and table.
    """

    def __init__(self, config: PixArtConfig, context: int = 0, temporal: bool = False, tap: bool = False) -> None:
        super().__init__()
        width = config.width
        self.scale_shift_table = nn.Parameter(torch.randn(6, width) / width**0.5)
        self.norm1 = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        if tap:
            return
        self.attn1 = Attention(width, heads=config.heads, bias=True)
        self.temporal = (
            TemporalTransformer(
                width, config.temporal_heads, config.groups, config.positions, 2 if config.temporal == "grid" else 1
            )
            if temporal
            else None
        )
        if context:
            self.attn2 = Attention(width, context, config.heads, bias=True)
        self.norm2 = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.ff = FeedForward(width, gated=False)

    def modulation(self, six: Tensor) -> tuple[Tensor, ...]:
        """Shift, scale, gate of the attention, then of the feed-forward, each (R, 1, C), from (R, 6, C)."""
        return (self.scale_shift_table + six).chunk(6, 1)

    def forward(self, x: Tensor, run: Run, seen: BlockContext) -> Tensor:
        """x (R F, N, C) to the same shape."""
        shift, scale, gate, ff_shift, ff_scale, ff_gate = self.modulation(run.six)
        skip = run.free * run.frames
        h = modulated(self.norm1, x, shift, scale)
        x = torch.addcmul(x, gate, attend_with_reference(self.attn1, h, skip, seen, run.blind))
        if self.temporal is not None and run.temporal:
            x = self.temporal.tokens(x, run.frames, run.grid)
        if seen.context is not None:
            found = self.attn2.project(self.attn2.attend(x[skip:], seen.context))
            x = _add_in_place(x, found, skip, run.strength.context)
        return torch.addcmul(x, ff_gate, self.ff(modulated(self.norm2, x, ff_shift, ff_scale)))

    def read(self, x: Tensor, six: Tensor, last: bool) -> tuple[Tensor, Tensor]:
        """A block of the reference transformer: (x after the block, the modulated tokens that enter its attention).

        After the ``last`` one nothing is needed any more, so x is returned as it stands.
        """
        shift, scale, gate, ff_shift, ff_scale, ff_gate = self.modulation(six)
        h = modulated(self.norm1, x, shift, scale)
        if last:
            return x, h
        x = torch.addcmul(x, gate, self.attn1(h))
        return torch.addcmul(x, ff_gate, self.ff(modulated(self.norm2, x, ff_shift, ff_scale))), h


def modulated(norm: nn.LayerNorm, x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """norm(x) * (1 + scale) + shift of x (R, N, C) and (1 or R, 1, C), with as few passes over x as torch allows.

    One shift and scale for all rows are what a layer norm calls bias and weight.
    """
    if len(scale) == 1:
        return F.layer_norm(x, norm.normalized_shape, (1 + scale).flatten(), shift.flatten(), norm.eps)
    return torch.addcmul(shift, norm(x), 1 + scale)


def _add_in_place(x: Tensor, found: Tensor, skip: int, strength: float | Tensor) -> Tensor:
    """x, which nobody else needs any more, with strength * found added to the rows from ``skip`` on."""
    if not skip or torch.is_grad_enabled():  # the rows were a layer's input, which its backward pass asks for
        return add_behind(x, found, None, skip, strength)
    behind = x[skip:]
    if isinstance(strength, Tensor):
        behind.addcmul_(found, strength)
    else:
        behind.add_(found, alpha=strength)
    return x
