"""Arrays of a rig on the device where it is drawn."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def floats(values: np.ndarray, device: torch.device) -> Tensor:
    """float32, same shape."""
    return torch.as_tensor(np.ascontiguousarray(values, np.float32), device=device)


def indices(values: np.ndarray, device: torch.device) -> Tensor:
    """int64, same shape."""
    return torch.as_tensor(np.ascontiguousarray(values, np.int64), device=device)


def step(low: float, high: float, value: Tensor) -> Tensor:
    """:func:`smoothstep` on tensors."""
    t = ((value - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)
