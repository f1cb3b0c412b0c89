"""B placements of a rig at once, as tensors; :mod:`vivant.rig.camera` has one placement in numpy."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from vivant.rig.camera import DISTANCE, Placement
from vivant.rig.tensors import floats


class Cameras:
    """B placements as tensors."""

    def __init__(self, places: list[Placement], centre: np.ndarray, device: torch.device) -> None:
        self.turn = floats(np.array([p.rotation for p in places]), device)
        self.shift = floats(np.array([p.offset for p in places]), device)[:, None]
        self.focal = floats(np.exp([p.log_focal for p in places]), device)
        self.centre = floats(centre, device)
        self._flip = floats(np.array([1.0, -1.0]), device)

    def seen(self, vertices: Tensor) -> Tensor:
        """Vertices (B or 1, V, 3) of the head in camera axes."""
        return vertices @ self.turn.transpose(1, 2) + self.shift

    def pixels(self, points: Tensor, focal: Tensor | None = None) -> Tensor:
        """(B, V, 2) pixels of the still of points (B, V, 3); ``focal`` (B, V) replaces the camera's own."""
        scale = (self.focal[:, None] if focal is None else focal) / (DISTANCE - points[..., 2])
        return self.centre + points[..., :2] * scale[..., None] * self._flip
