"""What else moves when a head turns, and how far it is turned.

The keypoints of a small motion extractor do not turn rigidly: when a head turns, M changes its expression as well (its
canonical depths are not those of the face), and the heads it saw turn about their necks. W learned from such pairs, so
a rotation alone looks to it like a turn of a third. A table tells what goes with the rotation: ``delta`` (K, 3) that
turns with the head, and ``pivot`` (3,) that stands still. Roll needs neither.

M and the tracker both misread heads, but not in the same way: M nods too little, the tracker too much. ``heads``
(2, 3) says how much of each comes nearest to the turns of rendered heads, which are known exactly.
``tools/fit_pose_sliders.py`` fits all three, and adds the points of the canonical face that tell where a head is
turned.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
from torch import Tensor

from vivant.core.rotations import fitted_similarity
from vivant.methods.live_portrait.algebra import rotation_matrix
from vivant.methods.live_portrait.config import PRESETS, Config
from vivant.methods.live_portrait.edits import head_angles
from vivant.methods.live_portrait.motion import Motion
from vivant.weights.assets import asset

FILE = "live_portrait/lite_turns.safetensors"


@dataclass(frozen=True)
class Turns:
    """``delta`` (K, 3): added to canonical keypoints where only the change of the rotation counts. ``pivot`` (3,): the
    point, in canonical units, about which the head turns. ``heads`` (2, 3): weights of M's and of the tracker's
    rotation vector (:func:`rotation_vectors`). ``skull`` (N, 5): a landmark's number, its place on the canonical face
    in cm, and its weight; together they tell where the tracker sees a head turned."""

    delta: Tensor
    pivot: Tensor
    heads: Tensor
    skull: Tensor

    def seen(self, motion: Motion, landmarks: np.ndarray) -> Motion:
        """The motion of B faces with heads turned as M and the tracker say together.

        ``motion``: as M says. ``landmarks`` (B, 478, 3): as the tracker sees the same faces. What goes with a turn goes
        with the difference between the two; the place stays, because M sees that well.
        """
        skull, weights = self.skull.numpy().astype(np.float64), self.heads.numpy().astype(np.float64)
        points = landmarks.astype(np.float64)[:, skull[:, 0].astype(np.int64)]
        tracked, _, _ = fitted_similarity(skull[:, 1:4], points, skull[:, 4])
        of_m, of_tracker = (rotation_vectors(r) for r in (motion.rotation.cpu().numpy(), tracked))
        rotation = torch.from_numpy(from_vectors(weights[0] * of_m + weights[1] * of_tracker)).to(motion.rotation)
        return replace(motion, rotation=rotation, exp=motion.exp + self.carried(motion.rotation, rotation))

    def carried(self, before: Tensor, after: Tensor) -> Tensor:
        """(B, K, 3): the expression that goes with a turn from ``before`` to ``after``, (B, 3, 3) or (1, 3, 3) each."""
        return self._along(_nodded(before, after))

    def carry(self, edited: Motion, source: Motion) -> Motion:
        """``edited``, which is ``source`` with another rotation, with what goes with that; B faces each."""
        change = _nodded(source.rotation, edited.rotation)
        shift = -edited.scale * (self.pivot.to(edited.exp) @ change)
        shift[:, 2] = 0
        return replace(edited, exp=edited.exp + self._along(change), translation=edited.translation + shift)

    def _along(self, change: Tensor) -> Tensor:
        # a sum, not a matrix product, whose last bits hang on B: frames must not depend on how many are made at once
        return (self.delta.to(change)[:, :, None] * change[:, None]).sum(2)


def _nodded(before: Tensor, after: Tensor) -> Tensor:
    """What pitch and yaw change of a rotation, (B, 3, 3): ``after`` less ``before`` tilted as ``after`` is."""
    pitch, yaw, _ = head_angles(before)
    roll = head_angles(after)[2]
    count = max(len(before), len(after))
    return after - rotation_matrix(*(angle.expand(count) for angle in (pitch, yaw, roll))).to(after)


def rotation_vectors(rotation: np.ndarray) -> np.ndarray:
    """Rotations (B, 3, 3) of row vectors -> (B, 3) rotation vectors about x, y and z, in radians, float64."""
    from scipy.spatial.transform import Rotation

    return np.asarray(Rotation.from_matrix(np.swapaxes(np.asarray(rotation, np.float64), -1, -2)).as_rotvec())


def from_vectors(vectors: np.ndarray) -> np.ndarray:
    """The inverse of :func:`rotation_vectors`."""
    from scipy.spatial.transform import Rotation

    return np.asarray(np.swapaxes(Rotation.from_rotvec(vectors).as_matrix(), -1, -2))


def turns_of(config: Config) -> Turns | None:
    """The table of the preset ``lite``; None for other nets.

    Raises:
        WeightsError: the bundled file is missing or damaged.
    """
    return _lite_turns() if config == PRESETS["lite"] else None


@cache
def _lite_turns() -> Turns:
    from safetensors.torch import load_file

    found = load_file(asset(FILE))
    return Turns(found["delta"], found["pivot"], found["heads"], found["skull"])
