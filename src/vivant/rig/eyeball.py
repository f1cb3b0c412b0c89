"""Eyeballs that look elsewhere, for B frames at once; :mod:`vivant.rig.eyes` makes them from the still."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from vivant.rig.cameras import Cameras
from vivant.rig.drawn import CHANNELS
from vivant.rig.eyes import gaze_turn, hemisphere
from vivant.rig.tensors import floats

if TYPE_CHECKING:
    from vivant.rig.build import PhotoRig


class Eyeball:
    """One eyeball."""

    def __init__(self, rig: PhotoRig, which: int, device: torch.device) -> None:
        self._device, self._eye, shape = device, rig.eyes[which], rig.shape
        self._directions = hemisphere()[0].astype(np.float64)
        self._place, self._centre = shape.placement, shape.centre
        still = self._place.pixels(self._place.seen(self._at(self._directions)), self._centre)
        self._carried = np.concatenate([still, np.ones((len(still), 1)), np.zeros((len(still), CHANNELS - 3))], 1)
        self._carried[:, -1] = 1

    def _at(self, directions: np.ndarray) -> np.ndarray:
        return self._eye.centre + self._eye.radius * directions

    def place(self, camera: Cameras, gaze: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        """Vertices in camera axes (B, D, 3), carried values (B, D, CHANNELS), iris points in camera axes (B, 5, 3)."""
        carried = np.repeat(self._carried[None], len(gaze), 0)
        irises = np.zeros((len(gaze), 5, 3))
        for k, (right, down) in enumerate(gaze):
            turn = gaze_turn(float(right), float(down))
            source = self._directions @ turn  # where the texture of each direction was in the still
            seen = self._place.seen(self._at(source))
            iris = (self._place.pixels(seen, self._centre) - self._eye.iris_centre) / self._eye.iris_radius
            iris[(source @ self._place.rotation.T)[:, 2] < 0.25] = 9.0  # far outside its patch
            carried[k, :, 3:5] = iris
            irises[k] = self._at(self._eye.iris_directions @ turn.T)
        ball = floats(self._at(self._directions), self._device)[None]
        return camera.seen(ball), floats(carried, self._device), camera.seen(floats(irises, self._device))
