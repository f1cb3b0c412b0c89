"""What goes in: landmarks become numbers in the head's own axes, shared by inference, training and measuring.

Axis letters: F frames, R rigid points. The head's frame is the canonical face's, in cm: where its rigid points (around
eyes, nose and temples) lie on the landmarks by a similarity.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vivant.core.face_motion import BROWS, CHIN, IRISES, LIP_PAIRS, LIPS, MOVED, NUMBERS, PARTS
from vivant.nn.geometry import rigid_motion

_EYES = ((33, 133), (362, 263))
"""Corners of the eye on the left of the picture, then of the other one."""
_LIDS = (((159, 145), (33, 133)), ((386, 374), (362, 263)))
_SIDE = {468: 0, 105: 0, 107: 0, 473: 1, 334: 1, 336: 1}
"""Eye beside whose corners a point is told."""
_LOWER_SHARE = {14: 1.0, 178: 1.0, 402: 1.0, 17: 0.7, CHIN: 0.4}
"""How much of a gap between the lips is taken out of each point below it, where a face is told with closed lips."""
SHAPE = 2 * len(MOVED) + 4
"""Numbers of :func:`shape_of`."""
USUAL_LIDS = 0.3
_LEAST_LIDS = 0.12


class Template(NamedTuple):
    """The canonical face's rigid points: ``rows`` (R,) of the mesh, ``points`` (R, 3) in cm."""

    rows: Tensor
    points: Tensor


class HeadFrame(NamedTuple):
    """F faces in their head's axes: ``points`` (F, 478, 3) in cm; ``angles`` (F, 3) pitch, yaw, roll in degrees;
    ``size`` (F,) landmark units per cm; ``place`` (F, 2) of the rigid points' middle in landmark units."""

    points: np.ndarray
    angles: np.ndarray
    size: np.ndarray
    place: np.ndarray


class Rest(NamedTuple):
    """A face at rest, lips closed: ``told`` (P, 2) of :data:`MOVED`, ``lids`` (2,) opening ratios of open eyes,
    ``angles`` (3,), ``place`` (2,), ``size`` as in :class:`HeadFrame`."""

    told: np.ndarray
    lids: np.ndarray
    angles: np.ndarray
    place: np.ndarray
    size: float


def head_frame(landmarks: np.ndarray, template: Template) -> HeadFrame:
    """Landmarks (F, 478, 3), x right, y down, z away in one unit -> the same in the head's axes."""
    seen = torch.from_numpy(np.asarray(landmarks, np.float32)).double()
    points = template.points.detach().cpu().double()
    rows = template.rows.detach().cpu()
    linear, middle, place = rigid_motion(points.expand(len(seen), -1, -1), seen[:, rows])
    size = torch.linalg.det(linear).clamp_min(1e-12) ** (1 / 3)
    turn = linear / size[:, None, None]
    local = (seen - place) @ turn.transpose(1, 2) / size[:, None, None] + middle
    pitch = torch.atan2(turn[:, 1, 2], turn[:, 2, 2])
    yaw = torch.asin(-turn[:, 0, 2].clamp(-1, 1))
    roll = torch.atan2(turn[:, 0, 1], turn[:, 0, 0])
    angles = torch.rad2deg(torch.stack([pitch, yaw, roll], 1))
    return HeadFrame(local.numpy(), angles.numpy(), size.numpy(), place[:, 0, :2].numpy())


def told_points(points: np.ndarray) -> np.ndarray:
    """(F, 478, 3) in the head's axes -> (F, P, 2) of :data:`MOVED`, irises and brows beside their eye's corners."""
    told = points[:, list(MOVED), :2].copy()
    corners = [points[:, list(pair), :2].mean(1) for pair in _EYES]
    for point, side in _SIDE.items():
        told[:, MOVED.index(point)] -= corners[side]
    return told


def lid_ratios(points: np.ndarray) -> np.ndarray:
    """(F, 2) height over width of the eyes, the one on the left of the picture first."""
    rows = []
    for (upper, lower), (one, other) in _LIDS:
        height = np.linalg.norm(points[:, upper, :2] - points[:, lower, :2], axis=-1)
        rows.append(height / (np.linalg.norm(points[:, one, :2] - points[:, other, :2], axis=-1) + 1e-6))
    return np.stack(rows, 1)


def lip_gap(told: np.ndarray) -> np.ndarray:
    """(F,) cm between the middles of the lips, of :func:`told_points`."""
    upper, lower = LIP_PAIRS[0]
    gap: np.ndarray = told[:, MOVED.index(lower), 1] - told[:, MOVED.index(upper), 1]
    return gap


def closed(told: np.ndarray) -> np.ndarray:
    """(P, 2) of one face, with the gap between its lips taken out of the lower ones."""
    told = told.copy()
    gap = max(0.0, float(lip_gap(told[None])[0]))
    for point, share in _LOWER_SHARE.items():
        told[MOVED.index(point), 1] -= share * gap
    return told


def rest_of(frame: HeadFrame) -> Rest:
    """The rest of a filmed face: the median over the frames with the lips least open and the eyes open."""
    told, lids = told_points(frame.points), lid_ratios(frame.points)
    gap, open_ = lip_gap(told), lids.mean(1)
    awake = open_ >= np.percentile(open_, 40)
    calm = gap <= np.percentile(gap[awake], 25)
    chosen = calm & awake if (calm & awake).any() else calm
    usual = np.maximum(np.percentile(lids, 75, axis=0), _LEAST_LIDS)
    middle = [np.median(values, axis=0) for values in (frame.angles, frame.place, frame.size)]
    return Rest(closed(np.median(told[chosen], axis=0)), usual, middle[0], middle[1], float(middle[2]))


def portrait_rest(landmarks: np.ndarray, template: Template) -> Rest:
    """The rest of a portrait from its landmarks (478, 3)."""
    frame = head_frame(landmarks[None], template)
    lids = lid_ratios(frame.points)[0]
    lids = np.where(lids < _LEAST_LIDS, USUAL_LIDS, lids)
    return Rest(closed(told_points(frame.points)[0]), lids, frame.angles[0], frame.place[0], float(frame.size[0]))


def shape_of(rest: Rest) -> np.ndarray:
    """(SHAPE,) float32 numbers that say whose face it is: where its parts lie, how open its eyes and how wide lips
    are."""
    left, right = (MOVED.index(p) for p in LIPS[:2])
    width = float(np.linalg.norm(rest.told[left] - rest.told[right]))
    chin = float(rest.told[MOVED.index(CHIN), 1] - rest.told[MOVED.index(LIPS[2]), 1])
    return np.concatenate([rest.told.reshape(-1), rest.lids, [width, chin]]).astype(np.float32)


def numbers_of(frame: HeadFrame, rest: Rest) -> np.ndarray:
    """(F, NUMBERS) float32 rows of :class:`vivant.core.face_motion.FaceMotion`, since ``rest``."""
    rows = np.zeros((len(frame.points), NUMBERS), np.float32)
    rows[:, PARTS["moves"]] = (told_points(frame.points) - rest.told).reshape(len(rows), -1)
    rows[:, PARTS["lids"]] = np.clip(lid_ratios(frame.points) / rest.lids, 0, 1.6)
    turned = frame.angles - rest.angles
    rows[:, PARTS["angles"]] = (turned + 180) % 360 - 180
    rows[:, PARTS["shift"]] = (frame.place - rest.place) / rest.size
    rows[:, PARTS["zoom"]] = np.log(frame.size / rest.size)[:, None]
    return rows


def eye_points() -> list[int]:
    """Rows of :data:`MOVED` that belong to eyes and brows."""
    return [MOVED.index(p) for p in (*IRISES, *BROWS)]
