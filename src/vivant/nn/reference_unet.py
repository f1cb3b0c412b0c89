"""The reference net: a U-Net that reads one picture and gives tokens of every transformer block.

Axis letters: R pictures, C channels, h w latent grid, N = h w tokens. What comes after the last tapped tokens belongs
to the published files, but nobody reads it, so it is not computed.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vivant.nn.transformer import Tap
from vivant.nn.unet_blocks import DownBlock, Reading, UNetConfig, UpBlock
from vivant.nn.video_unet import UNet


class ReferenceUNet(UNet):
    """Gives the normed tokens before self-attention ("norm1", Animate Anyone) or before the context attention
    ("norm2", V-Express) of each spatial transformer."""

    def __init__(self, config: UNetConfig, tap: Tap) -> None:
        super().__init__(config)
        self.tap = tap

    def forward(self, latent: Tensor, context: Tensor | None = None) -> dict[str, Tensor]:
        """Tokens (R, N, C) by path of the transformer.

        Args:
            latent: clean latent (R, 4, h, w); the timestep is 0.
            context: one token (R, 1, context), None for a zero one.
        """
        config = self.config
        zero = torch.zeros(1, device=latent.device)
        time = self.time_embedding(zero)
        vectors = {path: self._vector(path, context) for path in config.paths}
        run = Reading(time, self.tap, vectors, {}, config.paths[-1])
        x = self.conv_in(latent)
        skips = [x]
        for block in self.down_blocks:
            assert isinstance(block, DownBlock)
            x, left = block.walk(x, lambda number, h, block=block: block.read(number, h, run))  # type: ignore[misc]
            skips += left
        x = self.mid_block.read_all(x, run)
        for block in self.up_blocks:
            assert isinstance(block, UpBlock)
            x = block.walk(x, skips, lambda number, h, block=block: block.read(number, h, run))  # type: ignore[misc]
        return run.found

    def _vector(self, path: str, context: Tensor | None) -> Tensor:
        attention = self.transformer(path).block.attn2
        return attention.bias if context is None else attention.single(context)
