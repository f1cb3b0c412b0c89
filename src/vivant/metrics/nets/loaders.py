"""Inception and I3D from published files, asked with pictures as clips have them.

Files are state dictionaries with the published keys, or TorchScript programs. A TorchScript file is a program: it
runs when it is loaded, so take it only from its makers.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vivant.core.errors import WeightsError
from vivant.metrics.nets.i3d import I3D, SIDE
from vivant.metrics.nets.inception import InceptionV3
from vivant.metrics.nets.lite0 import to_tensor
from vivant.metrics.nets.published import Store
from vivant.weights.loading import load_state, load_strict

Describe = Callable[[Sequence[np.ndarray]], np.ndarray]


def is_program(path: Path) -> bool:
    """Whether a file is TorchScript."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("constants.pkl") for name in archive.namelist())


def load_inception(store: Store, device: str = "cpu") -> Describe:
    """B pictures (H, W, 3) uint8 -> (B, 2048) float32.

    Raises:
        WeightsError: no file, or it is damaged or of another net.
    """
    path = store.find("inception-fid")
    if is_program(path):
        program = _program(path, device)
        return lambda pictures: _numbers(program, 255 * to_tensor(pictures, device), return_features=True)
    net = _filled(InceptionV3(), path, device)
    return lambda pictures: _numbers(net, to_tensor(pictures, device))


def load_i3d(store: Store, device: str = "cpu") -> Describe:
    """One window of 16 pictures (H, W, 3) uint8 -> (1, 400) float32 logits.

    Raises:
        WeightsError: no file, or it is damaged or of another net.
    """
    path = store.find("i3d-kinetics")
    if is_program(path):
        program = _program(path, device)

        def ask(pictures: Sequence[np.ndarray]) -> np.ndarray:
            clip = (255 * to_tensor(pictures, device)).transpose(0, 1)[None]
            return _numbers(program, clip, rescale=True, resize=True, return_features=True)

        return ask
    net = _filled(I3D(), path, device)
    return lambda pictures: _numbers(net, window_tensor(to_tensor(pictures, device)))


def window_tensor(images: Tensor) -> Tensor:
    """(F, 3, H, W) in 0..1 -> (1, 3, F, 224, 224) in -1..1: the shorter side to 224 (bilinear), the middle cut out."""
    height, width = images.shape[-2:]
    scale = SIDE / min(height, width)
    size = max(round(height * scale), SIDE), max(round(width * scale), SIDE)
    images = F.interpolate(images, size, mode="bilinear", align_corners=False)
    top, left = (size[0] - SIDE) // 2, (size[1] - SIDE) // 2
    return (images[..., top : top + SIDE, left : left + SIDE] * 2 - 1).transpose(0, 1)[None]


def _filled(net: nn.Module, path: Path, device: str) -> nn.Module:
    state = load_state(path)
    counters = {key: value for key, value in net.state_dict().items() if key.endswith("num_batches_tracked")}
    load_strict(net, counters | state, path.name)  # the first files were written before torch had these counters
    return net.eval().requires_grad_(False).to(device)


def _program(path: Path, device: str) -> Any:
    try:
        return torch.jit.load(str(path), map_location=device).eval()
    except (RuntimeError, ValueError) as error:
        raise WeightsError(f"The TorchScript file {path} cannot be loaded: download it again.") from error


def _numbers(net: Any, images: Tensor, **options: Any) -> np.ndarray:
    with torch.inference_mode():
        found: np.ndarray = net(images, **options).float().cpu().numpy()
    return found
