"""The exact skeleton of a rendered frame, in the layout of :mod:`vivant.core.skeleton`, and what of it can be seen."""

from __future__ import annotations

import numpy as np

from vivant.core.skeleton import FACE, LEFT_HAND, POINTS, RIGHT_HAND
from vivant.data.figures.body import body_model
from vivant.data.figures.figure import Posed
from vivant.data.figures.scene import Camera

# COCO joint of each OpenPose point but the neck
_FROM_COCO = (0, 0, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)
_HEAD = [0, 14, 15, 16, 17]
_HIDDEN = 0.6  # confidence of a joint behind another part of the body: pose readers guess those well
_DEEP, _FACE_DEEP, _HAND_DEEP, _EAR_DEEP = 0.17, 0.03, 0.06, 0.05  # metres that a point lies below what is seen at most
_FACE_SHARE, _HAND_SHARE = 0.35, 0.3  # of the points that must be seen for a face or hand to count


def keypoints(frame: Posed, camera: Camera, depth: np.ndarray) -> np.ndarray:
    """(128, 3) float32: x and y in -1..1 of the picture, confidence in 0..1, 0 for what is hidden or outside.

    ``depth`` (H, W): metres to what is seen at each pixel. Joints behind other parts of the body keep a confidence of
    0.6; eyes, ears and nose, whole faces and hands that are turned away or hidden have 0.
    """
    points = positions(frame)
    pixels, away = camera.project(points)
    height, width = camera.size
    inside = np.asarray(((pixels >= 0) & (pixels < [width, height])).all(axis=1))
    column, row = np.clip(pixels.astype(int), 0, [width - 1, height - 1]).T
    behind = away - depth[row, column]
    allowed = np.full(POINTS, _DEEP)
    allowed[_HEAD], allowed[FACE] = _EAR_DEEP, _FACE_DEEP
    allowed[LEFT_HAND] = allowed[RIGHT_HAND] = _HAND_DEEP
    seen: np.ndarray = np.less(behind, allowed)
    confidence = np.where(seen, 1.0, _HIDDEN)
    confidence[_HEAD] = seen[_HEAD]
    confidence[FACE] = confidence[FACE] * (seen[FACE].mean() >= _FACE_SHARE)
    for part in (LEFT_HAND, RIGHT_HAND):
        confidence[part] = confidence[part] * ((seen[part] & inside[part]).mean() >= _HAND_SHARE)
    confidence = confidence * inside
    told = np.column_stack([pixels * (2 / np.array([width, height])) - 1, confidence])
    told[confidence == 0] = 0
    return told.astype(np.float32)


def positions(frame: Posed) -> np.ndarray:
    """(128, 3) metres in the room of every point."""
    model = body_model()
    skin = frame.vertices[: len(model.vertices)]
    coco = model.keypoints @ skin
    body = coco[list(_FROM_COCO)]
    body[1] = (coco[5] + coco[6]) / 2
    return np.concatenate([body, _hand(frame, skin, 0), _hand(frame, skin, 1), skin[model.face]])


def _hand(frame: Posed, skin: np.ndarray, side: int) -> np.ndarray:
    """(21, 3) wrist, then each finger from palm to tip."""
    model, name = body_model(), "LR"[side]
    points = [frame.joints[model.joint[f"wrist.{name}"]]]
    for finger in range(5):
        points += [frame.joints[model.joint[f"finger{finger + 1}-{part}.{name}"]] for part in (1, 2, 3)]
        points.append(skin[model.tips[side, finger]])
    return np.stack(points)
