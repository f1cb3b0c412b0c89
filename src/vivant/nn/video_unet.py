"""The video U-Net of reference-net diffusion: Stable Diffusion's with a reference, a context and motion modules.

Axis letters: R videos, F frames, C channels, h w latent grid, T context tokens. Everything it looks at besides the
noisy latents travels as an argument; nothing is kept between calls.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn

from vivant.nn.attention import Attention
from vivant.nn.group_norm import GroupNorm
from vivant.nn.transformer import BlockContext, SpatialTransformer, Strength
from vivant.nn.unet_blocks import DownBlock, MidBlock, Pass, TimeEmbedding, UNetConfig, UpBlock

Contexts = Mapping[str, BlockContext]
"""What each spatial transformer looks at, by the path of the transformer."""


class UNet(nn.Module):
    """The modules of a U-Net; :class:`VideoUNet` and ``ReferenceUNet`` walk through them."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.widths
        self.conv_in = nn.Conv2d(config.channels, widths[0], 3, padding=1)
        self.time_embedding = TimeEmbedding(widths[0], config.embedding)
        self.down_blocks = nn.ModuleList(DownBlock(config, i) for i in range(len(widths)))
        self.mid_block = MidBlock(config)
        self.up_blocks = nn.ModuleList(UpBlock(config, i) for i in range(len(widths)))
        if "norm" in config.head:
            self.conv_norm_out = GroupNorm(config.groups, widths[0], eps=1e-5)
        if "conv" in config.head:
            self.conv_out = nn.Conv2d(widths[0], config.channels, 3, padding=1)

    def transformer(self, path: str) -> SpatialTransformer:
        """The spatial transformer at ``path``."""
        found = self.get_submodule(path)
        assert isinstance(found, SpatialTransformer)
        return found

    def context_attention(self, path: str) -> Attention:
        """The context attention of the transformer at ``path``."""
        return self.transformer(path).block.attn2


class VideoUNet(UNet):
    """Predicts noise, velocity or sample of R videos of F frames."""

    def project(
        self, reference: Mapping[str, Tensor] | None, context: Tensor | None, attributes: Tensor | None = None
    ) -> dict[str, BlockContext]:
        """Keys and values of all blocks, once for a video.

        Args:
            reference: path -> tokens (R, N, C) of the reference net; None for no reference.
            context: (R, T, context), or (R, F, T, context) with tokens of each frame; None for all zero.
            attributes: (R, T, attributes).
        """
        return {
            path: self.transformer(path).block.project(reference[path] if reference else None, context, attributes)
            for path in self.config.paths
        }

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor,
        contexts: Contexts,
        added: Tensor | None = None,
        free: int = 0,
        strength: Strength = Strength(),  # noqa: B008 - a tuple of numbers
        save_memory: bool = False,
        motion: bool = True,
    ) -> Tensor:
        """The prediction (R, F, 4, h, w).

        Args:
            sample: noisy latents (R, F, 4, h, w).
            timestep: (), (R,) or (R, F).
            contexts: of :meth:`project`, for the R - free conditional videos.
            added: features (R or R - free, F, C, h, w) of pose or V-Kps, added behind the first convolution; with
                R - free rows the unconditional videos get none.
            free: how many videos, the first ones, are unconditional.
            strength: factors on reference and context.
            save_memory: compute each layer again in the backward pass instead of keeping its activations.
            motion: False leaves the motion modules out, as where single pictures are learned.
        """
        return self.with_deep(sample, timestep, contexts, added, free, strength, None, save_memory, motion)[0]

    def with_deep(
        self,
        sample: Tensor,
        timestep: Tensor,
        contexts: Contexts,
        added: Tensor | None = None,
        free: int = 0,
        strength: Strength = Strength(),  # noqa: B008 - a tuple of numbers
        deep: Tensor | None = None,
        save_memory: bool = False,
        motion: bool = True,
    ) -> tuple[Tensor, Tensor]:
        """As :meth:`forward`, and the deep features (R F, C, h, w) that enter the last block.

        With ``deep``, those of a step before, only the first and the last level are computed: an approximation
        (DeepCache, Ma et al. 2023, arXiv:2312.00858).
        """
        rows, frames = sample.shape[:2]
        x = self.conv_in(sample.flatten(0, 1))
        if added is not None:
            some = added.flatten(0, 1)
            x = x + (some if len(some) == len(x) else F.pad(some, (0, 0) * 3 + (len(x) - len(some), 0)))
        run = Pass(self._time(timestep, rows, frames), frames, free, contexts, strength, save_memory, motion)
        skips = [x]
        if deep is None:
            deep = self._deep(x, skips, run)
        else:
            block = self.down_blocks[0]
            assert isinstance(block, DownBlock)
            for number in range(len(block.resnets)):
                x = block.layer(number, x, run)
                skips.append(x)
        x = self._up(len(self.up_blocks) - 1, deep, skips, run)
        x = self.conv_out(F.silu(self.conv_norm_out(x)))
        return x.unflatten(0, (rows, frames)), deep

    def _time(self, timestep: Tensor, rows: int, frames: int) -> Tensor:
        """The time embedding: (1, E), or (R F, E) if videos or frames differ."""
        if timestep.ndim == 0:
            return self._embedded(timestep[None])
        if timestep.ndim == 1:
            timestep = timestep[:, None].expand(rows, frames)
        return self._embedded(timestep.flatten())

    def _embedded(self, timesteps: Tensor) -> Tensor:
        found: Tensor = self.time_embedding(timesteps)
        return found

    def _deep(self, x: Tensor, skips: list[Tensor], run: Pass) -> Tensor:
        """All blocks but the last; leaves its skips in ``skips``."""
        for block in self.down_blocks:
            assert isinstance(block, DownBlock)
            x, left = block.walk(x, lambda number, h, block=block: block.layer(number, h, run))  # type: ignore[misc]
            skips += left
        x = self.mid_block(x, run)
        for number in range(len(self.up_blocks) - 1):
            x = self._up(number, x, skips, run)
        return x

    def _up(self, number: int, x: Tensor, skips: list[Tensor], run: Pass) -> Tensor:
        block = self.up_blocks[number]
        assert isinstance(block, UpBlock)
        return block.walk(x, skips, lambda layer, h: block.layer(layer, h, run))
