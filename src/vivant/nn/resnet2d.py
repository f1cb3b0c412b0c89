"""Residual, resizing and attention blocks of latent diffusion nets, with the key names of published files.

Axis letters: B batch, C channels, H W height and width of a map, N tokens, E width of a time embedding.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vivant.nn.group_norm import GroupNorm


class ResBlock2d(nn.Module):
    """Group norm, SiLU, convolution, plus the time if there is one, the same again, plus the input.

    Keys: ``norm1``, ``conv1``, ``time_emb_proj`` (if ``time``, the width E), ``norm2``, ``conv2``, ``conv_shortcut``
    (if the channels change).
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        time: int | None = None,
        groups: int = 32,
        eps: float = 1e-6,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.norm1 = GroupNorm(groups, inputs, eps)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        if time is not None:
            self.time_emb_proj = nn.Linear(time, outputs)
        self.norm2 = GroupNorm(groups, outputs, eps)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        if inputs != outputs:
            self.conv_shortcut = nn.Conv2d(inputs, outputs, 1)
        self.timed, self.widens = time is not None, inputs != outputs

    def forward(self, x: Tensor, time: Tensor | None = None) -> Tensor:
        """x (B, Cin, H, W) and the embedding ``time`` (B, E) to (B, Cout, H, W)."""
        y = self.conv1(F.silu(self.norm1(x)))
        if self.timed:
            assert time is not None
            y = y + self.time_emb_proj(F.silu(time))[:, :, None, None]
        y = self.conv2(self.dropout(F.silu(self.norm2(y))))
        return (self.conv_shortcut(x) if self.widens else x) + y


class Downsample2d(nn.Module):
    """A convolution of stride 2. ``centred``: padded by one on all sides, as U-Nets have it; else only right and below,
    as autoencoders do."""

    def __init__(self, channels: int, centred: bool = True) -> None:
        super().__init__()
        self.centred = centred
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=1 if centred else 0)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to half the height and width."""
        return self.conv(x if self.centred else F.pad(x, (0, 1, 0, 1)))


class Upsample2d(nn.Module):
    """Nearest neighbours twice as large, or to a given size, then a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        """(B, C, H, W) to (B, C, 2H, 2W), or to the height and width of ``size``."""
        factor = None if size is not None else 2.0
        return self.conv(F.interpolate(x, size=size, scale_factor=factor, mode="nearest"))


class MapAttention(nn.Module):
    """Self-attention of all places of a map, one head, plus the input.

    Keys: ``group_norm``, ``to_q``, ``to_k``, ``to_v``, ``to_out.0``, all with biases.
    """

    def __init__(self, channels: int, groups: int = 32, eps: float = 1e-6) -> None:
        super().__init__()
        self.group_norm = GroupNorm(groups, channels, eps)
        self.to_q, self.to_k, self.to_v = (nn.Linear(channels, channels) for _ in range(3))
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        tokens = self.group_norm(x).flatten(2).transpose(1, 2)[:, None]
        q, k, v = self.to_q(tokens), self.to_k(tokens), self.to_v(tokens)
        seen = self.to_out[0](F.scaled_dot_product_attention(q, k, v)[:, 0])
        return x + seen.transpose(1, 2).reshape(x.shape)


def sinusoid(t: Tensor, width: int, period: float = 10_000.0) -> Tensor:
    """Times (B,) to (B, width) float32: cosines, then sines, of frequencies falling from 1 towards 1 / period.

    The time embedding of Stable Diffusion's U-Net (Vaswani et al. 2017, cosine half first).
    """
    half = width // 2
    rates = torch.exp(torch.arange(half, device=t.device, dtype=torch.float32) * (-math.log(period) / half))
    angles = t.float()[:, None] * rates
    return torch.cat([angles.cos(), angles.sin()], 1)
