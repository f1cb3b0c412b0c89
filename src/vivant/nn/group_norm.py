"""The group norm of all nets of this library: torch's own, kept from a crash of its backward pass on the CPU."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class GroupNorm(nn.GroupNorm):
    """:class:`torch.nn.GroupNorm`, with the same numbers, that may also learn behind frozen layers on a CPU.

    torch (2.13) ends the process there with a segmentation fault when the weights need a gradient, the map does not and
    lies in memory with its channels last: the kernel ``GroupNormBackwardKernelImplChannelsLastInternal`` writes the
    map's gradient, for which autograd, rightly, made no room. Every precision is hit. A spatial transformer gives such
    maps, it works on tokens, so a stage that trains the motion modules of a frozen U-Net met it in its first step.
    Asked for the map's gradient as well, the kernel has its room; that gradient ends in a tensor of which nobody else
    knows and which goes with the step. GPUs have another kernel and are left alone.
    """

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, ...) to the same shape."""
        if x.is_cpu and not x.requires_grad and torch.is_grad_enabled() and self._learns():
            x = x.detach().requires_grad_()
        return super().forward(x)

    def tokens(self, x: Tensor) -> Tensor:
        """The same of tokens (B, N, C), without turning them into maps, which on GPUs are copied into another order.

        Means and spreads of single channels make those of the groups. Numbers are not the very same as of maps.
        """
        spread, mean = torch.std_mean(x, 1, correction=0)
        spread, mean = (t.float().unflatten(1, (self.num_groups, -1)) for t in (spread, mean))
        middle = mean.mean(2, keepdim=True)
        variance = (spread.square() + (mean - middle).square()).mean(2, keepdim=True)
        inverse = torch.rsqrt(variance + self.eps)
        weight, bias = (p.float().view(self.num_groups, -1) for p in (self.weight, self.bias))
        factor = inverse * weight
        shift = bias - middle * factor
        factor, shift = (t.flatten(1)[:, None].to(x.dtype) for t in (factor, shift))
        return torch.addcmul(shift, x, factor)

    def _learns(self) -> bool:
        return any(parameter.requires_grad for parameter in self.parameters(recurse=False))
