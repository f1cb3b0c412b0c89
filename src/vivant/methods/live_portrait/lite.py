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

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vivant.methods.live_portrait.config import LiteConfig
from vivant.methods.live_portrait.lite_blocks import Features, ResidualBlock3d, conv, zero_bias
from vivant.methods.live_portrait.lite_decoder import SpadeGenerator
from vivant.methods.live_portrait.lite_warp import WarpingModule
from vivant.nn.efficientnet import EfficientNetLite0
from vivant.nn.mlp import ZeroInitMLP


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
        zero_bias(self.head)
        self.register_buffer("mean_shape", torch.zeros(k, 3))
        live = torch.ones(k, 1)
        live[list(config.space.rigid)] = 0  # the skull has no expression: it fixes the head's rotation exactly
        self.register_buffer("expressive", live)

    def map(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) RGB 0..1 -> the flattened map (B, 96 h w)."""
        if image.shape[-1] != self.size:
            image = F.interpolate(image, (self.size, self.size), mode="bilinear", antialias=True)
        flat: Tensor = self.reduce(self.trunk(image)).flatten(1)
        return flat

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """(B, 3, H, W) RGB 0..1 -> kp, exp (B, 3K), scale (B, 1), t (B, 3), t_z = 0, angles (B, 1) in degrees."""
        hidden = F.relu(self.hidden(self.map(image)))
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
        pitch, yaw, roll = (angles * (180 / math.pi)).split(1, 1)  # rad2deg cannot be exported
        return {
            "kp": kp.flatten(1),
            "exp": exp.flatten(1),
            "scale": torch.exp(log_scale.clamp(-1.5, 1.5)),
            "t": F.pad(t, (0, 1)),
            "pitch": pitch,
            "yaw": yaw,
            "roll": roll,
        }


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
