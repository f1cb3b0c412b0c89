"""From half precision whose numbers broke to a wider one."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

import torch
from torch import nn


def widen(modules: Iterable[nn.Module], before: torch.dtype, device: torch.device) -> torch.dtype:
    """Move ``modules`` from ``before`` to bfloat16, if that was float16 and the device has it, else to float32, and
    say so; the new type."""
    has_wide = before == torch.float16 and (device.type != "cuda" or torch.cuda.is_bf16_supported())
    after = torch.bfloat16 if has_wide else torch.float32
    warnings.warn(f"{before} gave numbers that are not finite; going on in {after}.", stacklevel=3)
    for module in modules:
        module.to(after)
    return after
