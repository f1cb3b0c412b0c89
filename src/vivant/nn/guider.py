"""The light convolutional net that turns drawings (pose, V-Kps) into features on the latent grid."""

from __future__ import annotations

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

GUIDER_WIDTHS = (16, 32, 96, 256)


class Guider(nn.Module):
    """Eight convolutions with SiLU, three of them of stride 2, the last one zero at first.

    The topology of ControlNet's condition embedding (Zhang et al. 2023), which both published methods use.

    Args:
        outputs: channels of the U-Net's first level.
        widths: channels on the way; one stride of 2 between neighbours.
        inputs: channels of the drawing.
    """

    def __init__(self, outputs: int, widths: tuple[int, ...] = GUIDER_WIDTHS, inputs: int = 3) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(inputs, widths[0], 3, padding=1)
        self.blocks = nn.ModuleList()
        for before, after in pairwise(widths):
            self.blocks.append(nn.Conv2d(before, before, 3, padding=1))
            self.blocks.append(nn.Conv2d(before, after, 3, stride=2, padding=1))
        self.conv_out = nn.Conv2d(widths[-1], outputs, 3, padding=1)
        nn.init.zeros_(self.conv_out.weight)
        if self.conv_out.bias is not None:
            nn.init.zeros_(self.conv_out.bias)

    def forward(self, drawing: Tensor) -> Tensor:
        """Drawings (R, F, 3, H, W) in 0..1 to features (R, F, C, H / 8, W / 8)."""
        x = F.silu(self.conv_in(drawing.flatten(0, 1)))
        for block in self.blocks:
            x = F.silu(block(x))
        return self.conv_out(x).unflatten(0, drawing.shape[:2])
