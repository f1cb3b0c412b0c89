"""Augmentation of pairs of face crops on the device: one geometry for both pictures, labels moved exactly along.

Because the labels of a turned, scaled, flipped picture are known exactly, this also does the work of an equivariance
loss. Everything is drawn from one generator and free of host synchronisation, so it can be captured in a graph.

Axis letters: B batch, C channels, H W pixels, P landmarks. Coordinates -1..1 of the crop; R = transpose(Rz Ry Rx).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from vivant.core.errors import ConfigError
from vivant.core.facemesh import TRAINING_MIRROR

Batch = dict[str, Tensor]


@dataclass(frozen=True)
class AugmentConfig:
    """Ranges of the augmentation. ``face``: size of the source's face in the result (scale label); ``roll`` radians;
    ``shift`` in crop half-widths around the centre; ``driver_colour`` extra colour change of the copy that the motion
    extractor sees, against appearance leaking through the motion."""

    face: tuple[float, float] = (0.95, 1.5)
    roll: float = 0.22
    shift: float = 0.12
    flip: float = 0.5
    colour: float = 0.2
    driver_colour: float = 0.15


class PairAugment:
    """``raw`` of :class:`vivant.data.dataset.FaceClips` -> float pictures and labels of both frames."""

    def __init__(self, config: AugmentConfig, device: torch.device) -> None:
        self.config = config
        self.mirror = torch.tensor(TRAINING_MIRROR, device=device)
        self.flip_axis = torch.tensor([-1.0, 1.0, 1.0], device=device)
        self.flip_angles = torch.tensor([1.0, -1.0, -1.0], device=device)

    def __call__(self, raw: Batch, generator: Generator | None) -> Batch:
        """Keys out, each with prefix ``source_`` and ``driver_``: image (B, 3, H, W) 0..1, landmarks (B, P, 3),
        rotation (B, 3) radians, scale (B,), translation (B, 2); and neutral (B, P, 3), weight (B, P), still (B,),
        ``driver_seen`` (B, 3, H, W), the recoloured copy for the motion extractor.

        Raises:
            ConfigError: the labels keep other landmarks than ``TRAINING_POINTS``.
        """
        if raw["neutral"].shape[1] != len(TRAINING_MIRROR):
            raise ConfigError(
                f"The labels keep {raw['neutral'].shape[1]} landmarks, and training needs the {len(TRAINING_MIRROR)} "
                "of vivant.core.facemesh.TRAINING_POINTS: label the data with these."
            )
        n, device = raw["source"].shape[0], raw["source"].device

        def uniform(low: float, high: float, *shape: int) -> Tensor:
            return torch.rand(n, *shape, device=device, generator=generator) * (high - low) + low

        c = self.config
        flip = torch.where(uniform(0, 1) < c.flip, -1.0, 1.0)
        size = torch.exp(uniform(math.log(c.face[0]), math.log(c.face[1])))
        zoom = (size / raw["source_scale"]).clamp(0.55, 1.35)
        angle = uniform(-c.roll, c.roll)
        turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1).view(-1, 2, 2)
        linear = turn * zoom[:, None, None]
        mirror2 = torch.stack([flip, torch.ones_like(flip)], 1)
        centre = (linear @ (raw["source_translation"] * mirror2)[..., None])[..., 0]
        shift = uniform(-c.shift, c.shift, 2) - centre
        grid = self._grid(turn, zoom, shift, flip, raw["source"].shape)
        tint = self._tint(uniform, c.colour)
        mirrored = raw["weight"].index_select(1, self.mirror)
        out: Batch = {"weight": torch.where(flip[:, None] < 0, mirrored, raw["weight"]), "still": raw["still"]}
        out["neutral"] = self._flip_points(raw["neutral"], flip)
        for name in ("source", "driver"):
            image = raw[name].float() * (1 / 255)
            image = F.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=False)
            out[f"{name}_image"] = tint(image)
            points = self._flip_points(raw[f"{name}_landmarks"], flip)
            xy = points[..., :2] @ linear.transpose(1, 2) + shift[:, None]
            out[f"{name}_landmarks"] = torch.cat([xy, points[..., 2:] * zoom[:, None, None]], -1)
            rotation = torch.where(
                flip[:, None] < 0, raw[f"{name}_rotation"] * self.flip_angles, raw[f"{name}_rotation"]
            )
            out[f"{name}_rotation"] = torch.cat([rotation[:, :2], rotation[:, 2:] + angle[:, None]], 1)
            moved = (linear @ (raw[f"{name}_translation"] * mirror2)[..., None])[..., 0] + shift
            out[f"{name}_translation"] = moved
            out[f"{name}_scale"] = raw[f"{name}_scale"] * zoom
        out["driver_seen"] = self._disguise(out["driver_image"], uniform)
        return out

    def _flip_points(self, points: Tensor, flip: Tensor) -> Tensor:
        mirrored = points.index_select(1, self.mirror) * self.flip_axis
        return torch.where(flip[:, None, None] < 0, mirrored, points)

    @staticmethod
    def _grid(turn: Tensor, zoom: Tensor, shift: Tensor, flip: Tensor, shape: torch.Size) -> Tensor:
        """Where each pixel of the result reads: the inverse of p -> zoom turn (flip p) + shift."""
        inverse = turn.transpose(1, 2) / zoom[:, None, None]
        theta = torch.cat([inverse, -(inverse @ shift[..., None])], 2)
        theta = torch.cat([theta[:, :1] * flip[:, None, None], theta[:, 1:]], 1)
        return F.affine_grid(theta, list(shape), align_corners=False)

    @staticmethod
    def _tint(uniform, amount: float):  # type: ignore[no-untyped-def]
        gain, contrast = uniform(1 - amount, 1 + amount, 1, 1, 1), uniform(1 - amount, 1 + amount, 1, 1, 1)
        saturation, channel = uniform(0.6, 1.3, 1, 1, 1), uniform(1 - amount / 2, 1 + amount / 2, 3, 1, 1)

        def apply(image: Tensor) -> Tensor:
            grey = image.mean(1, keepdim=True)
            image = grey + (image - grey) * saturation
            mean = image.mean((2, 3), keepdim=True)
            return (((image - mean) * contrast + mean) * gain * channel).clamp(0, 1)

        return apply

    def _disguise(self, image: Tensor, uniform) -> Tensor:  # type: ignore[no-untyped-def]
        """Extra colour change and a varying loss of detail, as between two cameras."""
        amount = self.config.driver_colour
        coarse = F.interpolate(F.avg_pool2d(image, 2), scale_factor=2.0, mode="bilinear")
        image = torch.lerp(image, coarse, uniform(0, 1, 1, 1, 1))
        image = (image - 0.5) * uniform(1 - amount, 1 + amount, 1, 1, 1) + 0.5
        image = image + uniform(-amount / 2, amount / 2, 1, 1, 1)
        return (image * uniform(1 - amount / 2, 1 + amount / 2, 3, 1, 1)).clamp(0, 1)
