"""LPIPS (Zhang, Isola, Efros, Shechtman, Wang, "The Unreasonable Effectiveness of Deep Features as a Perceptual
Metric", CVPR 2018, equation 1), version 0.1, with AlexNet or VGG-16.

Key names are those of the published files: ``features.N.weight`` of torchvision's nets and
``linN.model.1.weight`` of the linear heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from vivant.metrics.nets.lite0 import to_tensor
from vivant.metrics.nets.published import Store
from vivant.weights.loading import load_state, load_strict

Trunk = Literal["alex", "vgg"]
_VGG = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512)  # 0: max-pooling
_TAPS = {"alex": (1, 4, 7, 9, 11), "vgg": (3, 8, 15, 22, 29)}
_WIDTHS = {"alex": (64, 192, 384, 256, 256), "vgg": (64, 128, 256, 512, 512)}
_FILES = {"alex": "alexnet", "vgg": "vgg16"}


def _alexnet() -> nn.Sequential:
    """The convolutions of AlexNet up to the last one that LPIPS looks at, numbered as torchvision numbers them."""
    sizes = ((3, 64, 11, 4, 2), (64, 192, 5, 1, 2), (192, 384, 3, 1, 1), (384, 256, 3, 1, 1), (256, 256, 3, 1, 1))
    layers: list[nn.Module] = []
    for number, (width_in, width, kernel, stride, padding) in enumerate(sizes):
        layers += [nn.Conv2d(width_in, width, kernel, stride, padding), nn.ReLU()]
        if number < 2:
            layers.append(nn.MaxPool2d(3, 2))
    return nn.Sequential(*layers)


def _vgg16() -> nn.Sequential:
    """The convolutions of VGG-16, numbered as torchvision numbers them."""
    layers: list[nn.Module] = []
    before = 3
    for width in _VGG:
        layers += [nn.MaxPool2d(2, 2)] if width == 0 else [nn.Conv2d(before, width, 3, padding=1), nn.ReLU()]
        before = width or before
    return nn.Sequential(*layers)


class _Head(nn.Module):
    """One weight a channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.model = nn.Sequential(nn.Identity(), nn.Conv2d(width, 1, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class Lpips(nn.Module):
    """The distance with random weights; :func:`load_lpips` fills them."""

    shift: Tensor
    scale: Tensor

    def __init__(self, trunk: Trunk) -> None:
        super().__init__()
        self.taps = _TAPS[trunk]
        self.features = _alexnet() if trunk == "alex" else _vgg16()
        for number, width in enumerate(_WIDTHS[trunk]):
            self.add_module(f"lin{number}", _Head(width))
        self.register_buffer("shift", torch.tensor([-0.030, -0.088, -0.188])[:, None, None], persistent=False)
        self.register_buffer("scale", torch.tensor([0.458, 0.448, 0.450])[:, None, None], persistent=False)

    def levels(self, image: Tensor) -> list[Tensor]:
        """(B, 3, H, W) in 0..1 -> five maps of unit features."""
        x, kept = (image * 2 - 1 - self.shift) / self.scale, []
        for number, layer in enumerate(self.features):
            x = layer(x)
            if number in self.taps:
                kept.append(x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10))
        return kept

    def compare(self, ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> Tensor:
        """The maps of two pictures -> (B,) distance, 0 and up."""
        heads = [self.get_submodule(f"lin{number}") for number in range(len(self.taps))]
        parts = [head((a - b).square()).mean((1, 2, 3)) for head, a, b in zip(heads, ours, theirs)]
        return torch.stack(parts).sum(0)

    def forward(self, image: Tensor, reference: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) in 0..1 twice -> (B,) distance, 0 and up."""
        return self.compare(self.levels(image), self.levels(reference))


def load_lpips(trunk: Trunk, store: Store, device: str = "cpu") -> LpipsMeter:
    """LPIPS from the published files.

    Raises:
        WeightsError: a file is missing, damaged or of another net.
    """
    net = Lpips(trunk)
    body, heads = store.find(_FILES[trunk]), store.find(f"lpips-{trunk}")
    state = {key: value for key, value in load_state(body).items() if key.startswith("features.")}
    state |= load_state(heads)
    load_strict(net, state, f"{body.name} and {heads.name}")
    return LpipsMeter(net.eval().requires_grad_(False).to(device), device)


class LpipsMeter:
    """LPIPS asked with pictures as clips have them."""

    def __init__(self, net: Lpips, device: str) -> None:
        self.net, self.device = net, device

    @torch.inference_mode()
    def levels(self, pictures: Sequence[np.ndarray]) -> list[Tensor]:
        """B pictures (H, W, 3) uint8 -> five maps of unit features."""
        return self.net.levels(to_tensor(pictures, self.device))

    @torch.inference_mode()
    def distance(self, ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> np.ndarray:
        """(B,) float64 LPIPS of B pairs from their maps."""
        return self.net.compare(ours, theirs).double().cpu().numpy()
