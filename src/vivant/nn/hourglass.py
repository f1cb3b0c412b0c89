"""Encoder-decoder on volumes with skip connections.

Axis letters: B batch, C channels, D depth, H height, W width; each of the ``levels`` halves H and W, D stays.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from vivant.nn.blocks import ConvBlock, DownBlock, UpBlock


class HourglassEncoder(nn.Module):
    """Returns the input and the output of every level, finest first."""

    def __init__(self, inputs: int, widths: list[int]) -> None:
        super().__init__()
        self.down_blocks = nn.ModuleList(
            DownBlock(before, after, dims=3) for before, after in pairwise([inputs, *widths[1:]])
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, C, D, H, W) to ``levels + 1`` volumes."""
        found = [x]
        for block in self.down_blocks:
            found.append(block(found[-1]))
        return found


class HourglassDecoder(ConvBlock):
    """Goes back up, at every level joining the encoder's volume of that size behind its own."""

    def __init__(self, inputs: int, widths: list[int]) -> None:
        super().__init__(widths[0] + inputs, widths[0] + inputs, dims=3)
        deepest = len(widths) - 2
        self.up_blocks = nn.ModuleList(
            UpBlock(widths[i + 1] * (1 if i == deepest else 2), widths[i], dims=3) for i in range(deepest, -1, -1)
        )

    def climb(self, levels: list[Tensor]) -> Tensor:
        """Volumes of the encoder, finest first, to one (B, C + inputs, D, H, W)."""
        x = levels[-1]
        for block, skip in zip(self.up_blocks, reversed(levels[:-1])):
            x = torch.cat([block(x), skip], dim=1)
        return self.forward(x)


class Hourglass(nn.Module):
    """Widths ``width * 2**i`` capped at ``max_width``; returns ``width + inputs`` channels at full size."""

    def __init__(self, inputs: int, width: int, max_width: int, levels: int) -> None:
        super().__init__()
        widths = [min(max_width, width * 2**i) for i in range(levels + 1)]
        self.encoder = HourglassEncoder(inputs, widths)
        self.decoder = HourglassDecoder(inputs, widths)
        self.channels = widths[0] + inputs

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, D, H, W) to (B, width + inputs, D, H, W)."""
        return self.decoder.climb(self.encoder(x))
