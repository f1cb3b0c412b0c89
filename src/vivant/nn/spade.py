"""Spatially adaptive normalisation (SPADE, Park et al., 2019, arXiv 1903.07291).

Axis letters: B batch, C channels, H height, W width. ``condition`` is the map that modulates, at any size.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from vivant.nn.spectral import SpectralConv2d

SLOPE = 0.2


class Spade(nn.Module):
    """Instance norm whose gain and shift are computed, pixel by pixel, from the condition."""

    def __init__(self, channels: int, condition: int, hidden: int) -> None:
        super().__init__()
        self.mlp_shared = nn.Sequential(nn.Conv2d(condition, hidden, 3, padding=1), nn.ReLU())
        self.mlp_gamma = nn.Conv2d(hidden, channels, 3, padding=1)
        self.mlp_beta = nn.Conv2d(hidden, channels, 3, padding=1)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """x (B, C, H, W), condition (B, M, h, w) to (B, C, H, W)."""
        hidden = self.mlp_shared(F.interpolate(condition, size=x.shape[2:], mode="nearest"))
        return F.instance_norm(x) * (1 + self.mlp_gamma(hidden)) + self.mlp_beta(hidden)


class SpadeResBlock(nn.Module):
    """Two (SPADE, leaky ReLU, spectral 3x3 convolution) steps beside a shortcut.

    Where the width changes the shortcut is SPADE and a spectral 1x1 convolution, else the identity.
    """

    def __init__(self, inputs: int, outputs: int, condition: int, hidden: int) -> None:
        super().__init__()
        middle = min(inputs, outputs)
        self.conv_0 = SpectralConv2d(inputs, middle, 3)
        self.conv_1 = SpectralConv2d(middle, outputs, 3)
        self.norm_0 = Spade(inputs, condition, hidden)
        self.norm_1 = Spade(middle, condition, hidden)
        self.learned_shortcut = inputs != outputs
        if self.learned_shortcut:
            self.conv_s = SpectralConv2d(inputs, outputs, 1, bias=False)
            self.norm_s = Spade(inputs, condition, hidden)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """x (B, Cin, H, W), condition (B, M, h, w) to (B, Cout, H, W)."""
        shortcut = self.conv_s(self.norm_s(x, condition)) if self.learned_shortcut else x
        y = self.conv_0(F.leaky_relu(self.norm_0(x, condition), SLOPE))
        y = self.conv_1(F.leaky_relu(self.norm_1(y, condition), SLOPE))
        return shortcut + y
