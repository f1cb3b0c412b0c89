"""Convolution blocks in two and three dimensions, each written once.

Axis letters: B batch, C channels, D depth, H height, W width. ``dims`` picks (B, C, H, W) or (B, C, D, H, W)
maps. The depth axis is never pooled or upsampled.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_CONV: dict[int, type[nn.Conv2d] | type[nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
_NORM: dict[int, type[nn.BatchNorm2d] | type[nn.BatchNorm3d]] = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
_PLANE: dict[int, tuple[int, ...]] = {2: (2, 2), 3: (1, 2, 2)}


class ConvBlock(nn.Module):
    """Convolution, batch norm, ReLU; the size stays. ``slope`` > 0 makes the activation a leaky one."""

    folds = (("conv", "norm"),)

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, dims: int = 2, slope: float = 0.0) -> None:
        super().__init__()
        self.conv = _CONV[dims](inputs, outputs, kernel, padding=kernel // 2)
        self.norm = _NORM[dims](outputs)
        self.slope = slope
        self.dims = dims

    def forward(self, x: Tensor) -> Tensor:
        """(B, Cin, ..., H, W) to (B, Cout, ..., H, W)."""
        x = self.norm(self.conv(x))
        return F.leaky_relu(x, self.slope) if self.slope else F.relu(x)


class DownBlock(ConvBlock):
    """A :class:`ConvBlock`, then average pooling that halves H and W."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, Cin, ..., H, W) to (B, Cout, ..., H/2, W/2)."""
        x = super().forward(x)
        return F.avg_pool2d(x.flatten(1, -3), 2).unflatten(1, x.shape[1:-2])


class UpBlock(ConvBlock):
    """Nearest upsampling that doubles H and W, then a :class:`ConvBlock`."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, Cin, ..., H, W) to (B, Cout, ..., 2H, 2W)."""
        scale = tuple(float(step) for step in _PLANE[self.dims])
        return super().forward(F.interpolate(x, scale_factor=scale, mode="nearest"))


class ResBlock3d(nn.Module):
    """Pre-activation residual block on volumes: x + conv(ReLU(norm(conv(ReLU(norm(x))))))."""

    folds = (("conv1", "norm2"),)

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv3d(channels, channels, 3, padding=1)
        self.norm1 = nn.BatchNorm3d(channels)
        self.norm2 = nn.BatchNorm3d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, D, H, W) to the same shape."""
        y = self.conv1(F.relu(self.norm1(x)))
        return x + self.conv2(F.relu(self.norm2(y)))


def volume_to_map(volume: Tensor) -> Tensor:
    """(B, C, D, H, W) to (B, C*D, H, W), the channel index being c*D + d."""
    return volume.flatten(1, 2)


def map_to_volume(x: Tensor, depth: int) -> Tensor:
    """(B, C*D, H, W) to (B, C, D, H, W), the inverse of :func:`volume_to_map`."""
    return x.unflatten(1, (-1, depth))


def coordinate_grid(size: tuple[int, int, int], like: Tensor) -> Tensor:
    """Grid (D, H, W, 3) of coordinates x, y, z, each from -1 to 1 with its ends on the outermost voxels."""
    axes = [torch.linspace(-1, 1, n, device=like.device, dtype=like.dtype) for n in size]
    return torch.stack(torch.meshgrid(*axes, indexing="ij")[::-1], dim=-1)
