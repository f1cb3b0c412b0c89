"""How far a photograph can be moved before it shows what it does not know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vivant.rig.motion import RigMotion

if TYPE_CHECKING:
    from vivant.rig.build import PhotoRig

_FARTHEST = (30.0, 18.0, 30.0)  # degrees of the head itself: yaw, pitch, roll
_MOST = (28.0, 15.0, 22.0)  # degrees away from the still
_WITH_GLASSES, _WITH_LONG_HAIR = 15.0, 20.0  # yaw: frames bend, lobes of hair stand beside the jaw
_CUT_HAIR = 10.0  # degrees that a head may nod down whose hair is cut by the upper edge
_LEAST = 4.0
_FACING = 4.0  # degrees of yaw; a still that is turned less shows both sides
_SHIFT_CM, _LOG_SCALE = 4.0, 0.12
_GAZE = np.array([0.40, 0.25])  # rad sideways, up or down
_STRAIGHT = 0.7  # of a limit; up to there motion stays as it is


@dataclass(frozen=True)
class Reach:
    """Angles relative to the still in degrees, ``lowest`` and ``highest`` (3,) of yaw, pitch and roll."""

    lowest: np.ndarray
    highest: np.ndarray


def reach_of(rig: PhotoRig) -> Reach:
    """How far this rig's head can turn and still look right."""
    own = np.array(rig.shape.placement.angles())
    yaw = _WITH_GLASSES if rig.glasses.worn else _WITH_LONG_HAIR if long_hair(rig) else _MOST[0]
    most = np.array([yaw, *_MOST[1:]])
    lowest, highest = -np.minimum(most, np.array(_FARTHEST) + own), np.minimum(most, np.array(_FARTHEST) - own)
    known = _MOST[0] - max(0.0, abs(float(own[0])) - _FACING)
    if own[0] < 0:  # the side that a turned still hides comes to light when the head turns back past the camera
        highest[0] = min(highest[0], known)
    else:
        lowest[0] = max(lowest[0], -known)
    if hair_cut(rig) > 0.25:
        highest[1] = min(highest[1], _CUT_HAIR)
    return Reach(np.minimum(lowest, -_LEAST), np.maximum(highest, _LEAST))


def hair_cut(rig: PhotoRig) -> float:
    """Part of the still's top rows that is person, 0..1."""
    return float((rig.layers.matte[: max(2, len(rig.image) // 50)] > 0.5).mean())


def long_hair(rig: PhotoRig) -> bool:
    """Whether the person is much wider than the face at the height of the mouth."""
    from vivant.rig.anatomy import OVAL, UPPER_RIM, anatomy

    outline = rig.shape.pixels[anatomy().mesh_vertex[list(OVAL)]]
    row = int(np.clip(rig.shape.pixels[list(UPPER_RIM), 1].mean(), 0, len(rig.image) - 1))
    person = np.flatnonzero(rig.layers.matte[row] > 0.5)
    if len(person) == 0:
        return False
    spare = 2.0 * rig.shape.placement.pixels_per_cm
    left, right = outline[:, 0].min() - person.min(), person.max() - outline[:, 0].max()
    return bool(max(left, right) > spare)


def common_reach(reaches: Sequence[Reach]) -> Reach:
    """How far all of them can turn."""
    return Reach(np.max([r.lowest for r in reaches], axis=0), np.min([r.highest for r in reaches], axis=0))


def within_reach(motion: RigMotion, rig: PhotoRig | Reach) -> RigMotion:
    """``motion`` bent softly back where it would pass the reach of ``rig``, or a reach that is known already."""
    reach, pose = rig if isinstance(rig, Reach) else reach_of(rig), motion.pose.astype(np.float64)
    for axis in range(3):
        limit = np.where(pose[:, axis] < 0, -reach.lowest[axis], reach.highest[axis])
        pose[:, axis] = _softly(pose[:, axis], limit)
    pose[:, 3:5], pose[:, 5] = _softly(pose[:, 3:5], _SHIFT_CM), _softly(pose[:, 5], _LOG_SCALE)
    return RigMotion(motion.fps, pose, motion.expression, _softly(motion.gaze.astype(np.float64), _GAZE))


def _softly(value: np.ndarray, limit: np.ndarray | float) -> np.ndarray:
    """``value`` unchanged up to a part of ``limit``, then bent so that it never passes it."""
    size, bend = np.abs(value), _STRAIGHT * np.asarray(limit)
    rest = np.asarray(limit) - bend
    bent: np.ndarray = np.sign(value) * np.where(size <= bend, size, bend + rest * np.tanh((size - bend) / rest))
    return bent
