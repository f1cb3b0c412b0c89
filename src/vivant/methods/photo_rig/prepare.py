"""What goes in: crops and controls become a rig and its motion."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from fractions import Fraction

import numpy as np

from vivant.core.face import FaceCrop
from vivant.methods.photo_rig.config import SLIDER_UNITS, Options, Sliders
from vivant.rig.build import PhotoRig
from vivant.rig.motion import EXPRESSION_NAMES, RigMotion, expression_rows
from vivant.rig.track import RigTracker, Stance, Track, gaze_of

MOUTH = np.array([name.startswith(("jaw", "mouth", "cheekPuff")) for name in EXPRESSION_NAMES])
"""(E,) units of the mouth."""


def rig_of(source: FaceCrop) -> PhotoRig:
    """The rig of a portrait. Its edges stay where they are, so that frames can be pasted back.

    Raises:
        RigRejected: the head cannot be fitted to the face.
    """
    return PhotoRig.build(source.image, source.landmarks, source.alpha, window="all", hold_border=True)


def to_picture(crop: FaceCrop) -> np.ndarray:
    """Landmarks (478, 3) of a crop in pixels of its picture."""
    points = crop.landmarks.astype(np.float64)
    flat = points[:, :2] @ crop.to_frame[:, :2].T + crop.to_frame[:, 2]
    scale = float(np.sqrt(abs(np.linalg.det(crop.to_frame[:, :2]))))
    return np.column_stack([flat, points[:, 2] * scale])


def follow(crops: Iterable[FaceCrop | None]) -> Track:
    """The head of a driver, frame by frame, in the coordinates of its picture.

    Raises:
        FaceError: no frame shows a face.
    """
    tracker: RigTracker | None = None
    early = 0
    for crop in crops:
        if tracker is None:
            if crop is None:
                early += 1
                continue
            tracker = RigTracker(crop.frame_size)
            for _ in range(early):
                tracker.add(None)
        tracker.add(None if crop is None else to_picture(crop))
    return (tracker or RigTracker((2, 2))).finish()


def driven_motion(track: Track, rig: PhotoRig, source: FaceCrop, fps: Fraction, options: Options) -> RigMotion:
    """The driver's motion with the strengths of ``options``; one picture has no change to show and is copied."""
    relative = options.relative and len(track) > 1
    shape = rig.shape
    onto = None if relative else Stance(shape.placement.rotation, shape.expression, gaze_of(source.landmarks))
    motion = track.motion(fps, onto, options.smooth)
    return RigMotion(
        fps, motion.pose * options.strength_pose, motion.expression * options.strength_expression, motion.gaze
    )


def with_sliders(motion: RigMotion, sliders: Sliders) -> RigMotion:
    """``motion`` with the sliders added to every frame."""
    pose = [sliders.yaw, sliders.pitch, sliders.roll, sliders.move_x, sliders.move_y, np.log(sliders.zoom)]
    units = np.zeros(len(EXPRESSION_NAMES))
    for slider in fields(sliders):
        if slider.name in SLIDER_UNITS:
            units[list(expression_rows(SLIDER_UNITS[slider.name]))] += getattr(sliders, slider.name)
    for name in ("browInnerUp", "browOuterUp"):
        units[list(expression_rows(name))] += sliders.brows_up
    gaze = np.radians([sliders.gaze_x, -sliders.gaze_y])
    return RigMotion(motion.fps, motion.pose + pose, motion.expression + units, motion.gaze + gaze)
