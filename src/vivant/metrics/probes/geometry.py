"""How the face moves: landmarks, head pose, expression, gaze, openings, blinks, steadiness.

Compared with the true clip, or with the driver when there is no true one. Faces are found by the same tracker in
all clips.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from vivant.core.face import Face
from vivant.metrics.blinks import blinks
from vivant.metrics.metric import INFINITE, Metric
from vivant.metrics.motion import (
    SERIES,
    euler_error,
    face_series,
    gaze_angles,
    landmark_error,
    rotation_angle,
    v_kps,
)
from vivant.metrics.probes.base import Case, Collector, Findings, Lab
from vivant.metrics.statistics import moments
from vivant.metrics.view import Block

_GOAL = ("driver", "face")
KPS_SIDE = 512
_TITLES = {"mouth": "mouth opening", "lids": "lid opening", "gaze_x": "gaze sideways", "gaze_y": "gaze up and down"}
_FOLLOWS = {
    "mouth": "gap of the inner lips over the height of the upper face, in 3D",
    "lids": "lid gap over eye width in 3D, mean of both eyes",
    "gaze_x": "iris centre along the line of the eye corners, in eye widths, mean of both eyes",
    "gaze_y": "iris centre across the line of the eye corners, in eye widths, mean of both eyes",
}


def _series_metrics() -> tuple[Metric, ...]:
    found = []
    for name in SERIES:
        key, title = name.replace("_", "-"), _TITLES[name]
        found += [
            Metric(
                f"{key}-correlation", f"{title}, correlation", "", (-1, 1), "higher",
                f"Pearson correlation with the goal's series ({_FOLLOWS[name]}); clips are pooled after taking each "
                "one's mean away", "Pearson", _GOAL, "clip", statistic="correlation",
            ),
            Metric(
                f"{key}-gain", f"{title}, gain", "", (-INFINITE, INFINITE), "near 1",
                "least-squares slope of the result's series on the goal's: 1 is full amplitude; pooled as the "
                "correlation", "least squares", _GOAL, "clip", statistic="gain",
            ),
        ]  # fmt: skip
    return tuple(found)


METRICS = (
    Metric("landmark-error", "landmark error / eye distance", "", (0, INFINITE), "lower",
           "mean distance of all 478 landmarks in the picture plane over the distance of the goal's eye centres",
           "normalised mean error, as in face alignment", ("true", "face"), digits=4),
    Metric("rotation-error", "head rotation error", "degrees", (0, 180), "lower",
           "geodesic angle between the two heads' rotations (canonical mesh fitted to the landmarks)",
           "angle of R_a^T R_b", ("true", "face"), digits=2),
    Metric("rotation-change-error", "error of head rotation's change", "degrees", (0, 180), "lower",
           "geodesic angle between the two heads' changes of rotation since the first frame where both have a face",
           "relative motion, LivePortrait section 3.4", ("driver", "face"), digits=2),
    Metric("apd-mesh", "APD (mesh pose)", "degrees", (0, 180), "lower",
           "average pose distance: mean absolute difference of pitch, yaw and roll; from our mesh fit, not from a "
           "3DMM regressor", "LivePortrait's APD with our pose", _GOAL, digits=2),
    Metric("aed-blendshapes", "AED (blendshapes)", "", (0, 1), "lower",
           "average expression distance: mean absolute difference of 51 blendshape coefficients; not of 3DMM "
           "coefficients", "LivePortrait's AED with MediaPipe's blendshapes", _GOAL, digits=4),
    Metric("eye-mae-iris", "eye direction MAE (irises)", "degrees", (0, 180), "lower",
           "mean absolute difference of horizontal and vertical eye angle; angle = arcsin(iris offset from the middle "
           "of the corners / 0.41 eye widths), a sphere of 24 mm in an eye 29 mm wide",
           "LivePortrait's MAE with irises", _GOAL, digits=2),
    Metric("kpsdis", "KpsDis", "pixels of 512", (0, INFINITE), "lower",
           "mean distance of the three V-Kps (two eye centres, nose tip), read from our landmarks, from the goal's, in "
           "pixels when the longer side of the picture is 512", "V-Express, experiments", ("true", "face"), digits=2),
    *_series_metrics(),
    Metric("faceless", "frames without a face", "%", (0, 100), "lower",
           "share of the frames in which the goal shows a face and the result none (the goal: all frames if there is "
           "none)", "own", ("face",), "clip", digits=2),
    Metric("jitter", "landmark jitter", "% of face size", (0, INFINITE), "as the truth",
           "mean length of the second difference of landmarks in time over 4, over the face's longer side: an "
           "alternation of amplitude a counts a, steady motion 0", "own; acceleration error of pose tracking",
           ("face",), "clip", of_truth=True),
    Metric("blinks-per-second", "blinks a second", "1/s", (0, INFINITE), "as the truth",
           "closings of the lids below half of the open level (90th percentile of the lid opening) that last 40 to "
           "500 ms", "Soukupova and Cech 2016, eye aspect ratio; Diffused Heads' blinks", ("face",), "clip",
           of_truth=True),
    Metric("blink-seconds", "length of a blink", "s", (0, INFINITE), "as the truth",
           "mean time below half of the open level, crossings between frames interpolated", "as blinks a second",
           ("face",), "clip", of_truth=True),
)  # fmt: skip


def lacking(lab: Lab, names: Mapping[str, Metric]) -> dict[str, str]:
    """Nothing is ever missing."""
    return {}


def start(lab: Lab, names: Mapping[str, Metric], case: Case) -> Collector:
    """A collector for one clip."""
    return _Geometry(case)


class _Track:
    """Numbers of one clip's face, frame by frame; pictures and landmarks are not kept, but for the last two."""

    def __init__(self) -> None:
        self.series: dict[str, list[float]] = {name: [] for name in SERIES}
        self.rotations: list[np.ndarray | None] = []
        self.euler: list[np.ndarray] = []
        self.steps: list[float] = []
        self._before: list[np.ndarray | None] = [None, None]

    def add(self, face: Face | None) -> None:
        from vivant.perception.pose import head_pose

        points = None if face is None else face.landmarks
        for name, values in face_series([points]).items():
            self.series[name] += values.tolist()
        if points is None:
            self.rotations.append(None)
            self.euler.append(np.full(3, np.nan))
        else:
            pose = head_pose(points)
            self.rotations.append(pose.rotation)
            self.euler.append(np.array([pose.pitch, pose.yaw, pose.roll]))
        first, second = self._before
        if first is not None and second is not None and points is not None:
            bend = np.linalg.norm(first[:, :2] - 2 * second[:, :2] + points[:, :2], axis=1).mean() / 4
            self.steps.append(float(100 * bend / np.ptp(second[:, :2], axis=0).max()))
        self._before = [second, points]


def _shapes_error(made: Face, goal: Face) -> float:
    if made.blendshapes is None or goal.blendshapes is None:
        return float("nan")
    return float(np.abs(made.blendshapes[1:] - goal.blendshapes[1:]).mean())  # the first is "neutral", always 0


class _Geometry:
    def __init__(self, case: Case) -> None:
        self._case = case
        self._tracks = {role: _Track() for role in ("made", "true", "driver")}
        self._rows: dict[str, list[float]] = {}

    def see(self, block: Block) -> None:
        faces = {role: block.faces(role) for role in self._tracks if block.of(role) is not None}
        for role, found in faces.items():
            for face in found:
                self._tracks[role].add(face)
        goal = self._case.goal
        if goal is None or "made" not in faces:
            return
        pictures = block.made or []
        for made, true, picture in zip(faces["made"], faces[goal], pictures):
            self._compare(made, true, max(picture.shape[:2]))

    def _compare(self, made: Face | None, goal: Face | None, side: int) -> None:
        names = ("landmark-error", "apd-mesh", "aed-blendshapes", "eye-mae-iris", "kpsdis", "rotation-error")
        values = dict.fromkeys(names, float("nan"))
        if made is not None and goal is not None:
            mine, theirs = made.landmarks, goal.landmarks
            turns = [self._tracks[role] for role in ("made", self._case.goal or "true")]
            number = len(self._rows.get("apd-mesh", []))
            apart = np.linalg.norm(v_kps(mine) - v_kps(theirs), axis=1).mean()
            values["aed-blendshapes"] = _shapes_error(made, goal)
            values["apd-mesh"] = euler_error(turns[0].euler[number], turns[1].euler[number])
            values["eye-mae-iris"] = float(np.abs(gaze_angles(mine) - gaze_angles(theirs)).mean())
            values["kpsdis"] = float(apart * KPS_SIDE / side)
            if self._case.goal == "true":
                values["landmark-error"] = landmark_error(mine, theirs)
                first, second = (track.rotations[number] for track in turns)
                values["rotation-error"] = rotation_angle(np.asarray(first), np.asarray(second))
        for name, value in values.items():
            self._rows.setdefault(name, []).append(value)

    def finish(self) -> Findings:
        found = Findings()
        for role in self._case.judged():
            self._alone(found, role)
        goal = self._case.goal
        if goal is not None and self._case.subject.made is not None:
            for name, values in self._rows.items():
                if self._case.goal == "true" or name not in ("landmark-error", "rotation-error", "kpsdis"):
                    found.put("made", name, values)
            self._follow(found, self._tracks["made"], self._tracks[goal])
        return found

    def _alone(self, found: Findings, role: str) -> None:
        track = self._tracks[role]
        found.set(role, "jitter", float(np.mean(track.steps)) if track.steps else float("nan"))
        rate, length = blinks(np.array(track.series["lids"]), float(self._case.fps))
        found.set(role, "blinks-per-second", rate)
        found.set(role, "blink-seconds", length)
        if role == "made":
            shows = np.array([turn is not None for turn in track.rotations])
            goal = self._case.goal
            wanted = [turn is not None for turn in self._tracks[goal].rotations] if goal else [True] * len(shows)
            asked = np.array(wanted, bool)
            found.set(role, "faceless", float(100 * (~shows[asked]).mean()) if asked.any() else float("nan"))

    def _follow(self, found: Findings, made: _Track, goal: _Track) -> None:
        for name in SERIES:
            key = name.replace("_", "-")
            part = moments(np.array(goal.series[name]), np.array(made.series[name]))
            found.moments[key] = part
            found.set("made", f"{key}-correlation", part.correlation)
            found.set("made", f"{key}-gain", part.gain)
            found.series[f"series/{key}"] = np.array(made.series[name])
            found.truth_series[f"series/{key}"] = np.array(goal.series[name])
        found.set("made", "rotation-change-error", _change_error(made.rotations, goal.rotations))


def _change_error(made: list[np.ndarray | None], goal: list[np.ndarray | None]) -> float:
    """See :func:`vivant.metrics.motion.change_error`."""
    both = [(a, b) for a, b in zip(made, goal) if a is not None and b is not None]
    if len(both) < 2:
        return float("nan")
    first, second = both[0]
    return float(np.mean([rotation_angle(a @ first.T, b @ second.T) for a, b in both[1:]]))
