"""Colours of what was rasterised: photo pixels for skin and hair, a darkened mouth, eyeballs (torch, any device).

Pictures are (B, C, H, W) float32 with colours in 0..255; coordinates (B, 2, H, W) are pixels of the texture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vivant.rig.eyes import IRIS_PATCH, IRIS_REACH
from vivant.rig.posing import Posed
from vivant.rig.raster import Fragments
from vivant.rig.tensors import step

if TYPE_CHECKING:
    from vivant.rig.build import PhotoRig

_MOUTH_SHADE = 0.22  # cm over which the lips' shadow fades
_LID_SKIN, _LASHES = 0.8, 0.85  # opacity of what is drawn on a shut lid
_STIRRED = 0.22  # cm; how far lips move until nothing of the mouth is the photo as it is
_GAZE_FADE = 0.14  # rad; where the photo's own glints and shadows on the eye have faded


@dataclass(frozen=True)
class Parts:
    """Which pixels show what, (B, H, W) bool each."""

    skin: Tensor
    mouth: Tensor
    eyes: tuple[Tensor, Tensor]

    @property
    def any(self) -> Tensor:
        """Pixels of the face's own layer."""
        return self.skin | self.mouth | self.eyes[0] | self.eyes[1]


def sample(texture: Tensor, at: Tensor, mirrored: bool = False) -> Tensor:
    """Bilinear samples of ``texture`` (1, C, h, w); beyond its edge it is repeated, or ``mirrored``."""
    height, width = texture.shape[-2:]
    scale = at.new_tensor([2 / (width - 1), 2 / (height - 1)]).view(2, 1, 1)
    grid = (at * scale - 1).movedim(1, 3)
    padding = "reflection" if mirrored else "border"
    return F.grid_sample(texture.expand(len(at), -1, -1, -1), grid, padding_mode=padding, align_corners=True)


def sample_list(texture: Tensor, at: Tensor) -> Tensor:
    """(N, C) bilinear samples of ``texture`` (1, C, h, w) at pixels (N, 2), 0 beyond its edge."""
    height, width = texture.shape[-2:]
    grid = (at * at.new_tensor([2 / (width - 1), 2 / (height - 1)]) - 1)[None, None]
    return F.grid_sample(texture, grid, align_corners=True)[0, :, 0].T


def box_of(mask: Tensor, margin: int) -> tuple[slice, slice] | None:
    """Rows and columns that hold all of ``mask`` (B, H, W), widened by ``margin``; None if it is empty."""
    flat = mask.any(0)
    rows, columns = flat.any(1).nonzero()[:, 0], flat.any(0).nonzero()[:, 0]
    if len(rows) == 0:
        return None
    y0, y1, x0, x1 = int(rows[0]), int(rows[-1]), int(columns[0]), int(columns[-1])
    return slice(max(0, y0 - margin), y1 + 1 + margin), slice(max(0, x0 - margin), x1 + 1 + margin)


def blur(picture: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of (B, C, H, W), edges repeated."""
    reach = max(1, int(np.ceil(3 * sigma)))
    line = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=picture.device) / sigma) ** 2)
    line = line / line.sum()
    channels = picture.shape[1]
    padded = F.pad(picture, (reach, reach, reach, reach), mode="replicate")
    padded = F.conv2d(padded, line.view(1, 1, 1, -1).repeat(channels, 1, 1, 1), groups=channels)
    return F.conv2d(padded, line.view(1, 1, -1, 1).repeat(channels, 1, 1, 1), groups=channels)


class Shader:
    """The textures of one rig on one device."""

    def __init__(self, rig: PhotoRig, device: torch.device) -> None:
        self._device = device
        self._photo = self._texture(rig.image)
        self._person = self._texture(rig.layers.person)
        self._mouth_photo = self._texture(rig.mouth.photo[..., None])
        self._eyes = [
            (
                self._texture(np.concatenate([eye.sclera, eye.residual], -1)),
                self._texture(eye.iris),
                torch.as_tensor(eye.corner, dtype=torch.float32, device=device),
            )
            for eye in rig.eyes
        ]
        self._lids = [(self._texture(eye.lid), torch.as_tensor(eye.lashes, device=device)) for eye in rig.eyes]
        teeth = rig.mouth.teeth
        self._teeth = None
        if teeth is not None:
            corner = torch.as_tensor(teeth.corner, dtype=torch.float32, device=device).view(2, 1, 1)
            self._teeth = self._texture(teeth.upper), self._texture(teeth.lower), corner
        self._mirrors = bool(rig.skin.mirror.max() > 0.01)
        self._pixels_per_cm = rig.shape.placement.pixels_per_cm

    def _texture(self, picture: np.ndarray) -> Tensor:
        return torch.as_tensor(np.ascontiguousarray(picture.transpose(2, 0, 1)), device=self._device)[None].float()

    def person(self, at: Tensor) -> Tensor:
        """(B, 4, H, W) the sheet: premultiplied colour, and opacity 0..255."""
        return sample(self._person, at, mirrored=True)

    def face(
        self, carried: Tensor, parts: Parts, posed: Posed, zoom: float, teeth: tuple[Tensor, Tensor] | None = None
    ) -> Tensor:
        """(B, 3, H, W) colours of the face layer; ``zoom``: drawn pixels per pixel of the still; ``teeth``: texture
        coordinates of upper and lower photographed teeth (B, 2, H, W)."""
        colour = sample(self._photo, carried[:, :2])
        if self._mirrors:
            weight = (carried[:, 5] * parts.skin)[:, None]
            colour = colour * (1 - weight) + sample(self._photo, carried[:, 3:5]) * weight
        self._close_lids(colour, carried, parts.skin)
        colour = colour * carried[:, -1:]
        self._mouth(colour, carried, parts.mouth, posed, zoom, teeth)
        for k, mask in enumerate(parts.eyes):
            self._eye(colour, carried, mask, posed.gaze, k)
        return colour

    def _close_lids(self, colour: Tensor, carried: Tensor, skin: Tensor) -> None:
        """Draw the skin and the lash line of closing lids into ``colour`` in place."""
        for k, sign in enumerate((1, -1)):
            where = (skin & ((sign * carried[:, 6] > 0.003) | (sign * carried[:, 7] > 0.003))).nonzero(as_tuple=True)
            if len(where[0]) == 0:
                continue
            (lid, lashes), corner = self._lids[k], self._eyes[k][2]
            values = carried.movedim(1, 3)[where]
            drawn = colour.movedim(1, 3)[where]
            weight = (sign * values[:, 6:7]).clamp(0, 1) * _LID_SKIN
            drawn = drawn + (sample_list(lid, values[:, :2] - corner) - drawn) * weight
            line = step(0.35, 0.85, sign * values[:, 7:8]) * _LASHES
            colour.movedim(1, 3)[where] = drawn + (lashes - drawn) * line

    def _mouth(
        self,
        colour: Tensor,
        carried: Tensor,
        mask: Tensor,
        posed: Posed,
        zoom: float,
        teeth: tuple[Tensor, Tensor] | None,
    ) -> None:
        """Draw the mouth into ``colour`` in place: teeth and gums with the shadow of the lips, or the photo's own."""
        sigma = max(1.5, _MOUTH_SHADE * self._pixels_per_cm * zoom * float(posed.zoom.mean()))
        box = box_of(mask, int(np.ceil(3 * sigma)))
        if box is None:
            return
        rows, columns = box
        inside = mask[:, None, rows, columns].float()
        shade = 0.30 + 0.70 * step(0.35, 1.0, blur(inside, sigma))
        shade = shade * (0.40 + 0.60 * step(0.05, 0.75, posed.gap))[:, None, None, None]
        soft = 0.0022 * colour.shape[-1]  # hides the seams between teeth and gums
        drawn = blur(carried[:, 3:6, rows, columns] * inside, soft) / blur(inside, soft).clamp_min(0.05) * shade
        own = sample(self._mouth_photo, carried[:, :2, rows, columns])
        if self._teeth is not None and teeth is not None:
            for texture, at in zip(self._teeth[1::-1], teeth[::-1]):  # lower ones first
                seen = sample(texture, at[:, :, rows, columns] - self._teeth[2])
                drawn = drawn * (1 - seen[:, 3:] / 255) + seen[:, :3] * (0.6 + 0.4 * shade)
            own = own * step(_STIRRED, 0.0, posed.stirred)[:, None, None, None]
        part = colour[:, :, rows, columns]
        mixed = part * own + drawn * (1 - own)
        colour[:, :, rows, columns] = torch.where(inside > 0, mixed, part)

    def _eye(self, colour: Tensor, carried: Tensor, mask: Tensor, gaze: Tensor, which: int) -> None:
        """Draw one eyeball into ``colour`` in place."""
        where = mask.nonzero(as_tuple=True)
        if len(where[0]) == 0:
            return
        eyeball, iris, corner = self._eyes[which]
        values = carried.movedim(1, 3)[where]
        ball = sample_list(eyeball, values[:, :2] - corner)
        on_iris = sample_list(iris, (values[:, 3:5] / (2 * IRIS_REACH) + 0.5) * (IRIS_PATCH - 1))
        opacity = on_iris[:, 3:] / 255
        own = (1 - (gaze[where[0]] / _GAZE_FADE).clamp(0, 1))[:, None]
        drawn = ball[:, :3] * (1 - opacity) + on_iris[:, :3] * opacity + ball[:, 3:] * own
        colour.movedim(1, 3)[where] = drawn


def parts_of(fragments: Fragments, starts: tuple[int, int, int, int], opening: Tensor) -> Parts:
    """Tell face, mouth and eyes apart. Mouth counts only inside the ``opening`` of the lips (B, H, W) bool, or the
    mouth's bag would show under the chin."""
    triangle = fragments.triangle
    mouth, left, right, _ = starts
    return Parts(
        skin=(triangle >= 0) & (triangle < mouth),
        mouth=(triangle >= mouth) & (triangle < left) & opening,
        eyes=((triangle >= left) & (triangle < right), triangle >= right),
    )
