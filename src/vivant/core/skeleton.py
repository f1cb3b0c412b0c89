"""Facts of the whole-body keypoint layout that several rooms need: order, bones, mirror.

128 points: OpenPose's 18 body points, the person's left hand (21), right hand (21), and 68 face points in iBUG order.
Shorter arrays are prefixes: 18 points are a body, 60 a body with hands. "Left" and "right" are the person's own.
"""

from __future__ import annotations

BODY_NAMES: tuple[str, ...] = (
    "nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
    "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "right_eye", "left_eye",
    "right_ear", "left_ear",
)  # fmt: skip
"""OpenPose-18 (Cao et al. 2017, arXiv 1611.08050, COCO model)."""

BODY = slice(0, 18)
LEFT_HAND = slice(18, 39)
RIGHT_HAND = slice(39, 60)
FACE = slice(60, 128)
POINTS = 128
PREFIXES = (18, 60, 128)
"""Numbers of points that an array of this layout may have."""

BODY_LIMBS: tuple[tuple[int, int], ...] = (
    (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13), (1, 0),
    (0, 14), (14, 16), (0, 15), (15, 17),
)  # fmt: skip
"""The 17 limbs in the order in which they are drawn; each leads away from the neck: a kinematic tree."""

HAND_BONES: tuple[tuple[int, int], ...] = (
    (0, 1), (1, 2), (2, 3), (3, 4), (0, 5), (5, 6), (6, 7), (7, 8), (0, 9), (9, 10), (10, 11), (11, 12), (0, 13),
    (13, 14), (14, 15), (15, 16), (0, 17), (17, 18), (18, 19), (19, 20),
)  # fmt: skip
"""Wrist, then thumb, index, middle, ring and little finger, each from palm to tip."""

_BODY_MIRROR = (0, 1, 5, 6, 7, 2, 3, 4, 11, 12, 13, 8, 9, 10, 15, 14, 17, 16)
_FACE_MIRROR = (
    *range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1), 45, 44, 43, 42, 47, 46, 39, 38, 37, 36,
    41, 40, *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), 67, 66, 65,
)  # fmt: skip
MIRROR: tuple[int, ...] = (
    *_BODY_MIRROR, *range(39, 60), *range(18, 39), *(FACE.start + point for point in _FACE_MIRROR),
)  # fmt: skip
"""Point that each of the 128 points becomes when the picture is flipped left to right."""
