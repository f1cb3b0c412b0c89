"""The lite decoder rewritten for inference: the same function with fewer passes over memory.

Batch norms behind convolutions are folded by :mod:`vivant.nn.fold`. The norms of SPADE blocks stand before a scale and
shift that a 1x1 convolution predicts; their mean and deviation are folded into that convolution:
(x - m) / d * (1 + g) + b = x * A + B with A = (1 + g) / d and B = b - m (1 + g) / d, both linear in g and b.
Equal to the plain nets to rounding (a test holds them together).
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vivant.methods.live_portrait.lite_decoder import SpadeBlock


class FoldedSpadeBlock(nn.Module):
    """SpadeBlock with its norms inside the modulation."""

    def __init__(self, block: SpadeBlock) -> None:
        super().__init__()
        self.conv1, self.conv2 = block.conv1, block.conv2
        self.modulation = _fold_modulation(block)

    def forward(self, x: Tensor, map_: Tensor) -> Tensor:
        """x (B, C, H, W), map (B, M, H, W) -> (B, C, H, W)."""
        scale1, shift1, scale2, shift2 = self.modulation(map_).chunk(4, 1)
        h = self.conv1(F.leaky_relu(torch.addcmul(shift1, x, scale1), 0.2))
        return x + self.conv2(F.leaky_relu(torch.addcmul(shift2, h, scale2), 0.2))


@torch.no_grad()
def _fold_modulation(block: SpadeBlock) -> nn.Conv2d:
    folded = copy.deepcopy(block.modulation)
    assert folded.bias is not None and block.modulation.bias is not None
    parts = zip(block.modulation.weight.chunk(4), block.modulation.bias.chunk(4))
    weights, biases = [], []
    for norm in (block.norm1, block.norm2):
        (gamma_w, gamma_b), (beta_w, beta_b) = next(parts), next(parts)
        assert norm.running_mean is not None and norm.running_var is not None
        inverse = (norm.running_var + norm.eps).rsqrt()
        mean = norm.running_mean * inverse
        weights += [gamma_w * inverse[:, None, None, None], beta_w - gamma_w * mean[:, None, None, None]]
        biases += [(gamma_b + 1) * inverse, beta_b - mean * (gamma_b + 1)]
    folded.weight.copy_(torch.cat(weights))
    folded.bias.copy_(torch.cat(biases))
    return folded


def fold_spade(module: nn.Module) -> None:
    """Replace, in place, every SpadeBlock below ``module``, which must be in evaluation mode."""
    for name, child in module.named_children():
        if isinstance(child, SpadeBlock):
            setattr(module, name, FoldedSpadeBlock(child))
        else:
            fold_spade(child)
