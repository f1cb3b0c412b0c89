"""Blocks that several of the lite nets use."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

Features = dict[str, Tensor]


def conv(c_in: int, c_out: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(c_out), nn.ReLU()
    )


def zero_bias(layer: nn.Conv2d | nn.Linear) -> None:
    """Start a layer's bias at zero."""
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)


class ResidualBlock3d(nn.Module):
    """Pre-activation residual block on a volume (B, C, D, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm3d(channels), nn.BatchNorm3d(channels)
        self.conv1, self.conv2 = (
            nn.Conv3d(channels, channels, 3, 1, 1),
            nn.Conv3d(channels, channels, 3, 1, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Shape kept."""
        return x + self.conv2(F.relu(self.norm2(self.conv1(F.relu(self.norm1(x))))))
