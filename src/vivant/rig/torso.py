"""Shoulders that follow the head a little, late, and breathe."""

from __future__ import annotations

import numpy as np

from vivant.rig.motion import RigMotion

TORSO_PIVOT = np.array([0.0, -32.0, -6.0])  # cm in the head: about the middle of the chest
_FOLLOW = np.array([0.10, 0.12, 0.18, 0.10])  # of the head's yaw, roll, x and y
_LIMIT = np.array([3.0, 2.0, 0.5, 0.3])  # degrees and cm; more would uncover what the still does not show
_LAG = 0.35  # seconds
_BREATH, _BREATH_SECONDS = 0.07, 3.8  # cm up and down, length of a breath


def torso_motion(motion: RigMotion, strength: float = 1.0) -> np.ndarray:
    """(F, 4) of the torso: yaw and roll in degrees, shift right and down in cm, signs of ``RigMotion``.

    It is the head's motion, weaker and smoothed by a causal filter, and a breath; all zero where the motion starts at
    zero, so that the first frame stays the photo.
    """
    head = motion.pose[:, [0, 2, 3, 4]] * _FOLLOW
    keep = float(np.exp(-1 / (_LAG * float(motion.fps))))
    torso = np.empty_like(head)
    state = head[0]
    for frame, wanted in enumerate(head):
        state = keep * state + (1 - keep) * wanted
        torso[frame] = state
    torso = _LIMIT * np.tanh(torso / _LIMIT)
    seconds = np.arange(len(motion)) / float(motion.fps)
    torso[:, 3] -= _BREATH * np.sin(2 * np.pi * seconds / _BREATH_SECONDS)
    result: np.ndarray = (torso * strength).astype(np.float32)
    return result
