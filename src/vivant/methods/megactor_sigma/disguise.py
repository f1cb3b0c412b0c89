"""Drivers that do not look like the portrait: how training changes driving pictures, so that nobody's looks leak.

Another person's proportions and colours (in place of a face swap), stylisation, size and proportions of the picture,
colour, detail. Everything is drawn from one generator and free of host synchronisation.

Axis letters: B batch, F frames, P = 13 face points, H W pixels. Coordinates -1..1 of the square.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from vivant.nn.geometry import grid_2d

_COARSE = 32  # cells of a side that the warp is computed on
_SWAP_WIDTH = 0.5  # of the bumps that carry proportions, in distances of the eyes
_MOST = 0.35  # of a change of proportions, in distances of the eyes
_LIP_CORNERS = (5, 6)  # rows of the mouth's corners among the face points
_STYLES = 4


@dataclass(frozen=True)
class Chances:
    """How often a clip's driver gets another person's proportions and colours (``swap``), is stylised (``style``),
    scaled and squeezed (``size``), and recoloured (``colour``)."""

    swap: float = 0.5
    style: float = 0.25
    size: float = 0.75
    colour: float = 0.25


class Draws:
    """Numbers for each of B clips, drawn on the device."""

    def __init__(self, count: int, device: torch.device, generator: Generator | None) -> None:
        self.count, self.device, self.generator = count, device, generator

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """(B, *shape) evenly between ``low`` and ``high``."""
        return low + (high - low) * torch.rand(self.count, *shape, generator=self.generator, device=self.device)

    def happens(self, chance: float, *shape: int) -> Tensor:
        """(B, *shape) 1 with that chance, else 0."""
        return (torch.rand(self.count, *shape, generator=self.generator, device=self.device) < chance).float()


def disguised(pictures: Tensor, points: Tensor, chances: Chances, draws: Draws) -> tuple[Tensor, Tensor]:
    """Driving pictures (B, F, 3, H, W) in 0..1 and their face points (B, F, P, 2), changed alike in all frames.

    The clip before in the batch is the other person.
    """
    swap, resize = draws.happens(chances.swap, 1, 1, 1), draws.happens(chances.size, 1)
    change = swap * _change_of_proportions(points, draws)
    grid, points = _warp(points, change, _stretch(resize, draws))
    height, width = pictures.shape[-2:]
    away = F.interpolate(grid.permute(0, 3, 1, 2), size=(height, width), mode="bilinear", align_corners=False)
    grid = grid_2d(height, width, points.device) + away.permute(0, 2, 3, 1)
    flat = F.grid_sample(pictures.flatten(0, 1), grid, padding_mode="border", align_corners=False)
    made = flat.unflatten(0, pictures.shape[:2])
    made = torch.lerp(made, _other_colours(made), swap[..., None])
    made = torch.lerp(made, _stylised(made, draws), draws.happens(chances.style, 1, 1, 1, 1))
    made = torch.lerp(made, _recoloured(made, draws), draws.happens(chances.colour, 1, 1, 1, 1))
    return made.clamp(0, 1), points


def _axes(points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Centre (..., 1, 2), unit (..., 1, 1) and turn (..., 2, 2) of a face: middle, distance and line of the eyes."""
    left, right = points[..., 0:2, :].mean(-2), points[..., 2:4, :].mean(-2)
    line = right - left
    unit = line.norm(dim=-1).clamp_min(1e-3)
    x = line / unit[..., None]
    turn = torch.stack([x, torch.stack([-x[..., 1], x[..., 0]], -1)], -2)  # rows: the face's axes
    return ((left + right) / 2)[..., None, :], unit[..., None, None], turn


def _change_of_proportions(points: Tensor, draws: Draws) -> Tensor:
    """(B, F, P, 2) where each point goes when the face gets the proportions of the clip before, in -1..1.

    Proportions are the clip's mean, in the face's own axes. All points of the lips move as the mouth's corners do, so
    that a mouth stays as open as it was.
    """
    centre, unit, turn = _axes(points)
    shape = (((points - centre) @ turn.transpose(-1, -2)) / unit).mean(1)
    change = shape.roll(1, 0) - shape
    change = change * draws.uniform(0.6, 1.2, 1, 1) + draws.uniform(-0.05, 0.05, points.shape[2], 2)
    corners = torch.stack([change[:, row] for row in _LIP_CORNERS], 1).mean(1, keepdim=True)
    change = torch.cat([change[:, :5], corners.expand(-1, points.shape[2] - 5, -1)], 1).clamp(-_MOST, _MOST)
    return (change[:, None] @ turn) * unit


def _stretch(resize: Tensor, draws: Draws) -> Tensor:
    """(B, 2) factors of width and height: another size, and another ratio of sides."""
    size, ratio = draws.uniform(0.8, 1.2, 1), draws.uniform(0.8, 1.2, 1)
    factors = torch.cat([size, size * ratio], 1)
    return 1 + resize * (factors - 1)


def _warp(points: Tensor, change: Tensor, stretch: Tensor) -> tuple[Tensor, Tensor]:
    """How far from itself each place of the warped pictures reads, (B F, g, g, 2), and where the points then lie.

    The face's points move by ``change`` (B, F, P, 2), what is around them less and less; then the picture is
    stretched by ``stretch`` (B, 2) about the clip's face.
    """
    frames = points.shape[1]
    centre = points.mean((1, 2))[:, None, None]
    new = points + change
    unit = _axes(points)[1].flatten(0, 1)[..., None]
    place = grid_2d(_COARSE, _COARSE, points.device).view(1, 1, -1, 2)
    before = ((place - centre) / stretch[:, None, None] + centre).expand(-1, frames, -1, -1).flatten(0, 1)
    away = (before[:, :, None] - new.flatten(0, 1)[:, None]).square().sum(-1, keepdim=True)
    weight = torch.exp(-away / (2 * (_SWAP_WIDTH * unit).square()))
    pulled = (weight * -change.flatten(0, 1)[:, None]).sum(2) / (weight.sum(2) + 0.1)
    grid = (before + pulled - place[0]).unflatten(1, (_COARSE, _COARSE))
    return grid, (new - centre) * stretch[:, None, None] + centre


def _other_colours(pictures: Tensor) -> Tensor:
    """Mean and spread of the colours of the clip before."""
    axes = (1, 3, 4)
    mean, spread = pictures.mean(axes, keepdim=True), pictures.std(axes, keepdim=True).clamp_min(0.02)
    return (pictures - mean) * (spread.roll(1, 0) / spread) + mean.roll(1, 0)


def _blurred(pictures: Tensor, factor: int) -> Tensor:
    flat = F.avg_pool2d(pictures.flatten(0, 1), factor)
    flat = F.interpolate(flat, size=pictures.shape[-2:], mode="bilinear", align_corners=False)
    return flat.unflatten(0, pictures.shape[:2])


def _stylised(pictures: Tensor, draws: Draws) -> Tensor:
    """As a poster, as paint, as a pencil drawing, or in mixed colours; one of them a clip."""
    levels = draws.uniform(4, 9, 1, 1, 1, 1)
    soft = _blurred(pictures, 4)
    poster = (pictures * levels).round() / levels
    paint = ((soft + 0.6 * (pictures - soft)) * levels).round() / levels
    pencil = (0.75 + 3 * (pictures - soft).mean(2, keepdim=True)).expand_as(pictures)
    mixing = draws.uniform(0, 1, 3, 3)
    mixing = mixing / mixing.sum(2, keepdim=True)
    mixed = torch.einsum("bcd,bfdhw->bfchw", mixing, pictures)
    lot = (draws.uniform(0, 1, 1) * _STYLES).floor()
    styles = torch.stack([poster, paint, pencil, mixed], 1)
    chosen = (lot == torch.arange(_STYLES, device=lot.device)).to(styles.dtype).view(-1, _STYLES, 1, 1, 1, 1)
    return (styles * chosen).sum(1)


def _recoloured(pictures: Tensor, draws: Draws) -> Tensor:
    """Brightness, contrast, saturation, colour of the light, and less detail, as of another camera."""
    gain, contrast = draws.uniform(0.6, 1.4, 1, 1, 1, 1), draws.uniform(0.6, 1.4, 1, 1, 1, 1)
    saturation, light = draws.uniform(0, 1.4, 1, 1, 1, 1), draws.uniform(0.8, 1.2, 1, 3, 1, 1)
    grey = pictures.mean(2, keepdim=True)
    made = grey + (pictures - grey) * saturation
    mean = made.mean((1, 2, 3, 4), keepdim=True)
    made = ((made - mean) * contrast + mean) * gain * light
    return torch.lerp(made, _blurred(made, 2), draws.uniform(0, 1, 1, 1, 1, 1))
