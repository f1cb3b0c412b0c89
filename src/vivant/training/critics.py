"""Critics for adversarial terms."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm


class _Block(nn.Module):
    """Convolution 4x4, instance norm except in the first block, LeakyReLU 0.2, halving except in the last."""

    def __init__(self, inside: int, outside: int, norm: bool, halve: bool) -> None:
        super().__init__()
        self.conv = spectral_norm(nn.Conv2d(inside, outside, 4))
        self.norm = nn.InstanceNorm2d(outside, affine=True) if norm else None
        self.halve = halve

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        if self.norm is not None:
            x = self.norm(x)
        x = F.leaky_relu(x, 0.2)
        return F.avg_pool2d(x, 2) if self.halve else x


class PatchCritic(nn.Module):
    """Judges overlapping patches: blocks of ``base`` * 2, 4, 8 ... channels up to ``limit``, then one channel.

    As in the open face-vid2vid implementation (after Isola et al. 2017, arXiv:1611.07004), with spectral norm
    (Miyato et al. 2018, arXiv:1802.05957). Pictures of 64 px and more.
    """

    def __init__(self, channels: int = 3, base: int = 32, blocks: int = 4, limit: int = 512) -> None:
        super().__init__()
        widths = [channels, *(min(limit, base * 2 ** (n + 1)) for n in range(blocks))]
        self.blocks = nn.ModuleList(
            _Block(a, b, norm=n > 0, halve=n < blocks - 1) for n, (a, b) in enumerate(pairwise(widths))
        )
        self.head = spectral_norm(nn.Conv2d(widths[-1], 1, 1))

    def forward(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(B,C,H,W) in 0..1 -> answers (B,1,h,w), features of the blocks."""
        x = image * 2 - 1
        features = []
        for block in self.blocks:
            x = block(x)
            features.append(x)
        return self.head(x), features
