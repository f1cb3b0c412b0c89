"""A rig in motion: vertices on the screen and what they carry, for B frames at once (torch, any device)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from vivant.rig.anatomy import LID_PAIRS, Edge, anatomy
from vivant.rig.camera import DISTANCE, Placement, turn
from vivant.rig.cameras import Cameras
from vivant.rig.drawn import Drawn
from vivant.rig.eyeball import Eyeball
from vivant.rig.head import HeadModel
from vivant.rig.lamp import Lamp
from vivant.rig.motion import EXPRESSION_NAMES, RigMotion
from vivant.rig.shape import LIP_REACH
from vivant.rig.tensors import floats, indices, step
from vivant.rig.torso import TORSO_PIVOT

if TYPE_CHECKING:
    from vivant.rig.build import PhotoRig

_LOWEST, _HIGHEST = -0.5, 1.3  # of an expression unit
_SHUT = 1.0  # highest blink: the lids meet there
_FULL_LOOK = 0.45  # rad of gaze up or down for the full eyeLook unit of the lids
_COLLISION = 0.05  # cm by which lips may press into each other
_LID_SLIDE = 0.20  # cm by which a closing lid's texture slides, or lashes smear into a black lid
_LIP_SLIDE = 0.085  # cm by which an opening lip's texture slides, or the dark line between lips sticks to them
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
        self._mesh = indices(body.mesh_vertex, device)
        self._lid_pairs = indices(np.array(LID_PAIRS).T, device)
        self._lips = (_Rim(body.upper_lip, body.lower_lip, device), _Rim(body.lower_lip, body.upper_lip, device))
        self._lids = [
            [(indices(edge.skin, device), self._tensor(move)) for edge, move in pairs]
            for pairs in (((lid.upper, lid.upper_move), (lid.lower, lid.lower_move)) for lid in rig.shape.lids)
        ]
        self._up = self._tensor(rig.skin.up)
        self._lamp = Lamp(rig, device)
        self._drawn = drawn = Drawn(rig)
        self._vertex, self._face = indices(drawn.vertex, device), indices(drawn.face, device)
        self._carried = self._tensor(drawn.carried)
        self._lip_side = self._tensor(drawn.lip_side)
        self._lid_ramps, self._lid_skins, self._lashes = (
            [self._tensor(values) for values in both] for both in (drawn.lid_ramps, drawn.lid_skins, drawn.lashes)
        )
        self._lip_rims = torch.cat([lip.rim for lip in self._lips])
        teeth = rig.mouth.teeth
        self._teeth = None if teeth is None else (self._tensor(teeth.grid), self._jaw_units(teeth.jaw))
        self._balls = [Eyeball(rig, k, device) for k in range(2)]
        upper, lower = body.upper_lip.rim, body.lower_lip.rim
        self._middle = upper[len(upper) // 2], lower[len(lower) // 2]
        self._rest_gap = float(abs(rig.shape.rest[self._middle[0], 1] - rig.shape.rest[self._middle[1], 1]))

    def _tensor(self, values: np.ndarray) -> Tensor:
        return floats(values, self.device)

    @property
    def triangles(self) -> np.ndarray:
        """(T, 3) int32 of the drawn vertices: face, mouth, left eye, right eye; see :meth:`starts`."""
        return self._drawn.triangles

    @property
    def starts(self) -> tuple[int, int, int, int]:
        """First triangle of mouth, left eye, right eye, and the end."""
        return self._drawn.starts

    @property
    def lip_triangles(self) -> np.ndarray:
        """(T,) whether a triangle belongs to the red of the lips."""
        return self._drawn.lips

    def lip_opening(self, points: Tensor) -> tuple[Tensor, np.ndarray]:
        """Rim vertices on the screen (B, R, 2) and triangles (T, 3) int32 that fill the opening between them."""
        return points[:, self._drawn.rim_rows], self._drawn.rim_triangles

    def pose(self, motion: RigMotion, torso: np.ndarray) -> Posed:
        """All frames of ``motion``; ``torso`` (F, 4) as from :func:`vivant.rig.torso.torso_motion`."""
        shape = self.rig.shape
        places = [shape.placement.moved(row.astype(np.float64)) for row in motion.pose]
        expression = np.clip(shape.expression + motion.expression + _looking(motion.gaze), _LOWEST, _HIGHEST)
        blinks = [lid.unit for lid in shape.lids]
        expression[:, blinks] = np.minimum(expression[:, blinks], _SHUT)
        camera = Cameras(places, self.rig.shape.centre, self.device)
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
        carried[:, : len(self._drawn.face), 5] *= step(0.2, 1.0, self._side * relative_yaw[:, None])[:, self._face]
        light = self._lamp.ratio(camera, units)
        carried[:, : len(self._drawn.face), -1] = light[:, self._face]
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

    def _move_teeth(self, camera: Cameras, units: Tensor) -> Tensor | None:
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
        self, camera: Cameras, units: Tensor, relative_yaw: Tensor, swayed: Tensor
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

    def _landmarks(self, camera: Cameras, mesh: Tensor, balls: list[tuple[Tensor, Tensor, Tensor]]) -> Tensor:
        # the detector's order: first the iris on the left of the picture, the person's right
        points = torch.cat([mesh, balls[1][2], balls[0][2]], 1)
        scale = camera.focal[:, None] / (DISTANCE - 8.0)
        depth = (mesh[..., 2].mean(1, keepdim=True) - points[..., 2]) * scale
        return torch.cat([camera.pixels(points), depth[..., None]], 2)


class _Rim:
    """An :class:`Edge` as tensors, with the weights that read the other rim at its vertices."""

    def __init__(self, edge: Edge, other: Edge, device: torch.device) -> None:
        self.rim, self.skin, self.nearest = (indices(v, device) for v in (edge.rim, edge.skin, edge.nearest))
        self.falloff = floats(np.exp(-((edge.distance / LIP_REACH) ** 2)), device)
        self.other_at = floats(other.at(edge.along), device)


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
