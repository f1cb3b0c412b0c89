"""InceptionV3 as FID uses it (Szegedy et al. 2016; Heusel et al. 2017), with the key names of pytorch-fid's file.

It differs from the usual InceptionV3 in its average pooling, which leaves padding out of the mean, in a maximum where
the last block should average, and in 1008 classes: what the first FID's graph did, kept because every published
number was made with it. Shapes: (B, 3, H, W) in 0..1 -> (B, 2048).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SIDE = 299


class BasicConv2d(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, width_in: int, width: int, kernel: int | tuple[int, int], stride: int = 1,
                 padding: int | tuple[int, int] = 0) -> None:  # fmt: skip
        super().__init__()
        self.conv = nn.Conv2d(width_in, width, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(width, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width_in, H, W) -> (B, width, H', W')."""
        return F.relu(self.bn(self.conv(x)))


class _Block(nn.Module):
    """Branches of convolutions that run side by side; ``_branches`` names the convolutions of each.

    ``_pool``: what stands before ``branch_pool``: "mean", "max" or nothing.
    """

    _branches: Sequence[Sequence[str]] = ()
    _pool = "mean"

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H, W)."""
        found = [self._run(names, x) for names in self._branches]
        last = dict(self.named_children()).get("branch_pool")
        if last is not None:
            pooled = (
                F.avg_pool2d(x, 3, 1, 1, count_include_pad=False) if self._pool == "mean" else F.max_pool2d(x, 3, 1, 1)
            )
            found.append(last(pooled))
        return torch.cat(found, 1)

    def _run(self, names: Sequence[str], x: Tensor) -> Tensor:
        for name in names:
            parts = [self.get_submodule(part)(x) for part in name.split("+")]
            x = parts[0] if len(parts) == 1 else torch.cat(parts, 1)
        return x


class InceptionA(_Block):
    """At 35x35."""

    _branches = (("branch1x1",), ("branch5x5_1", "branch5x5_2"), ("branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"))

    def __init__(self, width_in: int, pool: int) -> None:
        super().__init__()
        self.branch1x1 = BasicConv2d(width_in, 64, 1)
        self.branch5x5_1 = BasicConv2d(width_in, 48, 1)
        self.branch5x5_2 = BasicConv2d(48, 64, 5, padding=2)
        self.branch3x3dbl_1 = BasicConv2d(width_in, 64, 1)
        self.branch3x3dbl_2 = BasicConv2d(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = BasicConv2d(96, 96, 3, padding=1)
        self.branch_pool = BasicConv2d(width_in, pool, 1)


class InceptionB(_Block):
    """From 35x35 to 17x17."""

    _branches = (("branch3x3",), ("branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"))

    def __init__(self, width_in: int) -> None:
        super().__init__()
        self.branch3x3 = BasicConv2d(width_in, 384, 3, 2)
        self.branch3x3dbl_1 = BasicConv2d(width_in, 64, 1)
        self.branch3x3dbl_2 = BasicConv2d(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = BasicConv2d(96, 96, 3, 2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C + 480, H', W')."""
        return torch.cat([super().forward(x), F.max_pool2d(x, 3, 2)], 1)


class InceptionC(_Block):
    """At 17x17, with long kernels."""

    _branches = (
        ("branch1x1",),
        ("branch7x7_1", "branch7x7_2", "branch7x7_3"),
        tuple(f"branch7x7dbl_{i}" for i in range(1, 6)),
    )

    def __init__(self, width_in: int, width: int) -> None:
        super().__init__()
        wide, high = ((1, 7), (0, 3)), ((7, 1), (3, 0))
        self.branch1x1 = BasicConv2d(width_in, 192, 1)
        self.branch7x7_1 = BasicConv2d(width_in, width, 1)
        self.branch7x7_2 = BasicConv2d(width, width, wide[0], padding=wide[1])
        self.branch7x7_3 = BasicConv2d(width, 192, high[0], padding=high[1])
        self.branch7x7dbl_1 = BasicConv2d(width_in, width, 1)
        self.branch7x7dbl_2 = BasicConv2d(width, width, high[0], padding=high[1])
        self.branch7x7dbl_3 = BasicConv2d(width, width, wide[0], padding=wide[1])
        self.branch7x7dbl_4 = BasicConv2d(width, width, high[0], padding=high[1])
        self.branch7x7dbl_5 = BasicConv2d(width, 192, wide[0], padding=wide[1])
        self.branch_pool = BasicConv2d(width_in, 192, 1)


class InceptionD(_Block):
    """From 17x17 to 8x8."""

    _branches = (("branch3x3_1", "branch3x3_2"), tuple(f"branch7x7x3_{i}" for i in range(1, 5)))

    def __init__(self, width_in: int) -> None:
        super().__init__()
        self.branch3x3_1 = BasicConv2d(width_in, 192, 1)
        self.branch3x3_2 = BasicConv2d(192, 320, 3, 2)
        self.branch7x7x3_1 = BasicConv2d(width_in, 192, 1)
        self.branch7x7x3_2 = BasicConv2d(192, 192, (1, 7), padding=(0, 3))
        self.branch7x7x3_3 = BasicConv2d(192, 192, (7, 1), padding=(3, 0))
        self.branch7x7x3_4 = BasicConv2d(192, 192, 3, 2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C + 512, H', W')."""
        return torch.cat([super().forward(x), F.max_pool2d(x, 3, 2)], 1)


class InceptionE(_Block):
    """At 8x8, with branches that part again."""

    _branches = (
        ("branch1x1",),
        ("branch3x3_1", "branch3x3_2a+branch3x3_2b"),
        ("branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3a+branch3x3dbl_3b"),
    )

    def __init__(self, width_in: int, pool: str) -> None:
        super().__init__()
        self._pool = pool
        self.branch1x1 = BasicConv2d(width_in, 320, 1)
        self.branch3x3_1 = BasicConv2d(width_in, 384, 1)
        self.branch3x3_2a = BasicConv2d(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3_2b = BasicConv2d(384, 384, (3, 1), padding=(1, 0))
        self.branch3x3dbl_1 = BasicConv2d(width_in, 448, 1)
        self.branch3x3dbl_2 = BasicConv2d(448, 384, 3, padding=1)
        self.branch3x3dbl_3a = BasicConv2d(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3dbl_3b = BasicConv2d(384, 384, (3, 1), padding=(1, 0))
        self.branch_pool = BasicConv2d(width_in, 192, 1)


class InceptionV3(nn.Module):
    """The net of FID with random weights."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = BasicConv2d(3, 32, 3, 2)
        self.Conv2d_2a_3x3 = BasicConv2d(32, 32, 3)
        self.Conv2d_2b_3x3 = BasicConv2d(32, 64, 3, padding=1)
        self.Conv2d_3b_1x1 = BasicConv2d(64, 80, 1)
        self.Conv2d_4a_3x3 = BasicConv2d(80, 192, 3)
        self.Mixed_5b = InceptionA(192, 32)
        self.Mixed_5c = InceptionA(256, 64)
        self.Mixed_5d = InceptionA(288, 64)
        self.Mixed_6a = InceptionB(288)
        for name, width in (("b", 128), ("c", 160), ("d", 160), ("e", 192)):
            self.add_module(f"Mixed_6{name}", InceptionC(768, width))
        self.Mixed_7a = InceptionD(768)
        self.Mixed_7b = InceptionE(1280, "mean")
        self.Mixed_7c = InceptionE(2048, "max")
        self.fc = nn.Linear(2048, 1008)  # of the file; FID does not use it

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) in 0..1 -> (B, 2048) pooled features; pictures are scaled to 299x299 (bilinear)."""
        x = F.interpolate(image, (SIDE, SIDE), mode="bilinear", align_corners=False) * 2 - 1
        for name, layer in self.named_children():
            if name in ("Conv2d_3b_1x1", "Mixed_5b"):
                x = F.max_pool2d(x, 3, 2)
            if name != "fc":
                x = layer(x)
        return x.mean((2, 3))
