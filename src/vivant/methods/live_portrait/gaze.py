"""Irises that look as far sideways as the driver's, for spaces whose keypoints are named landmarks.

The warp of ``lite`` moves an iris by about two thirds of what its keypoint asks. So the keypoint asks for more: the
iris goes ``gain`` times as far from where the portrait's own gaze would be on the turned head, along the line between
the corners of its eye. Up and down are answered nearly in full and stay.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vivant.methods.live_portrait.config import MotionSpace

FARTHEST = 0.4
"""Eye widths between an iris and the middle of its eye beyond which nothing is added: there the white ends."""


class Gaze:
    """Moves the irises of driven keypoints; nothing in spaces that name none."""

    def __init__(self, space: MotionSpace, gain: float, device: torch.device) -> None:
        self._gain = gain
        self._eyes = [(iris[0], torch.tensor(corners, device=device)) for iris, corners in space.gaze_rows if gain != 1]

    def __call__(self, x: Tensor, portrait: Tensor) -> Tensor:
        """Driven keypoints (B, K, 3) -> the same with irises that went ``gain`` times as far from those of
        ``portrait`` (1 or B, K, 3), which looks as it does of itself."""
        moved = x.clone() if self._eyes else x
        for iris, corners in self._eyes:
            now, axis = _sideways(x, iris, corners)
            rest, _ = _sideways(portrait, iris, corners)
            wanted = rest + self._gain * (now - rest)
            limit = now.abs().clamp_min(FARTHEST)
            moved[:, iris, :2] += (torch.minimum(torch.maximum(wanted, -limit), limit) - now) * axis
        return moved


def _sideways(x: Tensor, iris: int, corners: Tensor) -> tuple[Tensor, Tensor]:
    """(B, 1): where an iris stands between the corners of its eye, in eye widths from their middle; and the line from
    one corner to the other, (B, 2)."""
    ends = x.index_select(1, corners)[..., :2]
    axis = ends[:, 1] - ends[:, 0]
    offset = ((x[:, iris, :2] - ends.mean(1)) * axis).sum(1, keepdim=True)
    return offset / axis.square().sum(1, keepdim=True).clamp_min(1e-8), axis
