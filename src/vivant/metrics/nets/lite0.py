"""EfficientNet-Lite0 as metrics use it: bundled, Apache-2.0, and never called LPIPS, FID or FVD.

The features are those of ImageNet classification. Numbers made with them compare only with each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vivant.nn.efficientnet import PERCEPTUAL_TAPS, EfficientNetLite0, freeze, perceptual_features
from vivant.nn.fold import fold_norms
from vivant.weights.assets import asset
from vivant.weights.loading import load_state, load_strict

LITE0 = "training/efficientnet_lite0.safetensors"
SIDE = 224
"""Side in pixels at which whole pictures are described."""
TEMPORAL_TAP = 10  # block whose features (112 channels, stride 16) describe how a clip changes
CPU_BATCH = 2
WINDOW = 16
"""Frames of one window of the video features, as in FVD."""


def imagenet_trunk(blocks: int = 16) -> EfficientNetLite0:
    """EfficientNet-Lite0 with its ImageNet weights (Apache-2.0), cut after ``blocks`` blocks.

    Raises:
        WeightsError: the bundled file is missing or damaged.
    """
    net = EfficientNetLite0(blocks)
    path = asset(LITE0)
    wanted = net.state_dict().keys()
    state = {k: v.float() if v.is_floating_point() else v for k, v in load_state(path).items() if k in wanted}
    load_strict(net, state, str(path.name))
    return net


def to_tensor(pictures: Sequence[np.ndarray], device: str) -> Tensor:
    """B pictures (H, W, 3) uint8 -> (B, 3, H, W) float32 in 0..1."""
    stacked = torch.from_numpy(np.stack(pictures).transpose(0, 3, 1, 2).copy())
    return stacked.to(device).float() / 255


def resized(images: Tensor, side: int) -> Tensor:
    """(B, 3, H, W) -> (B, 3, side, side), bilinear with antialiasing."""
    if images.shape[-2:] == (side, side):
        return images
    return F.interpolate(images, (side, side), mode="bilinear", antialias=True, align_corners=False)


def _ready(blocks: int, device: str) -> EfficientNetLite0:
    """The frozen trunk, norms folded, in the memory order that convolutions read fastest."""
    net = imagenet_trunk(blocks)
    freeze(net)
    fold_norms(net)
    return net.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


class Lite0:
    """The net on one device, asked in two ways. On a CPU few pictures at once are five times faster than many, because
    their maps stay in the cache."""

    def __init__(self, device: str = "cpu") -> None:
        self.device = device
        self._near, self._whole = _ready(max(PERCEPTUAL_TAPS) + 1, device), _ready(16, device)
        self._at_once = CPU_BATCH if device == "cpu" else 10**6

    def _parts(self, pictures: Sequence[np.ndarray]) -> Iterator[Tensor]:
        for first in range(0, len(pictures), self._at_once):
            images = to_tensor(pictures[first : first + self._at_once], self.device)
            yield images.contiguous(memory_format=torch.channels_last)

    @torch.inference_mode()
    def levels(self, pictures: Sequence[np.ndarray]) -> list[Tensor]:
        """Features of B pictures at strides 2, 4, 8 and 16, each (B, C, h, w) of length 1 at every place."""
        parts = [perceptual_features(self._near, images) for images in self._parts(pictures)]
        maps = [torch.cat(level) for level in zip(*parts)]
        return [level / (level.square().sum(1, keepdim=True).sqrt() + 1e-10) for level in maps]

    @torch.inference_mode()
    def describe(self, pictures: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """(B, 320) and (B, 112) float32: mean over the picture of the last features and of those at stride 16."""
        found: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
        for images in self._parts(pictures):
            last, taps = self._whole.features(resized(images, SIDE), (TEMPORAL_TAP,))
            for rows, maps in zip(found, (last, taps[0])):
                rows.append(maps.mean((2, 3)).cpu().numpy())
        return np.concatenate(found[0]), np.concatenate(found[1])


def distance(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> np.ndarray:
    """(B,) float64: squared differences of unit features, summed over channels, averaged over places, added over
    levels: LPIPS (Zhang et al. 2018, equation 1) with all weights 1."""
    total = sum((a - b).square().sum(1).mean((1, 2)) for a, b in zip(ours, theirs))
    assert isinstance(total, Tensor)
    return total.double().cpu().numpy()


def window_features(described: np.ndarray) -> np.ndarray:
    """(F, 112) features of the frames of a clip -> (F // 16, 336): of each whole window of 16 frames, the mean over
    time, the standard deviation over time, and the mean absolute change from frame to frame."""
    count = len(described) // WINDOW
    if not count:
        return np.empty((0, 3 * described.shape[1]), np.float32)
    windows = described[: count * WINDOW].reshape(count, WINDOW, -1).astype(np.float64)
    change = np.abs(np.diff(windows, axis=1)).mean(1)
    return np.concatenate([windows.mean(1), windows.std(1), change], axis=1).astype(np.float32)
