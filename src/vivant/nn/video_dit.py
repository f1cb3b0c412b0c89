"""The video transformer of MegActor-Sigma (arXiv:2408.14975) and its reference transformer, both after PixArt-alpha.

Axis letters: R videos, F frames, C channels, h w latent grid, N tokens, T context tokens. Everything the transformer
looks at besides the noisy latents travels as an argument; nothing is kept between calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from vivant.nn.attention import Attention, Blind
from vivant.nn.pixart import PatchEmbed, PixArtBlock, PixArtConfig, Run, TimeModulation, modulated
from vivant.nn.transformer import BlockContext, Strength

_NOTHING = BlockContext()


class VideoDiT(nn.Module):
    """Predicts noise or velocity of R videos of F frames, and the variance if the configuration says so."""

    def __init__(self, config: PixArtConfig) -> None:
        super().__init__()
        self.config = config
        self.pos_embed = PatchEmbed(config, config.channels + config.extra)
        self.adaln_single = TimeModulation(config.width)
        odd = config.temporal != "none"
        self.transformer_blocks = nn.ModuleList(
            PixArtBlock(config, config.context, temporal=odd and number % 2 == 1) for number in range(config.depth)
        )
        self.norm_out = nn.LayerNorm(config.width, eps=1e-6, elementwise_affine=False)
        self.scale_shift_table = nn.Parameter(torch.randn(2, config.width) / config.width**0.5)
        self.proj_out = nn.Linear(config.width, config.patch**2 * config.outputs)

    def context_attention(self, path: str) -> Attention:
        """The context attention of the block at ``path``."""
        block = self.get_submodule(path)
        assert isinstance(block, PixArtBlock)
        return block.attn2

    def project(
        self, reference: Mapping[str, Tensor] | None, context: Tensor | None, attributes: Tensor | None = None
    ) -> dict[str, BlockContext]:
        """Keys and values of all blocks, once for a video.

        Args:
            reference: path -> tokens (R, N, C) of the reference transformer, for the blocks that see it; or None.
            context: (R, T, context), or (R, F, T, context) with tokens of each frame; None for none.
            attributes: must be None, the transformer knows no attributes.
        """
        assert attributes is None
        rows = context if context is None or context.ndim == 3 else context.flatten(0, 1)
        found = {}
        for path, block in zip(self.config.paths, self.transformer_blocks):
            assert isinstance(block, PixArtBlock)
            tokens = None if reference is None else reference.get(path)
            found[path] = BlockContext(
                reference=None if tokens is None else block.attn1.keys_values(tokens),
                context=None if rows is None else block.attn2.keys_values(rows),
            )
        return found

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor,
        contexts: Mapping[str, BlockContext],
        added: Tensor | None = None,
        free: int = 0,
        strength: Strength = Strength(),  # noqa: B008 - a tuple of numbers
        save_memory: bool = False,
        temporal: bool = True,
        variance: bool = False,
    ) -> Tensor:
        """The prediction (R, F, channels, h, w), or twice as many channels with ``variance``.

        Args:
            sample: noisy latents (R, F, channels, h, w).
            timestep: () or (R,).
            contexts: of :meth:`project`, for the R - free conditional videos.
            added: (R or R - free, F, extra, h, w), concatenated to the latents; with R - free rows the unconditional
                videos get zeros. With two channels more, masks of the mouth and of the driven region (0 or 1): a token
                that touches the mouth does not look at tokens of its frame that touch the driven region.
            free: how many videos, the first ones, are unconditional: they see neither reference nor context nor masks.
            strength: its ``context`` multiplies what the context attention adds; a number or (R F of the conditional
                videos, 1, 1).
            save_memory: compute each block again in the backward pass instead of keeping its activations.
            temporal: run the temporal modules.
            variance: also answer the learned variance, where there is one.
        """
        config = self.config
        rows, frames = sample.shape[:2]
        extra, blind = self._split(added)
        if extra is None:
            extra = sample.new_zeros(rows, frames, config.extra, *sample.shape[3:])
        if len(extra) < rows:
            extra = torch.cat([extra.new_zeros(rows - len(extra), *extra.shape[1:]), extra])
        if blind is not None:  # unconditional videos have no masks
            blind = Blind(*(marks[len(marks) - (rows - free) * frames :] for marks in blind))
        x = self.pos_embed(torch.cat([sample, extra.to(sample.dtype)], 2).flatten(0, 1))
        six, embedding = self.adaln_single(timestep[None] if timestep.ndim == 0 else timestep)
        if len(six) > 1:
            six, embedding = (t.repeat_interleave(frames, 0) for t in (six, embedding))
        grid = (sample.shape[3] // config.patch, sample.shape[4] // config.patch)
        run = Run(six, frames, free, blind, grid, strength, temporal)
        for path, block in zip(config.paths, self.transformer_blocks):
            work = partial(block, run=run, seen=contexts.get(path, _NOTHING))
            x = checkpoint(work, x, use_reentrant=False) if save_memory and torch.is_grad_enabled() else work(x)
        answer = self._out(x, embedding, grid).unflatten(0, (rows, frames))
        return answer if variance else answer[:, :, : config.channels]

    def _split(self, added: Tensor | None) -> tuple[Tensor | None, Blind | None]:
        """The channels that are concatenated, and which of R F N tokens do not look at which of their frame."""
        extra, patch = self.config.extra, self.config.patch
        if added is None or added.shape[2] == extra:
            return added, None
        touched = F.max_pool2d(added[:, :, extra:].flatten(0, 1).float(), patch).flatten(2) > 0
        mouth, driven = touched.unbind(1)
        driven = driven & ~driven.all(1, keepdim=True)  # a token must see something
        return added[:, :, :extra], Blind.of(mouth, driven, added)

    def _out(self, x: Tensor, embedding: Tensor, grid: tuple[int, int]) -> Tensor:
        """Tokens (R F, N, C) to latents (R F, outputs, h, w)."""
        p = self.config.patch
        shift, scale = (self.scale_shift_table + embedding[:, None]).chunk(2, 1)
        x = self.proj_out(modulated(self.norm_out, x, shift, scale))
        x = x.unflatten(2, (p, p, self.config.outputs)).unflatten(1, grid)  # R F, rows, columns, p, p, outputs
        return x.permute(0, 5, 1, 3, 2, 4).reshape(len(x), self.config.outputs, grid[0] * p, grid[1] * p)


class ReferenceDiT(nn.Module):
    """Reads one picture at time 0 and gives the tokens that enter the self-attention of its last blocks.

    What comes behind the last of them is read by nobody and does not exist.
    """

    def __init__(self, config: PixArtConfig) -> None:
        super().__init__()
        self.config = config
        self.pos_embed = PatchEmbed(config, config.channels)
        self.adaln_single = TimeModulation(config.width)
        self.transformer_blocks = nn.ModuleList(
            PixArtBlock(config, tap=number == config.depth - 1) for number in range(config.depth)
        )

    def forward(self, latent: Tensor, save_memory: bool = False) -> dict[str, Tensor]:
        """Clean latents (R, channels, h, w) to tokens (R, N, C) by path of the block that reads them."""
        config, found = self.config, {}
        x = self.pos_embed(latent)
        six, _ = self.adaln_single(torch.zeros(1, device=latent.device))
        for number, (path, block) in enumerate(zip(config.paths, self.transformer_blocks)):
            assert isinstance(block, PixArtBlock)
            work = partial(block.read, six=six, last=number == config.depth - 1)
            keep = save_memory and torch.is_grad_enabled()
            x, tokens = checkpoint(work, x, use_reentrant=False) if keep else work(x)
            if path in config.seeing:
                found[path] = tokens
        return found
