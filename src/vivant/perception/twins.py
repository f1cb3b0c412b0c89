"""The landmark and blendshape nets once more in torch, differentiable, with the weights of the bundled tflite files.

They serve as losses and as batched measures on a GPU; on two CPU cores the runtime behind
:class:`vivant.perception.landmarks.LandmarkRunner` is ten times faster and gives the same numbers.
"""

from __future__ import annotations

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

from vivant.core.errors import WeightsError
from vivant.perception.mesh import BLENDSHAPE_NAMES, BLENDSHAPE_POINTS, POINTS
from vivant.weights.assets import asset


class Bottleneck(nn.Module):
    """Residual block of the landmark net: (B, C, H, W) -> (B, C', H / stride, W / stride).

    Convolution to ``hidden`` channels, PReLU, depthwise 3x3, convolution to ``width`` channels; added to the input,
    which a block with stride 2 max-pools and pads with zero channels; PReLU.
    """

    def __init__(self, width_in: int, hidden: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(width_in, hidden, stride, stride)
        self.reduce_act = nn.PReLU(hidden)
        self.depthwise = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden, bias=False)
        self.expand = nn.Conv2d(hidden, width, 1)
        self.act = nn.PReLU(width)
        self.stride, self.extra = stride, width - width_in

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) -> (B, C', H / stride, W / stride)."""
        y = self.expand(self.depthwise(self.reduce_act(self.reduce(x))))
        if self.stride > 1:
            x = F.pad(F.max_pool2d(x, self.stride), (0, 0, 0, 0, 0, self.extra))
        return self.act(x + y)


class LandmarkNet(nn.Module):
    """478 landmarks of a face crop. ``pretrained=False`` leaves the weights random."""

    def __init__(self, pretrained: bool = True) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, stride=2)
        self.stem_act = nn.PReLU(16)
        blocks = [Bottleneck(16, 8, 16) for _ in range(4)]
        width = 16
        for hidden, wider in ((16, 32), (32, 64), (64, 128), (64, 128), (64, 128), (64, 128)):
            blocks.append(Bottleneck(width, hidden, wider, stride=2))
            blocks.extend(Bottleneck(wider, hidden, wider) for _ in range(4))
            width = wider
        self.blocks = nn.Sequential(*blocks)
        self.tongue = nn.Conv2d(width, 1, 2)  # whether the tongue is out; kept so that the file is complete
        self.presence = nn.Conv2d(width, 1, 2)
        self.points = nn.Conv2d(width, POINTS * 3, 2)
        if pretrained:
            _load(self, "perception/landmark_net.safetensors")

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Crop (B, 3, 256, 256) RGB in 0..1 -> landmarks (B, 478, 3) in its pixels, presence (B,) in 0..1."""
        x = self.blocks(self.stem_act(self.stem(F.pad(image, (0, 1, 0, 1)))))
        points = self.points(x).reshape(-1, POINTS, 3)
        return points, torch.sigmoid(self.presence(x).reshape(-1))


class MixerBlock(nn.Module):
    """One MLP-Mixer block (Tolstikhin et al. 2021, arXiv 2105.01601): over the tokens, then over the channels."""

    def __init__(self, tokens: int, channels: int) -> None:
        super().__init__()
        self.token_norm = nn.LayerNorm(channels, eps=1e-6, bias=False)
        self.token_in = nn.Linear(tokens, 384)
        self.token_out = nn.Linear(384, tokens)
        self.channel_norm = nn.LayerNorm(channels, eps=1e-6, bias=False)
        self.channel_in = nn.Linear(channels, 256)
        self.channel_out = nn.Linear(256, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, N, C) -> (B, N, C)."""
        y = self.token_norm(x).transpose(1, 2)
        x = x + self.token_out(F.relu(self.token_in(y))).transpose(1, 2)
        return x + self.channel_out(F.relu(self.channel_in(self.channel_norm(x))))


class BlendshapeNet(nn.Module):
    """52 expression coefficients from landmarks. ``pretrained=False`` leaves the weights random."""

    chosen: torch.Tensor

    def __init__(self, pretrained: bool = True) -> None:
        super().__init__()
        self.tokens = nn.Linear(len(BLENDSHAPE_POINTS), 96)
        self.channels = nn.Linear(2, 64)
        self.class_token = nn.Parameter(torch.zeros(64))
        self.blocks = nn.Sequential(*(MixerBlock(97, 64) for _ in range(4)))
        self.head = nn.Linear(64, len(BLENDSHAPE_NAMES))
        self.register_buffer("chosen", torch.tensor(BLENDSHAPE_POINTS), persistent=False)
        if pretrained:
            _load(self, "perception/blendshape_net.safetensors")

    def forward(self, landmarks: torch.Tensor) -> torch.Tensor:
        """Landmarks (B, 478, 2 or 3) in pixels of any scale -> (B, 52) in 0..1, order of ``BLENDSHAPE_NAMES``."""
        points = landmarks[:, self.chosen, :2]
        points = points - points.mean(1, keepdim=True)
        size = points.norm(dim=2, keepdim=True).mean(1, keepdim=True)
        x = self.channels(self.tokens((points / size * 0.5).transpose(1, 2)).transpose(1, 2))
        x = self.blocks(torch.cat([self.class_token.expand(len(x), 1, -1), x], dim=1))
        return torch.sigmoid(self.head(x[:, 0]))


def _load(module: nn.Module, name: str) -> None:
    """Fill ``module`` strictly from the bundled fp16 file ``name``, and freeze it."""
    try:
        module.load_state_dict(load_file(asset(name)))
    except RuntimeError as error:
        raise WeightsError(f"The bundled file {name} does not fit {type(module).__name__}: {error}") from error
    module.eval().requires_grad_(False)
