"""Where the head is, and how it is seen.

Inside the rig the camera's axes are x right, y up, z towards the viewer (those of the head model); pixels are OpenCV's.
The camera is 80 cm before the head's origin and looks at the middle of the picture; size is told by the focal length.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

DISTANCE = 80.0  # cm
FACE_DEPTH = 8.0  # cm before the head's origin: where one pixel is measured in cm
PIVOT = np.array([0.0, -5.0, -1.0])  # cm in the head: the base of the skull, which turns stay fixed about
REST_PITCH = 8.0  # degrees; the model's own zero looks up by so much: median over 1,100 portraits
FLIP = np.diag([1.0, -1.0, -1.0])  # between picture axes (y down, z away) and the rig's


@dataclass(frozen=True)
class Placement:
    """A head before the camera. ``rotation``: (3, 3); ``shift``: (2,) cm right and up; ``log_focal``: log pixels."""

    rotation: np.ndarray
    shift: np.ndarray
    log_focal: float

    @property
    def pixels_per_cm(self) -> float:
        """Scale at the depth of the face."""
        return float(np.exp(self.log_focal) / (DISTANCE - FACE_DEPTH))

    @property
    def offset(self) -> np.ndarray:
        """(3,) shift in cm."""
        return np.array([self.shift[0], self.shift[1], 0.0])

    def seen(self, vertices: np.ndarray) -> np.ndarray:
        """Vertices (..., 3) of the head in camera axes."""
        return vertices @ self.rotation.T + self.offset

    def back(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 3) in camera axes as vertices of the head."""
        return (points - self.offset) @ self.rotation

    def pixels(self, points: np.ndarray, centre: np.ndarray) -> np.ndarray:
        """(..., 2) pixels of points (..., 3) in camera axes; ``centre`` (2,) is the middle of the picture."""
        scale = np.exp(self.log_focal) / (DISTANCE - points[..., 2:])
        return centre + points[..., :2] * scale * [1, -1]

    def points(self, pixels: np.ndarray, depth: np.ndarray, centre: np.ndarray) -> np.ndarray:
        """(..., 3) points in camera axes that lie on pixels (..., 2) at z = ``depth`` (...)."""
        flat = (pixels - centre) * [1, -1] * ((DISTANCE - depth) / np.exp(self.log_focal))[..., None]
        return np.concatenate([flat, np.asarray(depth)[..., None]], -1)

    def angles(self) -> tuple[float, float, float]:
        """Yaw, pitch, roll of the head itself in degrees, signs of ``RigMotion``, 0 looks straight ahead."""
        R = FLIP @ self.rotation @ FLIP
        yaw = np.degrees(np.arcsin(np.clip(-R[2, 0], -1, 1)))
        pitch = np.degrees(np.arctan2(R[2, 1], R[2, 2])) - REST_PITCH
        return float(yaw), float(pitch), float(np.degrees(np.arctan2(R[1, 0], R[0, 0])))

    def moved(self, pose: np.ndarray) -> Placement:
        """The placement after a relative pose (6,) of ``RigMotion``."""
        R0, R1 = self.rotation, turn(*pose[:3]) @ self.rotation
        travel = R0 @ PIVOT - R1 @ PIVOT  # keeps the pivot where it was
        nearer = np.log((DISTANCE - FACE_DEPTH) / (DISTANCE - FACE_DEPTH - travel[2]))
        shift = self.shift + travel[:2] + [pose[3], -pose[4]]
        return replace(self, rotation=R1, shift=shift, log_focal=self.log_focal + float(pose[5] + nearer))

    def since(self, first: Placement) -> np.ndarray:
        """(6,) the relative pose with which ``first`` becomes this placement: the inverse of :meth:`moved`."""
        pose = np.array([*turn_angles(self.rotation @ first.rotation.T), 0.0, 0.0, 0.0])
        bare = first.moved(pose)
        pose[3:5] = (self.shift - bare.shift) * [1, -1]
        pose[5] = self.log_focal - bare.log_focal
        return pose


def turn(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """(3, 3) rotation in camera axes by Rz(roll) Ry(yaw) Rx(pitch) of the picture's axes, in degrees."""
    (sy, sp, sr), (cy, cp, cr) = np.sin(np.radians([yaw, pitch, roll])), np.cos(np.radians([yaw, pitch, roll]))
    rx = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    ry = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    rz = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return FLIP @ rz @ ry @ rx @ FLIP


def turn_angles(rotation: np.ndarray) -> tuple[float, float, float]:
    """Yaw, pitch, roll in degrees: the inverse of :func:`turn`; yaw lies in -90..90."""
    R = FLIP @ rotation @ FLIP
    pitch, roll = np.arctan2(R[2, 1], R[2, 2]), np.arctan2(R[1, 0], R[0, 0])
    yaw, pitch, roll = np.degrees([np.arcsin(np.clip(-R[2, 0], -1, 1)), pitch, roll])
    return float(yaw), float(pitch), float(roll)
