"""Who is it: dlib's face recognition ResNet (Davis King, 2017, CC0 weights) in torch, differentiable.

A face becomes 128 numbers; the Euclidean distance of two faces is small when they show the same person. On aligned
faces of this package the same person lies below about 0.4 (:data:`SAME_PERSON`), others mostly above 0.5.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

from vivant.core.errors import WeightsError
from vivant.core.similarity import Similarity
from vivant.perception.landmarks import shrink_for_warp
from vivant.perception.mesh import (
    LEFT_EYE_INNER,
    LEFT_EYE_OUTER,
    NOSE_BASE,
    RIGHT_EYE_INNER,
    RIGHT_EYE_OUTER,
)
from vivant.weights.assets import asset

SIZE = 150  # side of an aligned face in pixels
SAME_PERSON = 0.4  # distance below which two faces are called the same person
MEAN = (122.782, 117.001, 104.298)  # of RGB 0..255 in the training pictures

ALIGN_POINTS = (LEFT_EYE_OUTER, LEFT_EYE_INNER, RIGHT_EYE_OUTER, RIGHT_EYE_INNER, NOSE_BASE)
_TEMPLATE = np.array(
    [[0.8596, 0.2135], [0.6461, 0.2289], [0.1206, 0.2137], [0.3341, 0.2291], [0.4901, 0.6278]]
)  # where dlib's five-point alignment puts them, in a unit square that a quarter of its side surrounds
_PADDING = 0.25


class _Affine(nn.Module):
    """A scale and a shift for each channel: what training's batch normalisation became."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.weight[:, None, None] + self.bias[:, None, None]


class _Convolution(nn.Module):
    """Convolution, then scale and shift."""

    def __init__(self, width_in: int, width: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width_in, width, kernel, stride, padding=kernel // 2 if stride == 1 else 0)
        self.scale = _Affine(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.scale(self.conv(x))


class _Residual(nn.Module):
    """Two convolutions plus the input; with stride 2 the input is average-pooled and padded with zeros."""

    def __init__(self, width_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _Convolution(width_in, width, 3, stride)
        self.conv2 = _Convolution(width, width, 3, 1)
        self.stride = stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv2(F.relu(self.conv1(x)))
        if self.stride == 2:
            x = F.avg_pool2d(x, 2)
        return F.relu(_grown(x, y) + _grown(y, x))


def _grown(x: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """``x`` with zeros after its channels, rows and columns where ``other`` has more of them."""
    more = [max(b - a, 0) for a, b in zip(x.shape[1:], other.shape[1:])]
    return F.pad(x, (0, more[2], 0, more[1], 0, more[0])) if any(more) else x


class IdentityNet(nn.Module):
    """Embedding of aligned faces. ``pretrained=False`` leaves the weights random."""

    mean: torch.Tensor
    _BLOCKS = (  # name in the weights, channels, stride
        *((f"conv32_{i}", 32, 1) for i in (1, 2, 3)),
        ("conv64_down", 64, 2),
        *((f"conv64_{i}", 64, 1) for i in (1, 2, 3)),
        ("conv128_down", 128, 2),
        *((f"conv128_{i}", 128, 1) for i in (1, 2)),
        ("conv256_down", 256, 2),
        *((f"conv256_{i}", 256, 1) for i in (1, 2)),
        ("conv256_down_out", 256, 2),
    )

    def __init__(self, pretrained: bool = True) -> None:
        super().__init__()
        self.conv32_down = _Convolution(3, 32, 7, 2)
        width = 32
        for name, wider, stride in self._BLOCKS:
            self.add_module(name, _Residual(width, wider, stride))
            width = wider
        self.fc = nn.Linear(width, 128, bias=False)
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        if pretrained:
            _load(self)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Aligned faces (B, 3, 150, 150) RGB in 0..1 -> (B, 128) of length about 1.5."""
        x = F.relu(self.conv32_down((image * 255 - self.mean) / 256))
        x = F.max_pool2d(x, 3, 2)
        for name, _, _ in self._BLOCKS:
            x = self.get_submodule(name)(x)
        return self.fc(x.mean((2, 3)))

    @torch.no_grad()
    def embed(self, image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
        """(128,) float32 of the face with ``landmarks`` (478, 2 or 3) in ``image`` (H, W, 3) uint8 RGB."""
        face = torch.from_numpy(align_face(image, landmarks)).permute(2, 0, 1)[None]
        device = self.fc.weight.device
        return self(face.to(device, torch.float32) / 255)[0].cpu().numpy()


def align_face(image: np.ndarray, landmarks: np.ndarray, size: int = SIZE) -> np.ndarray:
    """The face of ``image`` (H, W, 3) uint8 RGB turned upright and scaled to (size, size, 3) uint8.

    A least-squares similarity puts the four eye corners and the base of the nose of ``landmarks`` (478, 2 or 3)
    where dlib's five-point alignment puts them; black outside the picture.
    """
    matrix = align_matrix(landmarks, size)
    image, matrix = shrink_for_warp(image, matrix, size)
    return cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)


def align_matrix(landmarks: np.ndarray, size: int = SIZE) -> np.ndarray:
    """(2, 3) float64 that maps pixels of the aligned face to pixels of the picture."""
    template = (_TEMPLATE + _PADDING) / (1 + 2 * _PADDING) * size
    target = landmarks[list(ALIGN_POINTS), :2].astype(np.float64)
    return Similarity.fit(template, target).matrix()


def identity_distance(a: np.ndarray | torch.Tensor, b: np.ndarray | torch.Tensor) -> np.ndarray | torch.Tensor:
    """Euclidean distance (...) of embeddings (..., 128); below :data:`SAME_PERSON`: the same person."""
    return (((a - b) ** 2).sum(-1) + 1e-12) ** 0.5  # the tiny term gives equal embeddings a gradient


def _load(net: IdentityNet) -> None:
    """Fill ``net`` strictly from the bundled uint8 weights, and freeze it."""
    stored = load_file(asset("perception/identity_net.safetensors"))
    state = {}
    for name, value in stored.items():
        if not name.endswith(":range"):
            step, lowest = stored.get(f"{name}:range", (1.0, 0.0))
            state[name] = value.float() * step + lowest
    try:
        net.load_state_dict(state)
    except RuntimeError as error:
        raise WeightsError(f"The bundled identity weights do not fit IdentityNet: {error}") from error
    net.eval().requires_grad_(False)
