"""How far the labels of a pair of frames are to be trusted, landmark by landmark.

Axis letters: B batch, P labelled landmarks.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vivant.core.facemesh import TRAINING_POINTS
from vivant.methods.live_portrait.reconstruct import Batch, distances, rows_of


class Trust:
    """The labels' own weights, more for what matters, nothing for what cannot be seen."""

    def __init__(self, device: torch.device) -> None:
        self._importance = _importance(device)
        self._irises = [_mask_of(tuple(range(a, a + 5)), device) for a in (468, 473)]
        self._lids = [rows_of(p, device) for p in ((159, 145, 33, 133), (386, 374, 362, 263))]

    def of(self, batch: Batch) -> Tensor:
        """(B, P) for a batch with ``weight`` (B, P), ``source_landmarks`` and ``driver_landmarks`` (B, P, 3)."""
        return batch["weight"] * self._importance * self._iris_seen(batch)

    def _iris_seen(self, batch: Batch) -> Tensor:
        """(B, P): 1, but near 0 at the irises of a shut eye, whose labels are guesses."""
        seen = torch.ones_like(batch["weight"])
        for iris, lids in zip(self._irises, self._lids):
            for name in ("source", "driver"):
                p = batch[f"{name}_landmarks"].index_select(1, lids)
                opening = distances(p[:, :1], p[:, 1:2]) / distances(p[:, 2:3], p[:, 3:]).clamp_min(1e-3)
                seen = seen * (1 - iris * (1 - ((opening - 0.08) / 0.1).clamp(0, 1)))
        return seen


def _importance(device: torch.device) -> Tensor:
    """(P,) lips, lids and irises count 2.5, the rest of the face 1, the oval 0.3 (it is hidden when the head turns)."""
    rows = torch.arange(len(TRAINING_POINTS), device=device)
    detail = (rows < 72) | ((rows >= 125) & (rows < 135))
    return torch.where(detail, 2.5, torch.where((rows >= 89) & (rows < 125), 0.3, 1.0))


def _mask_of(points: tuple[int, ...], device: torch.device) -> Tensor:
    """(P,) 1 at the rows of these landmarks."""
    mask = torch.zeros(len(TRAINING_POINTS), device=device)
    mask[rows_of(points, device)] = 1.0
    return mask


def depth_weight(x: Tensor) -> Tensor:
    """(1, 1, 3): depth is seen less surely than x and y."""
    return torch.cat([torch.ones_like(x[:1, :1, :2]), torch.full_like(x[:1, :1, :1], 0.4)], -1)
