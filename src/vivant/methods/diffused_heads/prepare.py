"""Portraits to tensors, and tensors to frames."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vivant.core.face import FaceCrop


def identity_frame(crop: FaceCrop, size: int) -> Tensor:
    """The crop's picture as (1, 3, size, size) float32 in -1..1, scaled down without aliasing."""
    image = torch.from_numpy(np.ascontiguousarray(crop.image)).permute(2, 0, 1)[None].float()
    if image.shape[-1] != size:
        image = F.interpolate(image, (size, size), mode="bilinear", antialias=True, align_corners=False)
    return image / 127.5 - 1


def to_frames(pictures: Tensor, upstream: bool = False) -> np.ndarray:
    """(B, 3, S, S) in -1..1 to (B, S, S, 3) uint8; ``upstream``: scaled by 127 and cut off, as published."""
    pictures = pictures.float().clamp(-1, 1)
    scaled = pictures * 127 + 127 if upstream else pictures * 127.5 + 128
    return scaled.clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu().numpy()
