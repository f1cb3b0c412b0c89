"""A loss that draws the lips of made frames to their sound, through our frozen sync net.

The net learned from real and rendered mouths (its card says which); a generator trained against it for long may find
ways to please it that no eye believes, so keep its weight small beside pixel losses and look at the frames.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vivant.perception.sync_lite import RADIUS, SIZE, load_sync_lite

GREY = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the grey that the net sees (ITU-R BT.601, as OpenCV)."""


class SyncLoss(nn.Module):
    """Cross-entropy of finding each window's own sound among those of the segment, and their mean distance."""

    grey: Tensor

    def __init__(
        self, device: torch.device | str = "cpu", weights: str | Path | None = None, sharpness: float = 16.0,
        oversample: int = 1,
    ) -> None:  # fmt: skip
        """``sharpness``: factor of cosines in the softmax. ``oversample``: samples per crop pixel and axis; 2 or more
        where the lower face is wider than 192 px in the frames, so that fine patterns do not alias."""
        super().__init__()
        self.net, _ = load_sync_lite(weights)
        self.net.to(device)
        self.sharpness, self.oversample = sharpness, oversample
        self.register_buffer("grey", torch.tensor(GREY, device=device)[:, None, None], persistent=False)

    def forward(self, frames: Tensor, matrices: Tensor, mel: Tensor) -> tuple[Tensor, Tensor]:
        """The two losses, differentiable with respect to ``frames``.

        Args:
            frames: (B, F, 3, H, W) RGB in 0..1 at 25 frames a second, F at least 6.
            matrices: (B, F, 2, 3) of :func:`vivant.metrics.sync_crops.lower_face_matrices`, of the true face.
            mel: (B, T, 40) of :func:`vivant.perception.mfcc.log_mel` from the first frame on, T at least 4 F.

        Returns:
            Contrast (cross-entropy in nats, log(F - 4) at chance) and distance (0..2), both scalars.
        """
        with torch.autocast(frames.device.type, enabled=False):
            video = self.net.embed_video(self.crop(frames, matrices)) / RADIUS
            steps = 4 * frames.shape[1]
            sound = self.net.embed_sound(mel[:, :steps].float()) / RADIUS
            logits = self.sharpness * video @ sound.transpose(1, 2)
            own = torch.arange(logits.shape[1], device=logits.device).expand(logits.shape[0], -1)
            contrast = F.cross_entropy(logits.flatten(0, 1), own.flatten())
            distance = ((video - sound).square().sum(-1) + 1e-12).sqrt().mean()
        return contrast, distance

    def crop(self, frames: Tensor, matrices: Tensor) -> Tensor:
        """Lower faces (B, F, 96, 96) grey in 0..1, cut as :func:`vivant.metrics.sync_crops.cut_lower_face` cuts."""
        count, length, _, height, width = frames.shape
        grey = (frames.float() * self.grey).sum(2).flatten(0, 1)[:, None]
        # Pixel centres: cv2 counts them from 0, grid_sample in -1..1 from edge to edge.
        side = SIZE * self.oversample
        at = (torch.arange(side, device=frames.device) + 0.5) / self.oversample - 0.5
        y, x = torch.meshgrid(at, at, indexing="ij")
        places = torch.stack([x, y, torch.ones_like(x)], -1)  # (S, S, 3)
        pixels = torch.einsum("nij,yxj->nyxi", matrices.flatten(0, 1).float(), places)
        size = torch.tensor([width, height], device=frames.device)
        cut = F.grid_sample(grey, (2 * pixels + 1) / size - 1, padding_mode="border", align_corners=False)
        if self.oversample > 1:
            cut = F.avg_pool2d(cut, self.oversample)
        return cut[:, 0].unflatten(0, (count, length))
