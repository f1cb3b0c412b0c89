"""The nets of the paper at their published sizes; state-dict keys equal those of the released checkpoint.

Shapes (published size): image (B, 3, 256, 256) RGB in 0..1; volume (B, 32, 16, 64, 64); keypoints (B, K, 3),
K = 21, x right, y down, in -1..1; warped map (B, 256, 64, 64); picture (B, 3, 512, 512) in 0..1.
Source: LivePortrait, arXiv 2407.03168, section 3.2; face vid2vid, arXiv 2011.15126.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vivant.methods.live_portrait.config import PublishedConfig
from vivant.nn.blocks import ConvBlock, DownBlock, ResBlock3d, map_to_volume, volume_to_map
from vivant.nn.convnext import ConvNeXtV2
from vivant.nn.dense_motion import DenseMotion, warp_volume
from vivant.nn.fold import FusedSpadeResBlock
from vivant.nn.mlp import ZeroInitMLP
from vivant.nn.spade import SLOPE, SpadeResBlock

ANGLE_BINS = 66


def _widths(base: int, limit: int, levels: int) -> list[int]:
    return [min(limit, base * 2**i) for i in range(levels + 1)]


class AppearanceExtractor(nn.Module):
    """F: a portrait to a volume of appearance features."""

    def __init__(self, config: PublishedConfig) -> None:
        super().__init__()
        widths = _widths(config.base_width, config.max_width, config.down_blocks)
        self.depth = config.volume_depth
        self.first = ConvBlock(3, widths[0])
        self.down_blocks = nn.ModuleList(DownBlock(a, b) for a, b in pairwise(widths))
        self.second = nn.Conv2d(widths[-1], config.volume_channels * config.volume_depth, 1)
        self.resblocks_3d = nn.Sequential(
            OrderedDict((f"3dr{i}", ResBlock3d(config.volume_channels)) for i in range(config.residual_blocks_3d))
        )

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, C, D, H/4, W/4)."""
        x = self.first(image)
        for block in self.down_blocks:
            x = block(x)
        return self.resblocks_3d(map_to_volume(self.second(x), self.depth))


class MotionBackbone(ConvNeXtV2):
    """ConvNeXt V2 with one linear head per part of the motion."""

    def __init__(self, config: PublishedConfig) -> None:
        super().__init__(config.backbone_depths, config.backbone_widths)
        width, points = config.backbone_widths[-1], 3 * config.space.keypoints
        self.fc_kp = nn.Linear(width, points)
        self.fc_scale = nn.Linear(width, 1)
        self.fc_pitch = nn.Linear(width, ANGLE_BINS)
        self.fc_yaw = nn.Linear(width, ANGLE_BINS)
        self.fc_roll = nn.Linear(width, ANGLE_BINS)
        self.fc_t = nn.Linear(width, 3)
        self.fc_exp = nn.Linear(width, points)
        nn.init.ones_(self.fc_scale.bias)  # a scale that starts at zero would collapse all keypoints

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """(B, 3, H, W) to kp, exp (B, 3K), scale (B, 1), t (B, 3), and pitch, yaw, roll (B, 66) logits."""
        x = self.features(image)
        names = ("pitch", "yaw", "roll", "t", "exp", "scale", "kp")
        return {name: getattr(self, f"fc_{name}")(x) for name in names}


class MotionExtractor(nn.Module):
    """M: canonical keypoints, expression, head pose, scale and translation of a face."""

    def __init__(self, config: PublishedConfig) -> None:
        super().__init__()
        self.detector = MotionBackbone(config)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """(B, 3, H, W) to the dictionary that :class:`MotionBackbone` describes."""
        return self.detector(image)


class WarpingModule(nn.Module):
    """W: moves the appearance volume from the source's keypoints to the driving ones and flattens it."""

    def __init__(self, config: PublishedConfig) -> None:
        super().__init__()
        outputs = _widths(config.base_width, config.max_width, config.down_blocks)[-1]
        self.dense_motion_network = DenseMotion(
            config.volume_channels,
            config.volume_depth,
            config.space.keypoints,
            config.motion_width,
            config.motion_max_width,
            config.motion_levels,
            config.motion_compress,
        )
        flat = config.volume_channels * config.volume_depth
        self.third = ConvBlock(flat, outputs, slope=0.01)
        self.fourth = nn.Conv2d(outputs, outputs, 1)

    def forward(self, features: Tensor, kp_source: Tensor, kp_driving: Tensor) -> dict[str, Tensor]:
        """Warp ``features`` (B, C, D, h, w), or (1, ...) for one portrait and B motions.

        Returns:
            out (B, M, h, w), occlusion_map (B, 1, h, w) in 0..1, deformation (B, D, h, w, 3).
        """
        if len(features) == 1 and len(kp_driving) > 1:
            features = features.expand(len(kp_driving), -1, -1, -1, -1)
        deformation, occlusion = self.dense_motion_network(features, kp_source, kp_driving)
        x = self.fourth(self.third(volume_to_map(warp_volume(features, deformation))))
        return {"out": x * occlusion, "occlusion_map": occlusion, "deformation": deformation}


class SpadeGenerator(nn.Module):
    """G: the warped map to a picture; the map is both the input and the condition of every norm."""

    def __init__(self, config: PublishedConfig) -> None:
        super().__init__()
        inputs = _widths(config.generator_width, config.generator_max_width, config.down_blocks)[-1]
        middle, hidden, last = 2 * inputs, config.spade_hidden, config.generator_width
        self.middle_blocks = config.generator_middle_blocks
        self.fc = nn.Conv2d(inputs, middle, 3, padding=1)
        for i in range(self.middle_blocks):
            self.add_module(f"G_middle_{i}", SpadeResBlock(middle, middle, inputs, hidden))
        self.up_0 = SpadeResBlock(middle, inputs, inputs, hidden)
        self.up_1 = SpadeResBlock(inputs, last, inputs, hidden)
        self.conv_img: nn.Module = nn.Conv2d(last, 3, 3, padding=1)
        if config.upscale > 1:
            conv = nn.Conv2d(last, 3 * config.upscale**2, 3, padding=1)
            self.conv_img = nn.Sequential(conv, nn.PixelShuffle(config.upscale))

    def forward(self, feature: Tensor) -> Tensor:
        """(B, M, h, w) to (B, 3, 4uh, 4uw) in 0..1, u being the upscaling at the end."""
        x = self.fc(feature)
        for i in range(self.middle_blocks):
            x = getattr(self, f"G_middle_{i}")(x, feature)
        x = self.up_0(F.interpolate(x, scale_factor=2.0, mode="nearest"), feature)
        x = self.up_1(F.interpolate(x, scale_factor=2.0, mode="nearest"), feature)
        return torch.sigmoid(self.conv_img(F.leaky_relu(x, SLOPE)))


def fuse_generator(generator: SpadeGenerator) -> None:
    """Put the inference form of every block of G in its place."""
    zooms = {f"G_middle_{i}": 1 for i in range(generator.middle_blocks)} | {"up_0": 2, "up_1": 4}
    for name, zoom in zooms.items():
        setattr(generator, name, FusedSpadeResBlock(getattr(generator, name), zoom))


def build_published(config: PublishedConfig) -> dict[str, nn.Module]:
    """F, M, W, G and the MLPs of stage II, keyed like the released files, with random weights."""
    points = 3 * config.space.keypoints
    return {
        "appearance_feature_extractor": AppearanceExtractor(config),
        "motion_extractor": MotionExtractor(config),
        "warping_module": WarpingModule(config),
        "spade_generator": SpadeGenerator(config),
        "stitching_retargeting_module": nn.ModuleDict(
            {
                "retarget_shoulder": ZeroInitMLP(2 * points, config.stitching_hidden, points + 2),
                "retarget_mouth": ZeroInitMLP(points + 2, config.lip_hidden, points),
                "retarget_eye": ZeroInitMLP(points + 3, config.eye_hidden, points),
            }
        ),
    }
