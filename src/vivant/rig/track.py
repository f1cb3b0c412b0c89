"""Motion of a filmed face: one identity, fitted frame by frame, told as motion for another rig."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from scipy.ndimage import gaussian_filter1d

from vivant.core.errors import FaceError
from vivant.rig.anatomy import LOWER_RIM, UPPER_RIM
from vivant.rig.camera import Placement
from vivant.rig.fit import HeadFit, Prior, dense_pairs, fit_head, solve
from vivant.rig.head import HeadModel
from vivant.rig.motion import EXPRESSION_NAMES, RigMotion, expression_rows

_FIRST_FRAMES = 50  # the identity is the mean of fits among these
_FITS = 6
_ITERATIONS = 4
_PRIOR = Prior(expression=0.5, pull=0.25)
_EYES = ((468, 33, 133), (473, 362, 263))  # iris, the corner on the left of the picture, the other one
_GAZE = np.array([2.0, 1.2])  # rad per width of the eye, sideways and up or down
_BLINK_GAIN = 1.6  # closed eyes fit to a blink of 0.66 to 0.78
MOUTH_GAIN = 1.12
"""The prior on expressions holds fitted mouths back by so much."""
_CLOSED_LIPS = 20  # per cent of the frames that show the lips least open are the neutral ones


@dataclass(frozen=True)
class Track:
    """A face followed over F frames. ``placements``: F of them. ``identity``: (100,). ``expression``: (F, E).
    ``gaze``: (F, 2) radians right and down, up to a constant. ``residual``: (F,) cm, nan where no face was seen.
    ``missing``: frames that repeat the one before because no face was seen."""

    placements: tuple[Placement, ...]
    identity: np.ndarray
    expression: np.ndarray
    gaze: np.ndarray
    residual: np.ndarray
    missing: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.placements)

    def neutral_expression(self) -> np.ndarray:
        """(E,) one coherent mean over the frames with the lips least open and the eyes not shut.

        Not a low percentile of each unit: that is no face, and lips transferred against it lose their step.
        """
        blink = self.expression[:, expression_rows("eyeBlink_L")[0]]
        gap = self.lip_gap()
        calm = gap <= np.percentile(gap, _CLOSED_LIPS)
        awake = calm & (blink <= np.percentile(blink, 70))
        mean: np.ndarray = self.expression[awake if awake.any() else calm].mean(0)
        return mean

    def lip_gap(self) -> np.ndarray:
        """(F,) opening of the fitted lips in the middle, cm."""
        head = HeadModel.load()
        top, bottom = UPPER_RIM[len(UPPER_RIM) // 2], LOWER_RIM[len(LOWER_RIM) // 2]
        rest = head.neutral[top, 1] - head.neutral[bottom, 1]
        gap: np.ndarray = rest + self.expression @ (head.expression[:, top, 1] - head.expression[:, bottom, 1])
        return gap

    def motion(self, fps: Fraction | int, onto: Stance | None = None, smooth: bool = True) -> RigMotion:
        """The motion for another rig.

        Pose and gaze are told since the first frame and around their median; the expression against
        :meth:`neutral_expression`, and not clipped, so that it keeps its step. With ``onto`` turns, expression and gaze
        are told against that still, which then shows what the driver shows, not only how it changes.
        """
        first = self.placements[0]
        calm = self.neutral_expression()
        expression = self.expression.copy()
        for row in expression_rows("eyeBlink"):
            shut = np.maximum(expression[:, row] - calm[row], 0) * _BLINK_GAIN
            expression[:, row] = np.minimum(calm[row], expression[:, row]) + shut if onto else calm[row] + shut
        origin = replace(first, rotation=onto.rotation) if onto else first
        pose = np.array([place.since(origin) for place in self.placements])
        pose[:, 3:] -= pose[0, 3:]  # where the head is in its picture is the still's own matter
        expression = (expression - (onto.expression if onto else calm)) * _gains()
        gaze = self.gaze - (onto.gaze if onto else np.median(self.gaze, axis=0))
        if smooth and len(self) > 1:
            frames = float(fps) / 25
            pose = gaussian_filter1d(pose, 0.7 * frames, axis=0)
            expression = gaussian_filter1d(expression, 0.5 * frames, axis=0)
            gaze = gaussian_filter1d(gaze, 1.0 * frames, axis=0)
        return RigMotion(Fraction(fps), pose, expression, gaze)


def _gains() -> np.ndarray:
    """(E,) what fitted units are multiplied with."""
    return np.array([MOUTH_GAIN if name.startswith(("jaw", "mouth")) else 1.0 for name in EXPRESSION_NAMES])


@dataclass(frozen=True)
class Stance:
    """What a still shows: ``rotation`` (3, 3) of its head, ``expression`` (E,), ``gaze`` (2,) of :func:`gaze_of`."""

    rotation: np.ndarray
    expression: np.ndarray
    gaze: np.ndarray


class RigTracker:
    """Follows one face through a video of frames of the same size.

    Give :meth:`add` the landmarks of each frame, then call :meth:`finish`. Only the first frames' landmarks are kept,
    then 63 numbers a frame. About 15 ms a frame on one core.
    """

    def __init__(self, frame_size: tuple[int, int]) -> None:
        """``frame_size``: (height, width) in pixels."""
        self._centre = (np.array(frame_size[::-1], np.float64) - 1) / 2
        self._waiting: list[np.ndarray | None] | None = []
        self._identity = np.zeros(0)
        self._found: list[_Frame | None] = []

    def add(self, landmarks: np.ndarray | None) -> None:
        """One more frame: (478, 3) in pixels of the frame, or None where no face is seen."""
        if self._waiting is None:
            self._follow(landmarks)
            return
        self._waiting.append(landmarks)
        if sum(points is not None for points in self._waiting) == _FIRST_FRAMES:
            self._begin()

    def finish(self) -> Track:
        """The whole track.

        Raises:
            FaceError: no frame showed a face.
        """
        self._begin()
        known = [frame for frame in self._found if frame is not None]
        if not known:
            raise FaceError("The driver shows no face in any frame: choose another clip.")
        frames, missing, last = [], [], known[0]
        for number, frame in enumerate(self._found):
            if frame is None:
                missing.append(number)
            last = frame or last
            frames.append(last)
        return Track(
            placements=tuple(frame.fit.placement for frame in frames),
            identity=self._identity,
            expression=np.array([frame.fit.expression for frame in frames]),
            gaze=np.array([frame.gaze for frame in frames]),
            residual=np.array([np.nan if found is None else found.fit.residual for found in self._found]),
            missing=tuple(missing),
        )

    def _begin(self) -> None:
        """Fix the identity and follow the frames that waited for it."""
        waiting, self._waiting = self._waiting, None
        faces = [points for points in waiting or () if points is not None]
        if faces:
            chosen = [faces[k] for k in np.unique(np.linspace(0, len(faces) - 1, _FITS).astype(int))]
            self._identity = np.mean([fit_head(points, self._centre).identity for points in chosen], axis=0)
        for points in waiting or ():
            self._follow(points)

    def _follow(self, landmarks: np.ndarray | None) -> None:
        if landmarks is None:
            self._found.append(None)
            return
        last = next((frame.fit for frame in reversed(self._found) if frame is not None), None)
        if last is None:
            first, prior = fit_head(landmarks, self._centre), _PRIOR
            first = replace(first, identity=self._identity)
        else:
            first, prior = last, replace(_PRIOR, towards=last.expression)
        fit = solve(dense_pairs(landmarks), self._centre, first, _ITERATIONS, prior, fixed_identity=True)
        self._found.append(_Frame(fit, gaze_of(landmarks)))


@dataclass(frozen=True)
class _Frame:
    fit: HeadFit
    gaze: np.ndarray


class LiveTracker:
    """Follows one face live: the first frame that shows it fixes identity and neutral expression; looks only back."""

    def __init__(self, smooth: Callable[[np.ndarray], np.ndarray] | None = None, fps: Fraction | int = 25) -> None:
        """``smooth``: a causal filter of the numbers of a frame, for example a One-Euro filter."""
        self._smooth, self._fps = smooth, Fraction(fps)
        self._first: _Frame | None = None
        self._last: HeadFit | None = None
        self._told: RigMotion | None = None

    def __call__(self, landmarks: np.ndarray | None, frame_size: tuple[int, int]) -> RigMotion | None:
        """The motion (one frame) since the first face for landmarks (478, 3) in pixels of a frame of (height, width);
        where no face is seen the motion before, None before the first."""
        if landmarks is None:
            return self._told
        centre = (np.array(frame_size[::-1], np.float64) - 1) / 2
        if self._last is None or self._first is None:
            self._last = fit_head(landmarks, centre)
            self._first = _Frame(self._last, gaze_of(landmarks))
        prior = replace(_PRIOR, towards=self._last.expression)
        self._last = solve(dense_pairs(landmarks), centre, self._last, _ITERATIONS, prior, fixed_identity=True)
        pose = self._last.placement.since(self._first.fit.placement)
        expression = self._last.expression - self._first.fit.expression
        for row in expression_rows("eyeBlink"):
            expression[row] = max(expression[row], 0) * _BLINK_GAIN
        numbers = np.concatenate([pose, expression * _gains(), gaze_of(landmarks) - self._first.gaze])
        if self._smooth is not None:
            numbers = self._smooth(numbers)
        self._told = RigMotion(self._fps, numbers[None, :6], numbers[None, 6:-2], numbers[None, -2:])
        return self._told


def gaze_of(landmarks: np.ndarray) -> np.ndarray:
    """(2,) radians right and down of landmarks (478, 2 or 3): irises between the corners of their eyes, along and
    across the line through the corners; the mean of both eyes, up to a constant."""
    eyes = []
    for iris, left, right in _EYES:
        along = landmarks[right, :2] - landmarks[left, :2]
        width = max(float(np.hypot(*along)), 1e-6)
        along = along / width
        away = landmarks[iris, :2] - (landmarks[left, :2] + landmarks[right, :2]) / 2
        eyes.append([away @ along / width, away @ np.array([-along[1], along[0]]) / width])
    gaze: np.ndarray = np.mean(eyes, 0) * _GAZE
    return gaze


def track_face(landmarks: Sequence[np.ndarray | None] | np.ndarray, frame_size: tuple[int, int]) -> Track:
    """:class:`RigTracker` over the landmarks of a whole clip."""
    tracker = RigTracker(frame_size)
    for points in landmarks:
        tracker.add(points)
    return tracker.finish()
