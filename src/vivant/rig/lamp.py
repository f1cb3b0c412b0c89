"""The still's light on a moved head, for B frames at once; :mod:`vivant.rig.light` finds it in the still."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vivant.rig.cameras import Cameras
from vivant.rig.light import DARKEST, normal_changes
from vivant.rig.tensors import floats, indices

if TYPE_CHECKING:
    from vivant.rig.build import PhotoRig

_MOST_LIGHT = 1.25  # ratio of brightness that a turn may cause
_FOLDS = 1.5  # the mesh is too coarse for the full depth of folds


class Lamp:
    """The still's light on a moved head."""

    def __init__(self, rig: PhotoRig, device: torch.device) -> None:
        self._rest, self._changes = floats(rig.light.normals, device), floats(normal_changes() * _FOLDS, device)
        self._own = floats(rig.shape.expression, device)
        self._coefficients = floats(rig.light.coefficients, device)
        still = rig.light.normals.astype(np.float64) @ rig.shape.placement.rotation.T
        self._before = self._shading(floats(still, device))
        self._corners, self._weights = indices(rig.sheet.corners, device), floats(rig.sheet.weights, device)

    def _shading(self, normals: Tensor) -> Tensor:
        x, y, z = normals.unbind(-1)
        parts = (torch.ones_like(x), x, y, z, x * y, x * z, y * z, x * x - y * y, 3 * z * z - 1)
        return sum(c * part for c, part in zip(self._coefficients, parts)).clamp_min(DARKEST)

    def ratio(self, camera: Cameras, units: Tensor) -> Tensor:
        """(B, N) factor of the colour at the skull's vertices, softly held to 0.8..1.25."""
        change = torch.tensordot(units - self._own, self._changes, 1)
        normals = F.normalize(self._rest + change, dim=-1) @ camera.turn.transpose(1, 2)
        limit = float(np.log(_MOST_LIGHT))
        return (limit * torch.tanh((self._shading(normals) / self._before).log() / limit)).exp()

    def on_sheet(self, ratio: Tensor) -> Tensor:
        """(B, M) the factor at the sheet's nodes."""
        return 1 + ((ratio[:, self._corners] - 1) * self._weights).sum(-1)
