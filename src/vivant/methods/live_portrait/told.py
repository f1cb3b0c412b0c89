"""Motion that is told in the head's own axes (:class:`vivant.core.face_motion.FaceMotion`) as a driver of one portrait.

Only for spaces whose keypoints are named landmarks: there a point's move on the head is the same point's expression.
With c the portrait's distance between the outer corners of the eyes over that of the canonical face, a move m in cm
adds c m R to the expression, R being the head's new rotation; the rest is the portrait's own, and what goes with a
turn.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from vivant.core.errors import ConfigError
from vivant.core.face_motion import LIP_PAIRS, MOVED, FaceMotion
from vivant.methods.live_portrait.algebra import rotation_matrix
from vivant.methods.live_portrait.config import MotionSpace
from vivant.methods.live_portrait.motion import Motion
from vivant.methods.live_portrait.openings import Openings, rest_ratio
from vivant.methods.live_portrait.turns import Turns

EYE_SPAN = 8.89
"""cm between the outer corners of the canonical face's eyes."""
_CORNERS = (33, 263)


class ToldDriver:
    """Drives one portrait: ``source`` (B = 1) is its motion as seen, ``turns`` what goes with a turn, if known.

    Raises:
        ConfigError: the space's keypoints have no names.
    """

    def __init__(self, space: MotionSpace, source: Motion, turns: Turns | None = None) -> None:
        if not set(MOVED) <= set(space.landmarks):
            raise ConfigError("Motion told by landmarks needs keypoints that are landmarks: use the preset lite.")
        device = source.exp.device
        self._source, self._turns = source, turns
        self._rows = torch.tensor([space.landmarks.index(p) for p in MOVED], device=device)
        self._openings = Openings(space, True, None, device)
        self._rest = rest_ratio(source.eyes)
        one, other = (source.canonical[:, space.landmarks.index(p)] for p in _CORNERS)
        self._unit = float((one - other).norm() / EYE_SPAN)
        self._pairs = [[MOVED.index(p) for p in side] for side in zip(*LIP_PAIRS)]

    def __call__(self, motion: FaceMotion) -> Motion:
        """The driver's motion, F rows; its first state is the portrait's own."""
        source, count, unit = self._source, len(motion), self._unit
        moves, lids, angles, shift, zoom = (
            torch.from_numpy(getattr(motion, name)).to(source.exp)
            for name in ("moves", "lids", "angles", "shift", "zoom")
        )
        rotation = rotation_matrix(*angles.unbind(1)) @ source.rotation
        told = torch.zeros(count, *source.exp.shape[1:], device=source.exp.device, dtype=source.exp.dtype)
        told[:, self._rows, :2] = moves * unit
        exp = source.exp + told @ rotation
        if self._turns is not None:
            exp = exp + self._turns.carried(source.rotation, rotation)
        in_plane = torch.cat([shift, torch.zeros_like(zoom)], 1) * unit * source.scale
        driver = Motion(
            exp=exp,
            rotation=rotation,
            scale=source.scale * zoom.exp(),
            translation=source.translation + in_plane,
            canonical=source.canonical.expand(count, -1, -1),
            eyes=lids * self._rest,
            lip=source.lip.expand(count, -1),
        )
        return self._parted(driver, moves)

    def _parted(self, driver: Motion, moves: Tensor) -> Motion:
        """With the gaps between the lips as told, whatever the portrait's own lips do."""
        upper, lower = self._pairs
        wanted = (moves[:, lower, 1] - moves[:, upper, 1]).clamp_min(0) * self._unit * driver.scale
        x = driver.keypoints()
        moved = self._openings.parted(x, wanted, driver) - x
        return replace(driver, exp=driver.exp + moved / driver.scale[..., None])
