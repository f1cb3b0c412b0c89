"""How a face moves, read from 478 landmarks, and how far a result's motion is from its driver's.

Landmarks are (478, 3) in pixels as :class:`vivant.core.face.Face` describes them. Openings use
three-dimensional distances over a rigid length of the same face along the same direction, so that turning
the head does not change them. "Left" and "right" are the picture's sides for a face that looks at the camera.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from vivant.metrics.statistics import Moments, moments

INNER_LIPS = (13, 14)
"""Middle of the upper and of the lower inner lip."""
UPPER_FACE = (10, 2)
"""Top of the forehead and base of the nose: vertical, and not moved by the jaw."""
LIDS = ((159, 145), (386, 374))
"""Upper and lower lid above and below the pupil, left eye then right eye."""
EYE_CORNERS = ((33, 133), (362, 263))
"""Left and right corner of the left eye, then of the right eye."""
IRISES = (468, 473)
"""Centre of the left iris, then of the right iris."""
SERIES = ("mouth", "lids", "gaze_x", "gaze_y")
"""Names of the series that :func:`face_series` reads."""


def _length(landmarks: np.ndarray, pair: tuple[int, int]) -> float:
    return float(np.linalg.norm(landmarks[pair[0]] - landmarks[pair[1]]))


def eye_distance(landmarks: np.ndarray) -> float:
    """Pixels between the two eye centres in the picture plane, each centre midway between its eye's
    corners.
    """
    left, right = (landmarks[list(corners), :2].mean(0) for corners in EYE_CORNERS)
    return float(np.linalg.norm(left - right))


def mouth_opening(landmarks: np.ndarray) -> float:
    """Gap of the inner lips (13-14) over the height of the upper face (10-2), both in 3D. Range 0 to about 1.

    Both lengths run along the face's vertical, so a nod shortens them alike, and the jaw does not move the
    second.
    """
    return _length(landmarks, INNER_LIPS) / _length(landmarks, UPPER_FACE)


def lid_opening(landmarks: np.ndarray) -> float:
    """Lid gap (159-145, 386-374) over eye width (33-133, 362-263) in 3D, mean of both eyes. Range 0 to about
    0.5.
    """
    ratios = [_length(landmarks, lids) / _length(landmarks, eye) for lids, eye in zip(LIDS, EYE_CORNERS)]
    return float(np.mean(ratios))


def gaze(landmarks: np.ndarray) -> tuple[float, float]:
    """Iris centre relative to the middle of the eye corners, in eye widths, mean of both eyes: (right, down).

    Measured in the picture plane along and across the line between the corners, so a tilted head changes
    nothing; range about -0.3..0.3. It tells a direction in the picture, not an angle in degrees.
    """
    offsets = []
    for (left, right), iris in zip(EYE_CORNERS, IRISES):
        axis = (landmarks[right] - landmarks[left])[:2]
        offset = landmarks[iris, :2] - landmarks[[left, right], :2].mean(0)
        across = axis[0] * offset[1] - axis[1] * offset[0]
        offsets.append((offset @ axis / (axis @ axis), across / (axis @ axis)))
    x, y = np.mean(offsets, axis=0)
    return float(x), float(y)


def face_series(landmarks: Sequence[np.ndarray | None]) -> dict[str, np.ndarray]:
    """Series (F,) float64 by the names in ``SERIES``; NaN where a frame has no face (None)."""
    rows = np.full((len(landmarks), len(SERIES)), np.nan)
    for row, points in zip(rows, landmarks):
        if points is not None:
            row[:] = mouth_opening(points), lid_opening(points), *gaze(points)
    return dict(zip(SERIES, rows.T))


def landmark_error(result: np.ndarray, true: np.ndarray) -> float:
    """Mean distance of all 478 points in the picture plane over :func:`eye_distance` of the true face.

    Range 0 and up, lower is better; 0.02 is about the detector's own noise.
    """
    apart = np.linalg.norm(result[:, :2] - true[:, :2], axis=1)
    return float(apart.mean() / eye_distance(true))


def rotation_angle(a: np.ndarray, b: np.ndarray) -> float:
    """Geodesic angle in degrees (0..180) of the rotation between two (3, 3) rotations, the headline pose
    error.

    The angle of ``a^T b``, read from both its trace and its antisymmetric part, which stays exact near 0 and
    180.
    """
    relative = a.T @ b
    twist = relative - relative.T
    sine = 0.5 * np.linalg.norm([twist[2, 1], twist[0, 2], twist[1, 0]])
    return float(np.degrees(np.arctan2(sine, 0.5 * (np.trace(relative) - 1))))


def euler_error(a: np.ndarray, b: np.ndarray) -> float:
    """Mean absolute difference in degrees of pitch, yaw and roll, (3,) each, differences wrapped to
    -180..180.

    Secondary pose error: it depends on the order of the angles, which :func:`rotation_angle` does not.
    """
    difference = (np.asarray(a) - np.asarray(b) + 180) % 360 - 180
    return float(np.abs(difference).mean())


def jitter(landmarks: Sequence[np.ndarray | None]) -> float:
    """Jitter in percent of the face's size, lower is better, for a result whose driver does not move.

    Mean distance in the picture plane that a landmark moves from one frame to the next, over the longer side
    of the first face's box. Pairs with a frame without a face are left out; NaN if none is left.
    """
    steps = [
        np.linalg.norm(b[:, :2] - a[:, :2], axis=1).mean()
        for a, b in pairwise(landmarks)
        if a is not None and b is not None
    ]
    if not steps:
        return float("nan")
    first = next(points for points in landmarks if points is not None)
    return float(100 * np.mean(steps) / np.ptp(first[:, :2], axis=0).max())


@dataclass(frozen=True)
class Motion:
    """What was seen of one clip: F frames, None or NaN where no face was found.

    ``landmarks``: F times (478, 3) or None. ``rotations``: (F, 3, 3) of the head, for row vectors.
    ``euler``: (F, 3) pitch, yaw, roll in degrees. ``series``: {name: (F,)}, see :func:`face_series`.
    """

    landmarks: list[np.ndarray | None]
    rotations: np.ndarray
    euler: np.ndarray
    series: dict[str, np.ndarray]

    @property
    def found(self) -> np.ndarray:
        """(F,) bool: the frame has a face."""
        return np.array([points is not None for points in self.landmarks], bool)

    def part(self, frames: np.ndarray) -> Motion:
        """Only the frames with these numbers."""
        kept = [self.landmarks[int(i)] for i in frames]
        series = {name: values[frames] for name, values in self.series.items()}
        return Motion(kept, self.rotations[frames], self.euler[frames], series)


def read_motion(landmarks: Sequence[np.ndarray | None]) -> Motion:
    """Pose and series of every frame of a clip from its landmarks."""
    from vivant.perception.pose import head_pose

    rotations = np.full((len(landmarks), 3, 3), np.nan)
    euler = np.full((len(landmarks), 3), np.nan)
    for i, points in enumerate(landmarks):
        if points is not None:
            pose = head_pose(points)
            rotations[i], euler[i] = pose.rotation, (pose.pitch, pose.yaw, pose.roll)
    return Motion(list(landmarks), rotations, euler, face_series(landmarks))


def absolute_errors(result: Motion, true: Motion) -> dict[str, float]:
    """Landmark, rotation and Euler error of a result that should show the true motion itself, mean over
    frames.
    """
    both = np.flatnonzero(result.found & true.found)
    rows = [
        (
            landmark_error(np.asarray(result.landmarks[i]), np.asarray(true.landmarks[i])),
            rotation_angle(result.rotations[i], true.rotations[i]),
            euler_error(result.euler[i], true.euler[i]),
        )
        for i in both
    ]
    values = np.mean(rows, axis=0) if rows else np.full(3, np.nan)
    return dict(zip(("landmark_error", "rotation_error", "euler_error"), map(float, values)))


def change_error(result: Motion, driver: Motion) -> float:
    """Mean angle in degrees between the two heads' changes of rotation since the first frame where both have
    a face.

    The change is ``R_i R_0^T`` of rotations for row vectors: the turn in the head's own axes, which is what
    relative motion transfers (LivePortrait, section 3.4), so faces that start in different poses compare.
    """
    both = np.flatnonzero(result.found & driver.found)
    if len(both) < 2:
        return float("nan")
    start = both[0]
    angles = [
        rotation_angle(result.rotations[i] @ result.rotations[start].T, driver.rotations[i] @ driver.rotations[start].T)
        for i in both[1:]
    ]
    return float(np.mean(angles))


def series_moments(result: Motion, driver: Motion) -> dict[str, Moments]:
    """How each series of the result follows the driver's; frames where either has no face are left out."""
    return {name: moments(driver.series[name], result.series[name]) for name in SERIES}


NOSE_TIP = 1
EYE_RADIUS = 0.41
"""Radius of the eyeball in eye widths: 12 mm in an eye whose corners are 29 mm apart."""


def gaze_angles(landmarks: np.ndarray) -> np.ndarray:
    """(2,) degrees that the eyes look to the right and down relative to the head's picture, under a sphere model.

    The arc sine of :func:`gaze` over ``EYE_RADIUS``; it tells a direction well and degrees roughly.
    """
    return np.degrees(np.arcsin(np.clip(np.array(gaze(landmarks)) / EYE_RADIUS, -1, 1)))


def v_kps(landmarks: np.ndarray) -> np.ndarray:
    """(3, 2) pixels: eye centre on the left of the picture, eye centre on the right, nose tip (V-Kps of V-Express)."""
    eyes = [landmarks[list(corners), :2].mean(0) for corners in EYE_CORNERS]
    return np.stack([*eyes, landmarks[NOSE_TIP, :2]])
