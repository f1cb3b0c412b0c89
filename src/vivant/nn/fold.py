"""Inference forms of trained nets: the same numbers from fewer operations.

A block names its (convolution, batch norm) attribute pairs in a class attribute ``folds``; inside ``nn.Sequential``
neighbours are found by themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from vivant.nn.spade import SLOPE, Spade, SpadeResBlock

_Norm = nn.BatchNorm2d | nn.BatchNorm3d
_Conv = nn.Conv2d | nn.Conv3d


def fold_norms(module: nn.Module) -> None:
    """Fold, in place, the running statistics of every batch norm that follows a convolution into that convolution.

    ``module`` must be in evaluation mode and cannot be trained afterwards.
    """
    for part in list(module.modules()):
        for conv_name, norm_name in _pairs(part):
            conv, norm = getattr(part, conv_name), getattr(part, norm_name)
            if isinstance(conv, _Conv) and isinstance(norm, _Norm):
                setattr(part, conv_name, fuse_conv_bn_eval(conv, norm))
                setattr(part, norm_name, nn.Identity())


def _pairs(part: nn.Module) -> list[tuple[str, str]]:
    if isinstance(part, nn.Sequential):
        return list(pairwise(name for name, _ in part.named_children()))
    return list(getattr(part, "folds", ()))


class UpsampledConv2d(nn.Module):
    """A 3x3 convolution of a nearest-upsampled map, computed on the map before upsampling.

    Every output phase sees at most 2x2 different inputs, so its nine taps collapse: 4 of 9 remain for a
    zoom of 2, 2.25 on average for 4. The result equals ``conv(upsample(x))`` up to rounding.
    """

    def __init__(self, conv: nn.Conv2d, zoom: int) -> None:
        super().__init__()
        self.zoom, self.outputs = zoom, conv.out_channels
        self.bias = conv.bias
        self.reach = [_reach(phase, zoom) for phase in range(zoom)]
        for y in range(zoom):
            for x in range(zoom):
                rows, columns = (_collapse(phase, zoom).to(conv.weight) for phase in (y, x))
                kernel = torch.einsum("oikl,yk,xl->oiyx", conv.weight, rows, columns)
                self.register_buffer(f"phase_{y}_{x}", kernel.detach().contiguous(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, Cin, h, w) to (B, Cout, zoom * h, zoom * w)."""
        batch, _, height, width = x.shape
        out = x.new_empty(batch, self.outputs, height * self.zoom, width * self.zoom)
        for row, (above, below) in enumerate(self.reach):
            for column, (left, right) in enumerate(self.reach):
                padded = F.pad(x, (left, right, above, below))
                phase = F.conv2d(padded, getattr(self, f"phase_{row}_{column}"), self.bias)
                out[:, :, row :: self.zoom, column :: self.zoom] = phase
        return out


def _reach(phase: int, zoom: int) -> tuple[int, int]:
    """How many inputs before and behind its own an output phase sees."""
    return int(phase == 0), int(phase == zoom - 1)


def _collapse(phase: int, zoom: int) -> Tensor:
    """(inputs seen, 3): which input each of the three taps falls on."""
    before, behind = _reach(phase, zoom)
    onto = torch.zeros(1 + before + behind, 3)
    for tap in range(3):
        onto[(phase + tap - 1) // zoom + before, tap] = 1
    return onto


class FusedSpadeResBlock(nn.Module):
    """Inference form of :class:`SpadeResBlock` for a condition that is ``zoom`` times smaller than the feature map.

    Spectral norms are folded, the shared convolutions of all its norms are one, gain and shift come from
    one convolution whose bias holds the gain's 1, and the norms of the input share one normalisation.
    """

    def __init__(self, block: SpadeResBlock, zoom: int) -> None:
        super().__init__()
        norms = [block.norm_0, block.norm_1] + ([block.norm_s] if block.learned_shortcut else [])
        shared = _stack([norm.mlp_shared.get_submodule("0") for norm in norms])
        self.shared: nn.Module = UpsampledConv2d(shared, zoom) if zoom > 1 else shared
        self.modulations = nn.ModuleList(_modulation(norm) for norm in norms)
        self.conv_0, self.conv_1 = block.conv_0.folded(), block.conv_1.folded()
        self.conv_s = block.conv_s.folded() if block.learned_shortcut else None

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """x (B, Cin, zoom * h, zoom * w), condition (B, M, h, w) to (B, Cout, zoom * h, zoom * w)."""
        hidden = F.relu(self.shared(condition)).chunk(len(self.modulations), dim=1)
        normal = F.instance_norm(x)
        shortcut = x if self.conv_s is None else self.conv_s(_modulate(normal, self.modulations[2](hidden[2])))
        y = self.conv_0(F.leaky_relu(_modulate(normal, self.modulations[0](hidden[0])), SLOPE))
        y = _modulate(F.instance_norm(y), self.modulations[1](hidden[1]))
        return shortcut + self.conv_1(F.leaky_relu(y, SLOPE))


def _modulate(normal: Tensor, gain_and_shift: Tensor) -> Tensor:
    gain, shift = gain_and_shift.chunk(2, dim=1)
    return torch.addcmul(shift, normal, gain)


def _modulation(norm: Spade) -> nn.Conv2d:
    """Gain and shift (2C) from the hidden map, the gain's 1 in the bias."""
    conv = _stack([norm.mlp_gamma, norm.mlp_beta])
    with torch.no_grad():
        if conv.bias is not None:
            conv.bias[: norm.mlp_gamma.out_channels] += 1
    return conv


def _stack(convs: Sequence[Any]) -> nn.Conv2d:
    """One convolution that computes all of ``convs`` (3x3, the same input) behind each other."""
    stacked = nn.Conv2d(convs[0].in_channels, sum(conv.out_channels for conv in convs), 3, padding=1)
    for name, parameter in stacked.named_parameters():
        parameter.data = torch.cat([getattr(conv, name).detach() for conv in convs])
    return stacked
