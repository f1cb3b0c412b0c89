"""The shipped small nets: F, M, W, G and the MLPs of stage II, made for 256x256 on two CPU cores.

The method is the paper's: x = s (x_c R + delta) + t, features of the source warped by keypoint pairs, a SPADE decoder.
What departs from the published layers, and why:
  - keypoints are named mesh landmarks (config.LITE_LANDMARKS), so that a short training finds them;
  - angles are three numbers instead of 66 bins each;
  - the warp's masks get a prior: a keypoint's own motion near that keypoint, evaluated at twice the grid of the masks,
    because lids and irises move by fractions of a coarse cell;
  - besides the volume, skip features at 64 and 128 and the picture itself are warped, which keeps frames sharp.

Axis letters: B batch, K keypoints, C channels, D depth. Grids: 32 (volume), 64 (masks), 128 (flow), 256 (picture).
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vivant.methods.live_portrait.config import LiteConfig, MotionSpace
from vivant.nn.efficientnet import EfficientNetLite0
from vivant.nn.geometry import gaussians, grid_2d, grid_3d, rigid_motion, sample_2d
from vivant.nn.mlp import ZeroInitMLP

Features = dict[str, Tensor]


def conv(c_in: int, c_out: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(c_out), nn.ReLU()
    )


def _zero_bias(layer: nn.Conv2d | nn.Linear) -> None:
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


class AppearanceFeatureExtractor(nn.Module):
    """F: picture (B, 3, 256, 256) -> what is warped later: picture, skips at 128 and 64, volume, compressed map."""

    def __init__(self, config: LiteConfig) -> None:
        super().__init__()
        c1, c2, c3 = config.feature_widths
        self.depth = config.volume_depth
        self.first = conv(3, c1, 5)
        self.skip128 = nn.Sequential(conv(c1, c2, 3, 2), conv(c2, c2))
        self.skip64 = nn.Sequential(conv(c2, c3, 3, 2), conv(c3, c3), conv(c3, c3))
        self.deep = nn.Sequential(conv(c3, 2 * c3, 3, 2), conv(2 * c3, 2 * c3))
        self.to_volume = nn.Conv2d(2 * c3, config.volume_channels * self.depth, 1)
        self.refine = nn.Sequential(*[ResidualBlock3d(config.volume_channels) for _ in range(2)])
        self.compress = nn.Conv2d(c3, 8, 1)

    def forward(self, image: Tensor) -> Features:
        """(B, 3, 256, 256) RGB 0..1."""
        skip128 = self.skip128(self.first(image))
        skip64 = self.skip64(skip128)
        flat = self.to_volume(self.deep(skip64))
        volume = self.refine(flat.unflatten(1, (-1, self.depth)))
        return {
            "image": image,
            "skip128": skip128,
            "skip64": skip64,
            "volume": volume,
            "compressed": self.compress(skip64),
        }


class MotionExtractor(nn.Module):
    """M: picture -> canonical keypoints, expression, rotation, scale, translation. The map is flattened, not pooled:
    where a lid is matters."""

    def __init__(self, config: LiteConfig) -> None:
        super().__init__()
        k = config.space.keypoints
        self.keypoints, self.size = k, config.motion_input
        self.trunk = EfficientNetLite0(config.backbone_blocks)
        side = math.ceil(self.size / self.trunk.stride)
        self.reduce = nn.Sequential(nn.Conv2d(self.trunk.channels, 96, 1, bias=False), nn.BatchNorm2d(96), nn.ReLU())
        self.hidden = nn.Linear(96 * side * side, 256)
        self.head = nn.Linear(256, 6 * k + 6)
        nn.init.normal_(self.head.weight, 0, 0.01)
        _zero_bias(self.head)
        self.register_buffer("mean_shape", torch.zeros(k, 3))
        live = torch.ones(k, 1)
        live[list(config.space.rigid)] = 0  # the skull has no expression: it fixes the head's rotation exactly
        self.register_buffer("expressive", live)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """(B, 3, H, W) RGB 0..1 -> kp, exp (B, 3K), scale (B, 1), t (B, 3), t_z = 0, angles (B, 1) in degrees."""
        if image.shape[-1] != self.size:
            image = F.interpolate(image, (self.size, self.size), mode="bilinear", antialias=True)
        hidden = F.relu(self.hidden(self.reduce(self.trunk(image)).flatten(1)))
        with torch.autocast(image.device.type, enabled=False):  # half precision would round lids by a quarter pixel
            out = self.head(hidden.float())
        k3 = 3 * self.keypoints
        kp = out[:, :k3].unflatten(1, (-1, 3)) + self.mean_shape
        exp = out[:, k3 : 2 * k3].unflatten(1, (-1, 3)) * self.expressive
        angles, log_scale, t = (
            out[:, 2 * k3 : 2 * k3 + 3],
            out[:, 2 * k3 + 3 : 2 * k3 + 4],
            out[:, 2 * k3 + 4 :],
        )
        pitch, yaw, roll = torch.rad2deg(angles).split(1, 1)
        return {
            "kp": kp.flatten(1),
            "exp": exp.flatten(1),
            "scale": torch.exp(log_scale.clamp(-1.5, 1.5)),
            "t": F.pad(t, (0, 1)),
            "pitch": pitch,
            "yaw": yaw,
            "roll": roll,
        }


def _spread(space: MotionSpace) -> Tensor:
    """Divisor of each keypoint's Gaussian (twice the variance): sigma about 4 px at lids and irises, 7 at lips, 13."""
    spread = torch.full((space.keypoints,), 0.02)
    spread[[k for k in space.lips if k < 10]] = 0.006
    spread[list(space.eyes)] = 0.0024
    return spread


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
            _zero_bias(layer)
        self.prior = nn.Parameter(torch.full((k,), 5.0))
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


class SpadeBlock(nn.Module):
    """Residual block whose batch norms are scaled and shifted by a 1x1 convolution of a map (arXiv 1903.07291)."""

    def __init__(self, channels: int, map_channels: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = (nn.BatchNorm2d(channels, affine=False) for _ in range(2))
        self.modulation = nn.Conv2d(map_channels, 4 * channels, 1)
        self.conv1, self.conv2 = (nn.Conv2d(channels, channels, 3, 1, 1) for _ in range(2))
        nn.init.normal_(self.modulation.weight, 0, 0.02)
        _zero_bias(self.modulation)

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
        _zero_bias(self.to_rgba)

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


def build_lite(config: LiteConfig) -> dict[str, nn.Module]:
    """All modules of the small preset, keyed as the published files."""
    k = config.space.keypoints
    mlps = {
        "retarget_shoulder": ZeroInitMLP(6 * k, config.stitching_hidden, 3 * k + 2),
        "retarget_mouth": ZeroInitMLP(3 * k + 2, config.lip_hidden, 3 * k),
        "retarget_eye": ZeroInitMLP(3 * k + 3, config.eye_hidden, 3 * k),
    }
    return {
        "appearance_feature_extractor": AppearanceFeatureExtractor(config),
        "motion_extractor": MotionExtractor(config),
        "warping_module": WarpingModule(config),
        "spade_generator": SpadeGenerator(config),
        "stitching_retargeting_module": nn.ModuleDict(mlps),
    }
