"""Spectral normalisation (Miyato et al., 2018, arXiv 1802.05957) as a convolution of its own.

Parameters are stored as ``weight_orig``, ``weight_u``, ``weight_v``, the layout of published checkpoints of
this field. The weight is computed in every call and kept nowhere, so a module can be copied and pickled at
any time.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def _full_precision(tensor: Tensor) -> torch.autocast:
    """No autocast on the device of ``tensor``; meta tensors have none to switch off."""
    kind = tensor.device.type
    return torch.autocast("cpu" if kind == "meta" else kind, enabled=False)


class SpectralConv2d(nn.Module):
    """2D convolution whose weight, as a matrix (outputs, rest), is divided by its largest singular value.

    In training one power iteration a call improves the stored singular vectors; in evaluation they stay.
    """

    weight_u: Tensor
    weight_v: Tensor

    def __init__(self, inputs: int, outputs: int, kernel: int, bias: bool = True) -> None:
        super().__init__()
        plain = nn.Conv2d(inputs, outputs, kernel, bias=bias)
        self.padding = kernel // 2
        self.bias = plain.bias
        self.weight_orig = plain.weight
        self.register_buffer("weight_u", F.normalize(torch.randn(outputs), dim=0))
        self.register_buffer("weight_v", F.normalize(torch.randn(plain.weight[0].numel()), dim=0))
        with torch.no_grad():
            for _ in range(3):
                self._iterate(plain.weight.flatten(1))

    def _iterate(self, matrix: Tensor) -> None:
        with _full_precision(matrix):
            self.weight_v.copy_(F.normalize(matrix.T @ self.weight_u, dim=0, eps=1e-12))
            self.weight_u.copy_(F.normalize(matrix @ self.weight_v, dim=0, eps=1e-12))

    def normalised_weight(self) -> Tensor:
        """The effective weight (outputs, inputs, kernel, kernel): ``weight_orig / (u' W v)``.

        In the parameters' own precision also under autocast, which would round the matrix products.
        """
        u, v = self.weight_u.clone(), self.weight_v.clone()
        with _full_precision(self.weight_orig):
            return self.weight_orig / torch.dot(u, self.weight_orig.flatten(1) @ v)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H, W)."""
        if self.training:
            with torch.no_grad():
                self._iterate(self.weight_orig.flatten(1))
        return F.conv2d(x, self.normalised_weight(), self.bias, padding=self.padding)

    def folded(self) -> nn.Conv2d:
        """The same convolution for inference, with the normalisation already done."""
        outputs, inputs, kernel, _ = self.weight_orig.shape
        conv = nn.Conv2d(inputs, outputs, kernel, padding=self.padding, bias=self.bias is not None)
        with torch.no_grad():
            conv.weight.copy_(self.normalised_weight())
            if self.bias is not None and conv.bias is not None:
                conv.bias.copy_(self.bias)
        return conv.to(self.weight_orig.device, self.weight_orig.dtype)
