"""A rig in motion: vertices on the screen and what they carry, for B frames at once (torch, any device)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vivant.rig.anatomy import FACE_END, LID_PAIRS, Edge, anatomy, smoothstep
from vivant.rig.camera import DISTANCE, Placement, turn
from vivant.rig.eyes import gaze_turn, hemisphere
from vivant.rig.head import HeadModel
from vivant.rig.light import DARKEST, normal_changes
from vivant.rig.motion import EXPRESSION_NAMES, RigMotion
from vivant.rig.shape import LIP_REACH
from vivant.rig.torso import TORSO_PIVOT

if TYPE_CHECKING:
    from vivant.rig.build import PhotoRig

CHANNELS = 9
"""Of every drawn vertex: texture x and y, opacity; three more: mirrored texture x, y and their weight on the face,
colour in the mouth, iris x, y (in iris radii) on the eyes; and on closing lids, positive on the person's left and
negative on the right: how far the lid's plain skin replaces the photo, nearness to the lashes; last the light, a factor
of the colour."""
_LOWEST, _HIGHEST = -0.5, 1.3  # of an expression unit
_SHUT = 1.0  # highest blink: the lids meet there
_FULL_LOOK = 0.45  # rad of gaze up or down for the full eyeLook unit of the lids
_COLLISION = 0.05  # cm by which lips may press into each other
_LID_SLIDE = 0.20  # cm by which a closing lid's texture slides, or lashes smear into a black lid
_LIP_SLIDE = 0.085  # cm by which an opening lip's texture slides, or the dark line between lips sticks to them
_MOST_LIGHT = 1.25  # ratio of brightness that a turn may cause
_FOLDS = 1.5  # the mesh is too coarse for the full depth of folds
_EYE_BEHIND = 0.12  # cm; the ball must not pierce the lids


@dataclass(frozen=True)
class Posed:
    """B frames before drawing; points are pixels of the still, depth is z in camera axes (larger is nearer).

    ``points`` (B, D, 2), ``depth`` (B, D), ``carried`` (B, D, CHANNELS): the drawn vertices of face, mouth and eyes.
    ``sheet_points`` (B, N, 2), ``sheet_depth`` (B, N), ``sheet_light`` (B, N). ``landmarks``: (B, 478, 3), x, y and z
    in pixels of the still. ``gap``: (B,) opening of the lips in cm. ``gaze``: (B,) turn of the eyes in radians.
    ``zoom``: (B,) size relative to the still. ``stirred``: (B,) cm that the lips have moved on the face since the
    still. ``teeth``: (B, 2 N, 2) the surfaces of upper and lower photographed teeth, or None. ``pose`` (B, 6) and
    ``expression`` (B, E), absolute.
    """

    points: Tensor
    depth: Tensor
    carried: Tensor
    sheet_points: Tensor
    sheet_depth: Tensor
    sheet_light: Tensor
    landmarks: Tensor
    gap: Tensor
    gaze: Tensor
    zoom: Tensor
    stirred: Tensor
    teeth: Tensor | None
    pose: np.ndarray
    expression: np.ndarray


def step(low: float, high: float, value: Tensor) -> Tensor:
    """:func:`smoothstep` on tensors."""
    t = ((value - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)


class Poser:
    """Moves one rig."""

    def __init__(self, rig: PhotoRig, device: torch.device) -> None:
        self.rig, self.device = rig, device
        head, body = HeadModel.load(), anatomy()
        self._units = self._tensor(head.expression.reshape(len(EXPRESSION_NAMES), -1))
        self._rest, self._loose = self._tensor(rig.shape.rest), self._tensor(rig.shape.loose)
        self._own, self._toward = self._tensor(rig.shape.expression), self._tensor(rig.sides.offset)
        self._side, self._sheet_side = self._tensor(rig.sides.side), self._tensor(rig.sheet.side)
        self._sheet_units = self._tensor(rig.sheet.expression.reshape(len(EXPRESSION_NAMES), -1))
        self._sheet = {n: self._tensor(getattr(rig.sheet, n)) for n in ("seen", "limited", "true", "follow", "free")}
        self._mesh = self._index(body.mesh_vertex)
        self._lid_pairs = self._index(np.array(LID_PAIRS).T)
        self._lips = (_Rim(body.upper_lip, body.lower_lip, self), _Rim(body.lower_lip, body.upper_lip, self))
        self._lids = [
            [(self._index(edge.skin), self._tensor(move)) for edge, move in pairs]
            for pairs in (((lid.upper, lid.upper_move), (lid.lower, lid.lower_move)) for lid in rig.shape.lids)
        ]
        self._up = self._tensor(rig.skin.up)
        self._lamp = _Lamp(rig, self)
        self._layout = _Layout(rig)
        self._vertex, self._face = self._index(self._layout.vertex), self._index(self._layout.face)
        self._carried = self._tensor(self._layout.carried)
        layout = self._layout
        self._lip_side = self._tensor(layout.lip_side)
        self._lid_ramps, self._lid_skins, self._lashes = (
            [self._tensor(values) for values in both] for both in (layout.lid_ramps, layout.lid_skins, layout.lashes)
        )
        self._lip_rims = torch.cat([lip.rim for lip in self._lips])
        teeth = rig.mouth.teeth
        self._teeth = None if teeth is None else (self._tensor(teeth.grid), self._jaw_units(teeth.jaw))
        self._balls = [_Ball(rig, k, self) for k in range(2)]
        upper, lower = body.upper_lip.rim, body.lower_lip.rim
        self._middle = upper[len(upper) // 2], lower[len(lower) // 2]
        self._rest_gap = float(abs(rig.shape.rest[self._middle[0], 1] - rig.shape.rest[self._middle[1], 1]))

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.as_tensor(np.ascontiguousarray(values, np.float32), device=self.device)

    def _index(self, values: np.ndarray) -> Tensor:
        return torch.as_tensor(np.ascontiguousarray(values, np.int64), device=self.device)

    @property
    def triangles(self) -> np.ndarray:
        """(T, 3) int32 of the drawn vertices: face, mouth, left eye, right eye; see :meth:`starts`."""
        return self._layout.triangles

    @property
    def starts(self) -> tuple[int, int, int, int]:
        """First triangle of mouth, left eye, right eye, and the end."""
        return self._layout.starts

    @property
    def lip_triangles(self) -> np.ndarray:
        """(T,) whether a triangle belongs to the red of the lips."""
        return self._layout.lips

    def lip_opening(self, points: Tensor) -> tuple[Tensor, np.ndarray]:
        """Rim vertices on the screen (B, R, 2) and triangles (T, 3) int32 that fill the opening between them."""
        return points[:, self._layout.rim_rows], self._layout.rim_triangles

    def pose(self, motion: RigMotion, torso: np.ndarray) -> Posed:
        """All frames of ``motion``; ``torso`` (F, 4) as from :func:`vivant.rig.torso.torso_motion`."""
        shape = self.rig.shape
        places = [shape.placement.moved(row.astype(np.float64)) for row in motion.pose]
        expression = np.clip(shape.expression + motion.expression + _looking(motion.gaze), _LOWEST, _HIGHEST)
        blinks = [lid.unit for lid in shape.lids]
        expression[:, blinks] = np.minimum(expression[:, blinks], _SHUT)
        camera = _Camera(places, self)
        relative_yaw = self._tensor(np.array([_yaw(p, shape.placement) for p in places])) / 10
        units = self._tensor(expression)
        vertices = self._rest + ((units - self._own) @ self._units).view(len(places), -1, 3) * self._loose
        self._collide(vertices)
        closing = self._close_lids(vertices, units)
        near = step(-0.8, 0.8, self._side * relative_yaw[:, None])
        moved = vertices + self._toward * near[..., None]
        seen = camera.seen(moved)
        gap = (vertices[:, self._middle[0], 1] - vertices[:, self._middle[1], 1]).abs()
        carried = self._slide(closing, gap)
        carried[:, : len(self._layout.face), 5] *= step(0.2, 1.0, self._side * relative_yaw[:, None])[:, self._face]
        light = self._lamp.ratio(camera, units)
        carried[:, : len(self._layout.face), -1] = light[:, self._face]
        balls = [ball.place(camera, motion.gaze) for ball in self._balls]
        drawn = torch.cat([seen[:, self._vertex], *(ball[0] for ball in balls)], 1)
        carried = torch.cat([carried, *(ball[1] for ball in balls)], 1)
        sheet = self._move_sheet(camera, units, relative_yaw, self._sway(torso))
        return Posed(
            points=camera.pixels(drawn),
            depth=torch.cat([drawn[:, : len(self._vertex), 2], drawn[:, len(self._vertex) :, 2] - _EYE_BEHIND], 1),
            carried=carried,
            sheet_points=sheet[0],
            sheet_depth=sheet[1],
            sheet_light=self._lamp.on_sheet(light),
            landmarks=self._landmarks(camera, camera.seen(self._mesh_points(moved)), balls),
            gap=gap,
            gaze=self._tensor(np.hypot(motion.gaze[:, 0], motion.gaze[:, 1])),
            stirred=(vertices[:, self._lip_rims] - self._rest[self._lip_rims]).norm(dim=-1).mean(1),
            teeth=self._move_teeth(camera, units),
            zoom=camera.focal / float(np.exp(shape.placement.log_focal)),
            pose=np.array([_absolute(p, motion.pose[k]) for k, p in enumerate(places)], np.float32),
            expression=expression.astype(np.float32),
        )

    def _collide(self, vertices: Tensor) -> None:
        """Push lips apart that cross by more than they may press, in place."""
        upper, lower = self._lips
        top, bottom = vertices[:, upper.rim, 1], vertices[:, lower.rim, 1]
        over = (bottom @ upper.other_at.T - top - _COLLISION).clamp_min(0)
        under = (bottom - top @ lower.other_at.T - _COLLISION).clamp_min(0)
        vertices[:, upper.skin, 1] += 0.5 * over[:, upper.nearest] * upper.falloff
        vertices[:, lower.skin, 1] -= 0.5 * under[:, lower.nearest] * lower.falloff

    def _close_lids(self, vertices: Tensor, units: Tensor) -> Tensor:
        """Shut lids in place; (B, 2) how far each eye is shut beyond the still."""
        shut = []
        for lid, parts in zip(self.rig.shape.lids, self._lids):
            own = float(self.rig.shape.expression[lid.unit])
            amount = ((units[:, lid.unit] - own) / max(1 - own, 0.2)).clamp(0, 1)
            for skin, move in parts:
                vertices[:, skin] += (amount**2)[:, None, None] * move
            shut.append(amount)
        return torch.stack(shut, 1)

    def _slide(self, closing: Tensor, gap: Tensor) -> Tensor:
        """(B, D', CHANNELS) carried values with the texture of moving lids and lips slid along the face."""
        scale = self.rig.shape.placement.pixels_per_cm
        opened = ((gap - self._rest_gap - 0.03) / 0.25).clamp(0, 1)
        slide = self._lip_side * (opened * _LIP_SLIDE * scale)[:, None]
        for k, ramp in enumerate(self._lid_ramps):
            slide = slide + ramp * (closing[:, k] * _LID_SLIDE * scale)[:, None]
        carried = self._carried.repeat(len(gap), 1, 1)
        carried[..., :2] += slide[..., None] * self._up
        for k, sign in enumerate((1, -1)):
            shut = sign * closing[:, k, None]
            carried[..., 6] += shut.sign() * step(0.1, 0.7, shut.abs()) * self._lid_skins[k]
            carried[..., 7] += shut * self._lashes[k]
        return carried

    def _jaw_units(self, jaw: np.ndarray) -> Tensor:
        """(E, 3) how each unit moves the lower teeth."""
        return self._tensor(HeadModel.load().expression[:, jaw].mean(1))

    def _move_teeth(self, camera: _Camera, units: Tensor) -> Tensor | None:
        if self._teeth is None:
            return None
        grid, jaw = self._teeth
        dropped = grid + ((units - self._own) @ jaw)[:, None]
        both = torch.cat([grid.expand(len(units), -1, -1), dropped], 1)
        return camera.pixels(camera.seen(both))

    def _sway(self, torso: np.ndarray) -> Tensor:
        """(B, N, 3) where the sheet's nodes are in camera axes when nothing but the torso moves."""
        place, seen = self.rig.shape.placement, self._sheet["seen"]
        pivot = self._tensor(place.seen(TORSO_PIVOT))
        turns = self._tensor(np.array([turn(yaw, 0.0, roll) for yaw, roll in torso[:, :2]]))
        shift = self._tensor(np.concatenate([torso[:, 2:] * [1, -1], np.zeros((len(torso), 1))], 1))[:, None]
        moved = (seen - pivot) @ turns.transpose(1, 2) + pivot + shift
        return seen + self._sheet["free"][:, None] * (moved - seen)

    def _move_sheet(
        self, camera: _Camera, units: Tensor, relative_yaw: Tensor, swayed: Tensor
    ) -> tuple[Tensor, Tensor]:
        sheet = self._sheet
        moved = ((units - self._own) @ self._sheet_units).view(len(units), -1, 3)
        near = step(-0.8, 0.8, self._sheet_side * relative_yaw[:, None])[..., None]
        with_head = camera.seen(sheet["limited"] * near + sheet["true"] * (1 - near) + moved)
        follow = sheet["follow"]
        seen = swayed + follow[:, None] * (with_head - swayed)
        rest_focal = float(np.exp(self.rig.shape.placement.log_focal))
        focal = rest_focal + follow * (camera.focal[:, None] - rest_focal)
        return camera.pixels(seen, focal), seen[..., 2]

    def _mesh_points(self, vertices: Tensor) -> Tensor:
        """(B, 468, 3) in head axes. A shut upper lid lies over the lower one, whose points are seen at its edge."""
        mesh = vertices[:, self._mesh]
        upper, lower = self._lid_pairs
        mesh[:, lower, 1] = torch.minimum(mesh[:, lower, 1], mesh[:, upper, 1])
        return mesh

    def _landmarks(self, camera: _Camera, mesh: Tensor, balls: list[tuple[Tensor, Tensor, Tensor]]) -> Tensor:
        # the detector's order: first the iris on the left of the picture, the person's right
        points = torch.cat([mesh, balls[1][2], balls[0][2]], 1)
        scale = camera.focal[:, None] / (DISTANCE - 8.0)
        depth = (mesh[..., 2].mean(1, keepdim=True) - points[..., 2]) * scale
        return torch.cat([camera.pixels(points), depth[..., None]], 2)


class _Camera:
    """B placements as tensors."""

    def __init__(self, places: list[Placement], poser: Poser) -> None:
        self.turn = poser._tensor(np.array([p.rotation for p in places]))
        self.shift = poser._tensor(np.array([p.offset for p in places]))[:, None]
        self.focal = poser._tensor(np.exp([p.log_focal for p in places]))
        self.centre = poser._tensor(poser.rig.shape.centre)
        self._flip = poser._tensor(np.array([1.0, -1.0]))

    def seen(self, vertices: Tensor) -> Tensor:
        """Vertices (B or 1, V, 3) of the head in camera axes."""
        return vertices @ self.turn.transpose(1, 2) + self.shift

    def pixels(self, points: Tensor, focal: Tensor | None = None) -> Tensor:
        """(B, V, 2) pixels of the still of points (B, V, 3); ``focal`` (B, V) replaces the camera's own."""
        scale = (self.focal[:, None] if focal is None else focal) / (DISTANCE - points[..., 2])
        return self.centre + points[..., :2] * scale[..., None] * self._flip


class _Lamp:
    """The still's light on a moved head."""

    def __init__(self, rig: PhotoRig, poser: Poser) -> None:
        self._rest, self._changes = poser._tensor(rig.light.normals), poser._tensor(normal_changes() * _FOLDS)
        self._own = poser._tensor(rig.shape.expression)
        self._coefficients = poser._tensor(rig.light.coefficients)
        still = rig.light.normals.astype(np.float64) @ rig.shape.placement.rotation.T
        self._before = self._shading(poser._tensor(still))
        self._corners, self._weights = poser._index(rig.sheet.corners), poser._tensor(rig.sheet.weights)

    def _shading(self, normals: Tensor) -> Tensor:
        x, y, z = normals.unbind(-1)
        parts = (torch.ones_like(x), x, y, z, x * y, x * z, y * z, x * x - y * y, 3 * z * z - 1)
        return sum(c * part for c, part in zip(self._coefficients, parts)).clamp_min(DARKEST)

    def ratio(self, camera: _Camera, units: Tensor) -> Tensor:
        """(B, N) factor of the colour at the skull's vertices, softly held to 0.8..1.25."""
        change = torch.tensordot(units - self._own, self._changes, 1)
        normals = F.normalize(self._rest + change, dim=-1) @ camera.turn.transpose(1, 2)
        limit = float(np.log(_MOST_LIGHT))
        return (limit * torch.tanh((self._shading(normals) / self._before).log() / limit)).exp()

    def on_sheet(self, ratio: Tensor) -> Tensor:
        """(B, M) the factor at the sheet's nodes."""
        return 1 + ((ratio[:, self._corners] - 1) * self._weights).sum(-1)


class _Rim:
    """An :class:`Edge` as tensors, with the weights that read the other rim at its vertices."""

    def __init__(self, edge: Edge, other: Edge, poser: Poser) -> None:
        self.rim, self.skin, self.nearest = (poser._index(v) for v in (edge.rim, edge.skin, edge.nearest))
        self.falloff = poser._tensor(np.exp(-((edge.distance / LIP_REACH) ** 2)))
        self.other_at = poser._tensor(other.at(edge.along))


class _Ball:
    """One eyeball."""

    def __init__(self, rig: PhotoRig, which: int, poser: Poser) -> None:
        self._poser, self._eye, shape = poser, rig.eyes[which], rig.shape
        self._directions = hemisphere()[0].astype(np.float64)
        self._place, self._centre = shape.placement, shape.centre
        still = self._place.pixels(self._place.seen(self._at(self._directions)), self._centre)
        self._carried = np.concatenate([still, np.ones((len(still), 1)), np.zeros((len(still), CHANNELS - 3))], 1)
        self._carried[:, -1] = 1

    def _at(self, directions: np.ndarray) -> np.ndarray:
        return self._eye.centre + self._eye.radius * directions

    def place(self, camera: _Camera, gaze: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        """Vertices in camera axes (B, D, 3), carried values (B, D, CHANNELS), iris points in camera axes (B, 5, 3)."""
        carried = np.repeat(self._carried[None], len(gaze), 0)
        irises = np.zeros((len(gaze), 5, 3))
        for k, (right, down) in enumerate(gaze):
            turn = gaze_turn(float(right), float(down))
            source = self._directions @ turn  # where the texture of each direction was in the still
            seen = self._place.seen(self._at(source))
            iris = (self._place.pixels(seen, self._centre) - self._eye.iris_centre) / self._eye.iris_radius
            iris[(source @ self._place.rotation.T)[:, 2] < 0.25] = 9.0  # far outside its patch
            carried[k, :, 3:5] = iris
            irises[k] = self._at(self._eye.iris_directions @ turn.T)
        tensor = self._poser._tensor
        ball = tensor(self._at(self._directions))[None]
        return camera.seen(ball), tensor(carried), camera.seen(tensor(irises))


class _Layout:
    """Which vertices are drawn and what they carry in the still."""

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


def _looking(gaze: np.ndarray) -> np.ndarray:
    """(F, E) what the lids do when the eyes look up or down."""
    units = np.zeros((len(gaze), len(EXPRESSION_NAMES)), np.float32)
    for name, amount in (("eyeLookDown", gaze[:, 1]), ("eyeLookUp", -gaze[:, 1])):
        for side in "LR":
            units[:, EXPRESSION_NAMES.index(f"{name}_{side}")] = np.clip(amount / _FULL_LOOK, 0, 1)
    return units


def _yaw(place: Placement, first: Placement) -> float:
    """Relative yaw in degrees, positive to the person's right."""
    turn = place.rotation @ first.rotation.T
    return float(-np.degrees(np.arctan2(turn[0, 2], turn[2, 2])))


def _absolute(place: Placement, relative: np.ndarray) -> tuple[float, ...]:
    return *place.angles(), float(place.shift[0]), float(-place.shift[1]), float(relative[5])
