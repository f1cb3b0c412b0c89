"""Sliders: what a person's wish means in numbers of each motion space.

Published space: the meaning of the learned keypoints was found by trial by its users; components and factors are those
of the released editor. Lite space: keypoints are mesh landmarks, so the table is geometry of a face whose height,
forehead to chin, is 1: an eye is about 0.15 wide and 0.045 open, a mouth 0.28 wide.
Tables hold rows (keypoint, axis, change per slider unit), axis 0 right, 1 down, 2 into the picture.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from vivant.core.errors import ConfigError
from vivant.methods.live_portrait.algebra import rotation_matrix
from vivant.methods.live_portrait.config import Sliders
from vivant.methods.live_portrait.motion import Motion

Rows = tuple[tuple[int, int, float], ...]


@dataclass(frozen=True)
class Wish:
    """One slider: the rows for a positive value and for a negative one."""

    up: Rows
    down: Rows

    def rows(self, value: float) -> Rows:
        """The rows that hold for ``value``."""
        return self.up if value > 0 else self.down


def _both(*rows: tuple[int, int, float]) -> Wish:
    return Wish(rows, rows)


def _each(keypoints: Iterable[int], axis: int, factor: float) -> Rows:
    return tuple((k, axis, factor) for k in keypoints)


PUBLISHED_EDITS: dict[str, Wish] = {
    "gaze_x": Wish(((11, 0, 0.0007), (15, 0, 0.001)), ((11, 0, 0.001), (15, 0, 0.0007))),
    # the lids follow the gaze by half: -0.001 v and +0.001 v / 2 on the irises, -0.0003 v / 2 on the lids
    "gaze_y": _both((11, 1, -0.0005), (15, 1, -0.0005), (13, 1, -0.00015), (16, 1, -0.00015)),
    "smile": _both(
        (20, 1, -0.01), (14, 1, -0.02), (17, 1, 0.0065), (17, 2, 0.003),
        (13, 1, -0.00275), (16, 1, -0.00275), (3, 1, -0.0035), (7, 1, -0.0035),
    ),
    "wink": _both((11, 1, 0.001), (13, 1, -0.0003), (17, 0, 0.0003), (17, 1, 0.0003), (3, 1, -0.0003)),
    "eyebrow": Wish(
        ((1, 1, 0.001), (2, 1, -0.001)),
        ((1, 0, -0.001), (2, 0, 0.001), (1, 1, 0.0003), (2, 1, -0.0003)),
    ),
    "pouting": _both((19, 0, 1.0)),
    "pursing": _both((14, 1, 0.001), (3, 1, -0.0005), (7, 1, -0.0005), (17, 2, -0.0005)),
    "grin": _both((20, 2, -0.001), (20, 1, -0.001), (14, 1, -0.001)),
    "lip_open": _both((19, 1, 0.001), (19, 2, 0.0001), (17, 1, -0.0001)),
    "move_x": _both((5, 0, -1.0)),
    "move_y": _both((5, 1, 1.0)),
}  # fmt: skip

_UPPER_LIP, _LOWER_LIP = (2, 4, 6, 7), (3, 5, 8, 9)
_LEFT_LIDS, _RIGHT_LIDS = ((10, 14, 15), 11), ((16, 20, 21), 17)  # (upper lid, lower lid)
_IRISES, _BROWS, _CHIN = (22, 23), (24, 25, 26, 27), 29
_UPPER_LIDS = _LEFT_LIDS[0] + _RIGHT_LIDS[0]
_LOWER_LIDS = (_LEFT_LIDS[1], _RIGHT_LIDS[1])

LITE_EDITS: dict[str, Wish] = {
    "gaze_x": _both(*_each(_IRISES, 0, 0.0025)),
    # looking down, the upper lids come along
    "gaze_y": Wish(
        (*_each(_IRISES, 1, -0.0006), *_each(_UPPER_LIDS, 1, -0.0003), *_each(_LOWER_LIDS, 1, -0.0001)),
        (*_each(_IRISES, 1, -0.0005), *_each(_UPPER_LIDS, 1, -0.0007), *_each(_LOWER_LIDS, 1, -0.0001)),
    ),
    # the corners of the mouth (0 left, 1 right) go out and up, the lips stretch along, the lower lids rise a little
    "smile": _both(
        (0, 0, -0.03), (1, 0, 0.03), *_each((0, 1), 1, -0.03),
        *_each((6, 8), 0, -0.012), *_each((7, 9), 0, 0.012), *_each((6, 7, 8, 9), 1, -0.009),
        *_each((2, 4), 1, -0.004), *_each(_LOWER_LIDS, 1, -0.006),
    ),
    "wink": _both(
        (10, 1, 0.0024), *_each((14, 15), 1, 0.0019), (11, 1, -0.0002), (22, 1, 0.0012),
        (24, 1, 0.0002), (0, 1, -0.0002),
    ),
    "eyebrow": Wish(
        _each(_BROWS, 1, -0.0015),
        ((26, 0, -0.0008), (27, 0, 0.0008), *_each((26, 27), 1, -0.0016), *_each((24, 25), 1, -0.001)),
    ),
    "pouting": _both(*_each(range(10), 0, 0.6), (_CHIN, 0, 0.15)),
    "pursing": _both(
        (0, 0, 0.0025), (1, 0, -0.0025), *_each((6, 8), 0, 0.0012), *_each((7, 9), 0, -0.0012),
        *_each((2, 3, 4, 5), 2, -0.001),
    ),
    "grin": _both(
        *_each(_UPPER_LIP, 1, -0.0012), *_each(_LOWER_LIP, 1, 0.0008), (0, 0, -0.0012), (1, 0, 0.0012)
    ),
    # the jaw opens about five times farther than closed lips can be pressed together
    "lip_open": Wish(
        (
            *_each(_LOWER_LIP, 1, 0.001), (_CHIN, 1, 0.0008), *_each(_UPPER_LIP, 1, -0.0001),
            *_each((0, 1), 1, 0.0003), (0, 0, 0.0001), (1, 0, -0.0001),
        ),
        (*_each(_LOWER_LIP, 1, 0.0002), (_CHIN, 1, 0.0001)),
    ),
}  # fmt: skip


def check_sliders(sliders: Sliders) -> None:
    """Refuse sliders out of range.

    Raises:
        ConfigError: a value is not a number or lies outside its range; the message names both.
    """
    for item in fields(Sliders):
        value = getattr(sliders, item.name)
        low, high = item.metadata["range"]
        if value is not None and not (math.isfinite(value) and low <= value <= high):
            raise ConfigError(f"Slider '{item.name}' is {value}: choose a number from {low} to {high}.")


def expression_edit(sliders: Sliders, family: str, keypoints: int) -> Tensor:
    """(K, 3) change of the expression that ``sliders`` ask for in the space of ``family``."""
    table = PUBLISHED_EDITS if family == "published" else LITE_EDITS
    change = torch.zeros(keypoints, 3)
    for name, wish in table.items():
        value = getattr(sliders, name)
        for keypoint, axis, factor in wish.rows(value) if value else ():
            change[keypoint, axis] += factor * value
    return change


def edit_motion(source: Motion, sliders: Sliders, family: str) -> Motion:
    """The portrait's motion (B faces) with the sliders added: expression, head angles, place and size.

    The angles are added to the source's own degrees, as in the released editor, not multiplied as rotations.
    """
    rotation = turned(source.rotation, sliders)
    change = expression_edit(sliders, family, source.exp.shape[1]).to(source.exp)
    shift = source.translation.new_zeros(3)
    if family != "published":  # geometry follows the head; published factors were found without that
        change = change @ rotation
        shift[0], shift[1] = sliders.move_x, sliders.move_y
    return replace(
        source,
        exp=source.exp + change,
        rotation=rotation,
        scale=source.scale * sliders.zoom,
        translation=source.translation + shift,
    )


def turned(rotation: Tensor, sliders: Sliders) -> Tensor:
    """Rotations (B, 3, 3) with the angles of ``sliders`` added to their own."""
    if not (sliders.pitch or sliders.yaw or sliders.roll):
        return rotation
    pitch, yaw, roll = head_angles(rotation)
    return rotation_matrix(pitch + sliders.pitch, yaw + sliders.yaw, roll + sliders.roll).to(rotation)


def head_angles(rotation: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Pitch, yaw and roll (B,) in degrees of R = (Rz Ry Rx)', (B, 3, 3); unique while |yaw| < 90."""
    pitch = torch.atan2(rotation[:, 1, 2], rotation[:, 2, 2])
    yaw = torch.asin(-rotation[:, 0, 2].clamp(-1, 1))
    roll = torch.atan2(rotation[:, 0, 1], rotation[:, 0, 0])
    return torch.rad2deg(pitch), torch.rad2deg(yaw), torch.rad2deg(roll)
