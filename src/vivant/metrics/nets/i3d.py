"""I3D (Carreira and Zisserman, "Quo Vadis, Action Recognition?", CVPR 2017) as FVD uses it, with the key names of
pytorch-i3d's files (``rgb_imagenet.pt``, ``i3d_pretrained_400.pt``).

Shapes: (B, 3, F, 224, 224) in -1..1 -> (B, 400) logits, averaged over time. 16 frames or more, as FVD wants them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SIDE = 224
WINDOW = 16
_MIXED = {  # widths: 1x1; 1x1 and 3x3; 1x1 and 3x3; 1x1 after pooling
    "Mixed_3b": (192, (64, 96, 128, 16, 32, 32)),
    "Mixed_3c": (256, (128, 128, 192, 32, 96, 64)),
    "Mixed_4b": (480, (192, 96, 208, 16, 48, 64)),
    "Mixed_4c": (512, (160, 112, 224, 24, 64, 64)),
    "Mixed_4d": (512, (128, 128, 256, 24, 64, 64)),
    "Mixed_4e": (512, (112, 144, 288, 32, 64, 64)),
    "Mixed_4f": (528, (256, 160, 320, 32, 128, 128)),
    "Mixed_5b": (832, (256, 160, 320, 32, 128, 128)),
    "Mixed_5c": (832, (384, 192, 384, 48, 128, 128)),
}
_POOLS = {  # (kernel, stride) of the pooling before a layer
    "Conv3d_2b_1x1": ((1, 3, 3), (1, 2, 2)),
    "Mixed_3b": ((1, 3, 3), (1, 2, 2)),
    "Mixed_4b": ((3, 3, 3), (2, 2, 2)),
    "Mixed_5b": ((2, 2, 2), (2, 2, 2)),
}


def same_padding(x: Tensor, kernel: tuple[int, int, int], stride: tuple[int, int, int]) -> Tensor:
    """Zeros around (B, C, F, H, W) so that the output has ceil(size / stride) places, the larger half at the end."""
    pads: list[int] = []
    for size, k, s in zip(reversed(x.shape[2:]), reversed(kernel), reversed(stride)):
        total = max(k - (s if size % s == 0 else size % s), 0)
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads)


class Unit3D(nn.Module):
    """Convolution with that padding, batch norm and ReLU; the last one of the net has neither."""

    def __init__(self, width_in: int, width: int, kernel: int = 1, stride: int = 1, last: bool = False) -> None:
        super().__init__()
        self.kernel, self.stride = (kernel,) * 3, (stride,) * 3
        self.conv3d = nn.Conv3d(width_in, width, kernel, stride, bias=last)
        if not last:
            self.bn = nn.BatchNorm3d(width, eps=0.001, momentum=0.01)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width_in, F, H, W) -> (B, width, F', H', W')."""
        x = self.conv3d(same_padding(x, self.kernel, self.stride))
        return F.relu(self.bn(x)) if hasattr(self, "bn") else x


class InceptionModule(nn.Module):
    """Four branches side by side."""

    def __init__(self, width_in: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.b0 = Unit3D(width_in, widths[0])
        self.b1a, self.b1b = Unit3D(width_in, widths[1]), Unit3D(widths[1], widths[2], 3)
        self.b2a, self.b2b = Unit3D(width_in, widths[3]), Unit3D(widths[3], widths[4], 3)
        self.b3b = Unit3D(width_in, widths[5])

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, F, H, W) -> (B, C', F, H, W)."""
        pooled = F.max_pool3d(same_padding(x, (3, 3, 3), (1, 1, 1)), 3, 1)
        return torch.cat([self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(pooled)], 1)


class I3D(nn.Module):
    """The net with random weights."""

    def __init__(self, classes: int = 400) -> None:
        super().__init__()
        self.Conv3d_1a_7x7 = Unit3D(3, 64, 7, 2)
        self.Conv3d_2b_1x1 = Unit3D(64, 64)
        self.Conv3d_2c_3x3 = Unit3D(64, 192, 3)
        for name, (width_in, widths) in _MIXED.items():
            self.add_module(name, InceptionModule(width_in, widths))
        self.logits = Unit3D(1024, classes, last=True)

    def forward(self, clip: Tensor) -> Tensor:
        """(B, 3, F, 224, 224) in -1..1 -> (B, 400)."""
        x = clip
        for name, layer in self.named_children():
            if name in _POOLS:
                kernel, stride = _POOLS[name]
                x = F.max_pool3d(same_padding(x, kernel, stride), kernel, stride)
            if name != "logits":
                x = layer(x)
        x = F.avg_pool3d(x, (2, 7, 7), 1)
        return self.logits(x)[..., 0, 0].mean(2)
