"""Which vertices of a rig are drawn, and what each carries in the still."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vivant.rig.anatomy import FACE_END, Edge, anatomy, smoothstep
from vivant.rig.eyes import hemisphere

if TYPE_CHECKING:
    from vivant.rig.build import PhotoRig

CHANNELS = 9
"""Of every drawn vertex: texture x and y, opacity; three more: mirrored texture x, y and their weight on the face,
colour in the mouth, iris x, y (in iris radii) on the eyes; and on closing lids, positive on the person's left and
negative on the right: how far the lid's plain skin replaces the photo, nearness to the lashes; last the light, a factor
of the colour."""


class Drawn:
    """Face and mouth, then the eyeballs.

    ``vertex`` (D',): drawn vertices of the head, those of ``face`` first. ``triangles`` (T, 3) int32, ``starts``: the
    first triangle of mouth, left eye, right eye, and the end. ``lips`` (T,): the red of the lips. ``carried``
    (D', CHANNELS). ``lip_side``, and of each eye ``lid_ramps``, ``lid_skins``, ``lashes`` (D',): how much a vertex
    takes part when lips open and lids close. ``rim_rows`` (R,), ``rim_triangles`` (T', 3): the opening of the lips.
    """

    def __init__(self, rig: PhotoRig) -> None:
        body = anatomy()
        face, mouth = np.unique(body.face_triangles), np.unique(body.mouth_triangles)
        self.face = face
        self.vertex = np.concatenate([face, mouth])
        row_in_face, row_in_mouth = np.zeros(len(rig.shape.rest), np.int64), np.zeros(len(rig.shape.rest), np.int64)
        row_in_face[face], row_in_mouth[mouth] = np.arange(len(face)), len(face) + np.arange(len(mouth))
        directions, ball = hemisphere()
        first_ball = len(self.vertex)
        parts = [row_in_face[body.face_triangles], row_in_mouth[body.mouth_triangles]]
        parts += [ball + first_ball, ball + first_ball + len(directions)]
        self.triangles = np.concatenate(parts).astype(np.int32)
        ends = np.cumsum([len(part) for part in parts])
        self.starts = int(ends[0]), int(ends[1]), int(ends[2]), int(ends[3])
        self.lips = np.zeros(len(self.triangles), bool)
        self.lips[: ends[0]] = body.lips[body.face_triangles].sum(1) >= 2
        self.carried = self._carried(rig, face, mouth)
        self.lip_side = np.concatenate([body.lip_side[face], np.zeros(len(mouth))])
        self.lid_ramps = [np.concatenate([_lid_ramp(upper)[face], np.zeros(len(mouth))]) for upper, _ in body.lids]
        self.lid_skins = [np.concatenate([_lid_skin(upper)[face], np.zeros(len(mouth))]) for upper, _ in body.lids]
        self.lashes = [np.concatenate([_near_lashes(upper)[face], np.zeros(len(mouth))]) for upper, _ in body.lids]
        rims = np.concatenate([body.upper_lip.rim, body.lower_lip.rim])
        self.rim_rows = row_in_face[rims]
        self.rim_triangles = _strip(body.upper_lip, body.lower_lip)

    @staticmethod
    def _carried(rig: PhotoRig, face: np.ndarray, mouth: np.ndarray) -> np.ndarray:
        carried = np.zeros((len(face) + len(mouth), CHANNELS), np.float32)
        carried[:, -1] = 1
        carried[: len(face), :2] = rig.skin.pixels[face]
        carried[: len(face), 2] = anatomy().alpha[face]
        carried[: len(face), 3:5], carried[: len(face), 5] = rig.skin.mirrored[face], rig.skin.mirror[face]
        carried[len(face) :, :2], carried[len(face) :, 2] = rig.shape.pixels[mouth], 1
        carried[len(face) :, 3:6] = rig.mouth.colours[mouth]
        return carried


def _lid_ramp(edge: Edge) -> np.ndarray:
    """(FACE_END,) how far the texture of an upper lid slides when it closes."""
    ramp = np.zeros(FACE_END, np.float32)
    ramp[edge.skin] = smoothstep(0.03, 0.16, edge.distance) * smoothstep(1.25, 0.45, edge.distance)
    return ramp


def _lid_skin(edge: Edge) -> np.ndarray:
    """(FACE_END,) where a shut upper lid shows plain skin: from its lashes to below the brow."""
    weight = np.zeros(FACE_END, np.float32)
    weight[edge.skin] = smoothstep(0.0, 0.10, edge.distance) * smoothstep(1.0, 0.3, edge.distance)
    return weight


def _near_lashes(edge: Edge) -> np.ndarray:
    """(FACE_END,) 1 at the edge of the upper lid, 0 from 0.2 cm on; the corners have none."""
    near = np.zeros(FACE_END, np.float32)
    along = edge.along[edge.nearest]
    near[edge.skin] = (
        np.clip(1 - edge.distance / 0.2, 0, 1) * smoothstep(0.0, 0.06, along) * smoothstep(1.0, 0.9, along)
    )
    return near


def _strip(upper: Edge, lower: Edge) -> np.ndarray:
    """(T, 3) int32 triangles between two rims, numbered upper rim first."""
    triangles, i, j = [], 0, 0
    while i < len(upper.rim) - 1 or j < len(lower.rim) - 1:
        next_upper = upper.along[i + 1] if i < len(upper.rim) - 1 else np.inf
        next_lower = lower.along[j + 1] if j < len(lower.rim) - 1 else np.inf
        if next_upper <= next_lower:
            triangles.append((i, i + 1, len(upper.rim) + j))
            i += 1
        else:
            triangles.append((i, len(upper.rim) + j, len(upper.rim) + j + 1))
            j += 1
    return np.array(triangles, np.int32)
