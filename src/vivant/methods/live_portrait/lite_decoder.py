"""G of the lite preset: a light SPADE decoder over warped features.

Axis letters: B batch, K keypoints, C channels, D depth. Grids: 32 (volume), 64 (masks), 128 (flow), 256 (picture).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vivant.methods.live_portrait.config import LiteConfig
from vivant.methods.live_portrait.lite_blocks import Features, conv, zero_bias
from vivant.nn.geometry import sample_2d


class SpadeBlock(nn.Module):
    """Residual block whose batch norms are scaled and shifted by a 1x1 convolution of a map (arXiv 1903.07291)."""

    def __init__(self, channels: int, map_channels: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = (nn.BatchNorm2d(channels, affine=False) for _ in range(2))
        self.modulation = nn.Conv2d(map_channels, 4 * channels, 1)
        self.conv1, self.conv2 = (nn.Conv2d(channels, channels, 3, 1, 1) for _ in range(2))
        nn.init.normal_(self.modulation.weight, 0, 0.02)
        zero_bias(self.modulation)

    def forward(self, x: Tensor, map_: Tensor) -> Tensor:
        """x (B, C, H, W), map (B, M, H, W) -> (B, C, H, W)."""
        gamma1, beta1, gamma2, beta2 = self.modulation(map_).chunk(4, 1)
        h = self.conv1(F.leaky_relu(self.norm1(x) * (1 + gamma1) + beta1, 0.2))
        return x + self.conv2(F.leaky_relu(self.norm2(h) * (1 + gamma2) + beta2, 0.2))


class SpadeGenerator(nn.Module):
    """G: warped features -> picture. Output = alpha * warped source + (1 - alpha) * painted."""

    def __init__(self, config: LiteConfig) -> None:
        super().__init__()
        g32, g64, g128 = config.generator_widths
        n32, n64, n128 = config.generator_blocks
        _, c2, c3 = config.feature_widths
        hidden = config.warp_widths[0]
        self.first = conv(config.volume_channels * config.volume_depth, g32)
        self.blocks32 = nn.ModuleList([SpadeBlock(g32, g32) for _ in range(n32)])
        self.up64 = nn.Conv2d(g32, 4 * g64, 1)
        self.blocks64 = nn.ModuleList([SpadeBlock(g64, c3 + hidden) for _ in range(n64)])
        self.up128 = nn.Conv2d(g64, 4 * g128, 1)
        self.blocks128 = nn.ModuleList([SpadeBlock(g128, c2 + hidden + 24) for _ in range(n128)])
        self.to_rgba = nn.Conv2d(g128 + 12, 16, 3, 1, 1)
        zero_bias(self.to_rgba)

    def forward(self, warped: Features) -> Tensor:
        """What W returns under "out" -> (B, 3, 256, 256) in 0..1."""
        return self.compose(warped)["image"]

    def compose(self, warped: Features) -> Features:
        """The parts that training looks at: image, warped source, alpha, painted."""
        flow, occlusion = warped["flow"], warped["occlusion"]
        map64, map128 = self._maps(warped, flow, occlusion)
        h = self.first(self._volume(warped))
        map32 = h
        for block in self.blocks32:
            h = block(h, map32)
        h = F.pixel_shuffle(self.up64(h), 2)
        for block in self.blocks64:
            h = block(h, map64)
        h = F.pixel_shuffle(self.up128(h), 2)
        for block in self.blocks128:
            h = block(h, map128)
        fine = F.interpolate(flow.permute(0, 3, 1, 2), scale_factor=2.0, mode="bilinear").permute(0, 2, 3, 1)
        copied = sample_2d(_match(warped["image"], flow), fine)
        rgba = self.to_rgba(torch.cat([F.leaky_relu(h, 0.2), F.pixel_unshuffle(copied, 2).to(h.dtype)], 1))
        rgba = torch.sigmoid(F.pixel_shuffle(rgba, 2).float())
        painted, alpha = rgba[:, :3], rgba[:, 3:]
        image = alpha * copied.float() + (1 - alpha) * painted
        return {"image": image, "copied": copied, "alpha": alpha, "painted": painted}

    @staticmethod
    def _volume(warped: Features) -> Tensor:
        volume = _match(warped["volume"], warped["flow"])
        read = F.grid_sample(volume.float(), warped["flow3d"].float(), padding_mode="border", align_corners=False)
        return read.flatten(1, 2).to(volume.dtype) * warped["occlusion3d"]

    @staticmethod
    def _maps(warped: Features, flow: Tensor, occlusion: Tensor) -> tuple[Tensor, Tensor]:
        flow64 = F.avg_pool2d(flow.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)
        hidden = warped["hidden"]
        skip64 = sample_2d(_match(warped["skip64"], flow), flow64) * occlusion[:, :1]
        occlusion128 = F.interpolate(occlusion[:, 1:], scale_factor=2.0, mode="bilinear")
        skip128 = sample_2d(_match(warped["skip128"], flow), flow) * occlusion128
        hidden128 = F.interpolate(hidden, scale_factor=2.0, mode="nearest")
        bumps = warped["bumps"].to(skip128.dtype)
        return torch.cat([skip64, hidden.to(skip64.dtype)], 1), torch.cat([skip128, hidden128, bumps], 1)


def _match(source: Tensor, flow: Tensor) -> Tensor:
    """One source for many driven frames: expand its batch axis without a copy."""
    return source.expand(flow.shape[0], *source.shape[1:])
