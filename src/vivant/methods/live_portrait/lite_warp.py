"""W of the lite preset: keypoint pairs -> where every cell of the driven picture comes from.

Axis letters: B batch, K keypoints, C channels, D depth. Grids: 32 (volume), 64 (masks), 128 (flow), 256 (picture).
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vivant.methods.live_portrait.config import LiteConfig, MotionSpace
from vivant.methods.live_portrait.lite_blocks import Features, conv, zero_bias
from vivant.nn.geometry import gaussians, grid_2d, grid_3d, rigid_motion, sample_2d


def _spread(space: MotionSpace) -> Tensor:
    """Divisor of each keypoint's Gaussian (twice the variance): sigma about 4 px at lids and irises, 7 at lips, 13."""
    spread = torch.full((space.keypoints,), 0.02)
    spread[[k for k in space.lips if k < 10]] = 0.006
    spread[list(space.eyes)] = 0.0024
    spread[[row for irises, _ in space.gaze_rows for row in irises]] = 0.0026
    return spread


def _prior(space: MotionSpace) -> Tensor:
    """Start of each keypoint's prior in the masks; irises are small and stand among lids, so theirs is stronger."""
    prior = torch.full((space.keypoints,), 5.0)
    prior[[row for irises, _ in space.gaze_rows for row in irises]] = 12.0
    return prior


class WarpingModule(nn.Module):
    """W: where every cell of the driven picture comes from in the source.

    Slots: background (identity), the head's rigid motion, and one per keypoint that has the head's linear part and
    passes through that keypoint pair. Masks choose among them: at 64 from the hourglass plus the keypoint prior at 128
    for the 2D flow, at 32 for the volume.
    """

    rigid: Tensor
    spread: Tensor

    def __init__(self, config: LiteConfig) -> None:
        super().__init__()
        widths, k = config.warp_widths, config.space.keypoints
        self.register_buffer("rigid", torch.tensor(config.space.rigid), persistent=False)
        self.slots, self.depth = k + 2, config.volume_depth
        pairs = list(pairwise(widths))
        self.encoder = nn.ModuleList(
            [conv(k + 18, widths[0]), *[nn.Sequential(conv(a, b, 3, 2), conv(b, b)) for a, b in pairs]]
        )
        self.decoder = nn.ModuleList([conv(a + b, a) for a, b in pairs])
        self.mask = nn.Conv2d(widths[0], self.slots, 3, 1, 1)
        self.residual = nn.Conv2d(widths[0], 2, 3, 1, 1)
        self.occlusion = nn.Conv2d(widths[0], 2, 3, 1, 1)
        self.mask3d = nn.Conv2d(widths[1], self.slots * self.depth, 1)
        self.occlusion3d = nn.Conv2d(widths[1], 1, 3, 1, 1)
        for layer, std in ((self.mask, 0.01), (self.mask3d, 0.01), (self.residual, 0.0)):
            nn.init.normal_(layer.weight, 0, std)
            zero_bias(layer)
        self.prior = nn.Parameter(_prior(config.space))
        self.prior3d = nn.Parameter(torch.full((k,), 5.0))
        self.register_buffer("spread", _spread(config.space))

    def forward(self, features: Features, kp_source: Tensor, kp_driving: Tensor) -> dict[str, Features]:
        """Keypoints (B, K, 3) in -1..1 -> {"out": features, flow (B, 128, 128, 2), ...}."""
        with torch.autocast(kp_source.device.type, enabled=False):
            linear, offsets, moved = self._motions(kp_source.float(), kp_driving.float())
            bumps64 = gaussians(kp_driving, self.spread, 64, 64)
            bumps128 = gaussians(kp_driving, self.spread, 128, 128)
            slots64 = self._slots(grid_2d(64, 64, linear.device), linear, offsets[:, :1])
        local = offsets[:, 1:, :2] - offsets[:, :1, :2]
        drift = torch.einsum("bkhw,bkc->bchw", bumps64, local) / (bumps64.sum(1, keepdim=True) + 0.1)
        compressed = features["compressed"]
        x = torch.cat(
            [
                bumps64 - gaussians(moved, self.spread, 64, 64),
                10 * drift,
                compressed,
                sample_2d(compressed, slots64),
            ],
            1,
        )
        hidden64, hidden32 = self._hourglass(x)
        flow = self._flow(hidden64, bumps128, linear, offsets)
        flow3d = self._flow3d(hidden32, bumps64, linear, offsets)
        return {
            "out": {
                **features,
                "flow": flow,
                "flow3d": flow3d,
                "occlusion": torch.sigmoid(self.occlusion(hidden64)),
                "occlusion3d": torch.sigmoid(self.occlusion3d(hidden32)),
                "hidden": hidden64,
                "bumps": bumps128[:, :24],
            }
        }

    def _motions(self, source: Tensor, driving: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Linear part (B, 3, 3) from driving to source; offsets (B, 1 + K, 3) of the rigid slot and the keypoint slots;
        the source keypoints carried rigidly into the driving picture (B, K, 3)."""
        skull_d, skull_s = driving.index_select(1, self.rigid), source.index_select(1, self.rigid)
        linear, centre_d, centre_s = rigid_motion(skull_d, skull_s)
        points_d = torch.cat([centre_d, driving], 1)
        offsets = torch.cat([centre_s, source], 1) - points_d @ linear
        back, _, _ = rigid_motion(skull_s, skull_d)
        return linear, offsets, (source - centre_s) @ back + centre_d

    @staticmethod
    def _slots(grid: Tensor, linear: Tensor, offset: Tensor) -> Tensor:
        """Grid (H, W, 2) through the rigid slot -> (B, H, W, 2)."""
        return (grid.view(1, -1, 2) @ linear[:, :2, :2] + offset[..., :2]).unflatten(1, grid.shape[:2])

    def _hourglass(self, x: Tensor) -> tuple[Tensor, Tensor]:
        levels = []
        for down in self.encoder:
            x = down(x)
            levels.append(x)
        hidden32 = x
        for i in reversed(range(len(self.decoder))):
            x = self.decoder[i](torch.cat([F.interpolate(x, scale_factor=2.0, mode="nearest"), levels[i]], 1))
            if i == 1:
                hidden32 = x
        return x, hidden32

    def _flow(self, hidden: Tensor, bumps: Tensor, linear: Tensor, offsets: Tensor) -> Tensor:
        """(B, 128, 128, 2): masks from the hourglass, sharpened by the prior, times the slots' motions."""
        logits = F.interpolate(self.mask(hidden).float(), scale_factor=2.0, mode="bilinear")
        logits = torch.cat([logits[:, :2], logits[:, 2:] + bumps * self.prior.view(1, -1, 1, 1)], 1)
        masks = torch.softmax(logits, 1)
        grid = grid_2d(128, 128, hidden.device)
        with torch.autocast(hidden.device.type, enabled=False):
            rigid = self._slots(grid, linear, torch.zeros_like(offsets[:, :1]))
            still = masks[:, 0, :, :, None]
            flow = still * grid + (1 - still) * rigid
            flow = flow + torch.einsum("bkhw,bkc->bhwc", masks[:, 1:], offsets[..., :2])
        residual = F.interpolate(self.residual(hidden).float(), scale_factor=2.0, mode="bilinear")
        return flow + 0.1 * torch.tanh(residual).permute(0, 2, 3, 1)

    def _flow3d(self, hidden: Tensor, bumps64: Tensor, linear: Tensor, offsets: Tensor) -> Tensor:
        """(B, D, 32, 32, 3) for the volume."""
        logits = self.mask3d(hidden).float().unflatten(1, (self.slots, self.depth))
        prior = F.avg_pool2d(bumps64, 2) * self.prior3d.view(1, -1, 1, 1)
        logits = torch.cat([logits[:, :2], logits[:, 2:] + prior[:, :, None]], 1)
        masks = torch.softmax(logits, 1)
        grid = grid_3d(self.depth, 32, 32, hidden.device)
        with torch.autocast(hidden.device.type, enabled=False):
            rigid = (grid.view(1, -1, 3) @ linear).unflatten(1, grid.shape[:3])
            still = masks[:, 0, ..., None]
            return still * grid + (1 - still) * rigid + torch.einsum("bkdhw,bkc->bdhwc", masks[:, 1:], offsets)
