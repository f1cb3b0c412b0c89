"""Data on its way to the device that learns from it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def to_device(values: np.ndarray | Tensor, device: torch.device, block: int = 4096) -> Tensor:
    """Values on a device, copied in blocks so that no second copy of all of them is held."""
    tensor = values if isinstance(values, Tensor) else torch.from_numpy(np.ascontiguousarray(values))
    if device.type == "cpu":
        return tensor
    out = torch.empty(tensor.shape, dtype=tensor.dtype, device=device)
    for at in range(0, len(tensor), block):
        out[at : at + block].copy_(tensor[at : at + block])
    return out
