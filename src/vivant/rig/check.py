"""Which stills make good rigs: by their fit and pose, and by finding the face again in frames drawn from them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from vivant.rig.anatomy import LID_RING_LEFT, LID_RING_RIGHT, LOWER_LIP, OUTER_LIPS, OVAL, UPPER_LIP, anatomy
from vivant.rig.build import PhotoRig, RigRejected
from vivant.rig.limits import hair_cut
from vivant.rig.motion import RigMotion, expression_vector

Detector = Callable[[np.ndarray], np.ndarray | None]
"""Landmarks (478, 3) of the largest face of a picture (H, W, 3) uint8, or None."""

_EYES = sorted({*LID_RING_LEFT, *LID_RING_RIGHT})
_MOUTH = sorted({*UPPER_LIP, *LOWER_LIP, *OUTER_LIPS})
_LIDS = ((159, 145, 33, 133), (386, 374, 362, 263))  # upper, lower, corners
TEST_SIZE = 256
_NUMBERS = re.compile(r" \(.*\)| by -?\d+ degrees| \d+\.\d+ cm")  # what differs between reasons of one kind


@dataclass(frozen=True)
class Limits:
    """What a still for training data has to keep. Lengths in cm, angles in degrees; ``eyes`` height over width."""

    residual: float = 0.165
    yaw: float = 20.0
    pitch: float = 15.0
    eyes: float = 0.18
    face: float = 0.2  # width of the face over the still's side
    redetected: float = 0.40
    redetected_rest: float = 0.20


@dataclass(frozen=True)
class StillReport:
    """Measures of a rig's still. ``residual`` cm; ``yaw``, ``pitch``, ``roll`` degrees of the head itself; ``gap`` of
    the lips in cm; ``eyes``: opening of the narrower eye, height over width; ``face``: width over the still's side;
    ``hair_cut``: part of the still's top rows that is person; ``person``: part of the still; ``glasses``: whether they
    are worn; ``reasons``: why the still
    is refused, empty if it is not."""

    residual: float
    yaw: float
    pitch: float
    roll: float
    gap: float
    eyes: float
    face: float
    hair_cut: float
    person: float
    glasses: bool = False
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Redetected:
    """Distance in cm between drawn landmarks and those a detector finds, mean over points: all 468, lids, lips.
    ``lids``: opening of the eyes as detected, height over width. nan where no face was found."""

    all: float
    eyes: float
    mouth: float
    lids: float


@dataclass(frozen=True)
class CheckReport:
    """:class:`StillReport` and :class:`Redetected` by pose. ``reasons``: all of them."""

    still: StillReport
    poses: Mapping[str, Redetected] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()


def inspect_still(rig: PhotoRig, limits: Limits | None = None) -> StillReport:
    """Measure the still of a rig and say what is wrong with it for training data."""
    limits, side = limits or Limits(), len(rig.image)
    yaw, pitch, roll = rig.shape.placement.angles()
    eyes = min(eye.opening for eye in rig.eyes)
    outline = rig.shape.pixels[anatomy().mesh_vertex[list(OVAL)]]
    face = float(np.ptp(outline[:, 0]) / side)
    reasons = [
        text
        for wrong, text in (
            (rig.fit.residual > limits.residual, f"the head fits badly ({rig.fit.residual:.2f} cm)"),
            (abs(yaw) > limits.yaw, f"the head is turned by {yaw:.0f} degrees"),
            (abs(pitch) > limits.pitch, f"the head is nodded by {pitch:.0f} degrees"),
            (eyes < limits.eyes, f"an eye is nearly shut (opening {eyes:.2f})"),
            (rig.glasses.dark, "dark glasses hide the eyes"),
            (face < limits.face, f"the face is small ({face:.0%} of the width)"),
        )
        if wrong
    ]
    return StillReport(
        residual=rig.fit.residual,
        yaw=yaw,
        pitch=pitch,
        roll=roll,
        gap=rig.shape.gap,
        eyes=eyes,
        face=face,
        hair_cut=hair_cut(rig),
        person=float((rig.layers.matte > 0.5).mean()),
        glasses=rig.glasses.worn,
        reasons=tuple(reasons),
    )


def check_poses() -> dict[str, RigMotion]:
    """The motions that :func:`check_rig` draws, one frame each."""
    poses = {
        "rest": ((), {}),
        "jaw": ((), {"jawOpen": 0.3}),
        "blink": ((), {"eyeBlink": 1.0}),
        "smile": ((), {"mouthSmile": 0.6}),
        "yaw -20": ((-20,), {}),
        "yaw 20, pitch -8": ((20, -8), {}),
        "mixed": ((12, 6, -8), {"jawOpen": 0.2, "mouthSmile": 0.3, "browInnerUp": 0.5, "eyeSquint": 0.3}),
    }
    motions = {}
    for name, (angles, units) in poses.items():
        pose = np.zeros((1, 6))
        pose[0, : len(angles)] = angles
        motions[name] = RigMotion(Fraction(25), pose, expression_vector(units)[None], np.zeros((1, 2)))
    return motions


def check_rig(rig: PhotoRig, detect: Detector, limits: Limits | None = None, device: str = "auto") -> CheckReport:
    """Inspect the still, draw the test poses and find the face again in each."""
    limits = limits or Limits()
    still = inspect_still(rig, limits)
    poses = check_poses()
    frames = rig.render(RigMotion.joined(list(poses.values())), TEST_SIZE, device=device)
    cm = TEST_SIZE / rig.window.side * rig.shape.placement.pixels_per_cm
    found = {name: _compare(frame.landmarks, detect(frame.image), cm) for name, frame in zip(poses, frames)}
    reasons = list(still.reasons)
    for name, result in found.items():
        limit = limits.redetected_rest if name == "rest" else limits.redetected
        if not np.isfinite(result.all):
            reasons.append(f"no face is found in the pose '{name}'")
        elif result.all > limit:
            reasons.append(f"the face lies {result.all:.2f} cm off in the pose '{name}'")
    return CheckReport(still, found, tuple(reasons))


def require_good(report: CheckReport | StillReport, name: str) -> None:
    """Refuse a still.

    Raises:
        RigRejected: the report holds a reason; the message names all.
    """
    if report.reasons:
        raise RigRejected(f"{name} does not make a good rig: {'; '.join(report.reasons)}. Use another still.")


def _compare(drawn: np.ndarray, found: np.ndarray | None, pixels_per_cm: float) -> Redetected:
    if found is None:
        return Redetected(np.nan, np.nan, np.nan, np.nan)
    distance = np.linalg.norm(drawn[:468, :2] - found[:468, :2], axis=1) / pixels_per_cm
    return Redetected(
        all=float(distance.mean()),
        eyes=float(distance[_EYES].mean()),
        mouth=float(distance[_MOUTH].mean()),
        lids=lid_opening(found),
    )


def lid_opening(landmarks: np.ndarray) -> float:
    """Height over width of the eyes of landmarks (478, 2 or 3), mean of both."""
    flat = landmarks[:, :2]
    ratios = [np.hypot(*(flat[a] - flat[b])) / max(np.hypot(*(flat[c] - flat[d])), 1e-6) for a, b, c, d in _LIDS]
    return float(np.mean(ratios))


def summary(reports: Sequence[CheckReport]) -> dict[str, object]:
    """Statistics over many stills: quartiles of the residual, share refused by each kind of reason, and medians of the
    re-detection by pose. The numbers that a data set's card states."""
    residual = np.percentile([report.still.residual for report in reports], [25, 50, 75, 90, 95])
    kinds: dict[str, int] = {}
    for report in reports:
        for kind in {
            reason.split(" (")[0].split(" by ")[0].split(" cm off")[0].rstrip("0123456789. ")
            for reason in report.reasons
        }:
            kinds[kind] = kinds.get(kind, 0) + 1
    poses: dict[str, dict[str, float]] = {}
    for name in reports[0].poses if reports else ():
        rows = [report.poses[name] for report in reports if not report.reasons]
        poses[name] = {
            part: float(np.nanmedian([getattr(row, part) for row in rows])) for part in ("all", "eyes", "mouth", "lids")
        }
    return {
        "stills": len(reports),
        "refused": sum(bool(report.reasons) for report in reports),
        "residual_cm_25_50_75_90_95": [round(float(value), 3) for value in residual],
        "refused_by_reason": dict(sorted(kinds.items(), key=lambda item: -item[1])),
        "redetected_cm": poses,
    }
