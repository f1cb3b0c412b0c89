"""Eyes and mouth of a face as boxes and masks, the same in training and inference.

Axis letters: B batch, F frames, P = 13 face points (``core.facemesh.FACE_POINTS``), H W pixels, h w latent grid.
Coordinates are -1..1 of the square; boxes are x0 y0 x1 y1; the three boxes of a face are the eye on the left of the
picture (with its brow), the other eye, and the mouth.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vivant.nn.geometry import box_mask

_GREY = (0.2989, 0.5870, 0.1140)
_LEAST = 0.02  # eyes are never told narrower than this


def face_unit(points: Tensor) -> Tensor:
    """(..., 1) width of an eye: of the wider one, and at least 0.4 of the distance of both, as of heads that turn."""
    wide = torch.stack([(points[..., i, :] - points[..., i + 1, :]).norm(dim=-1) for i in (0, 2)], -1).amax(-1)
    apart = (points[..., 0:2, :].mean(-2) - points[..., 2:4, :].mean(-2)).norm(dim=-1)
    return torch.maximum(wide, 0.4 * apart).clamp_min(_LEAST)[..., None]


def region_boxes(points: Tensor, margin: float | Tensor = 1.0) -> Tensor:
    """Boxes (..., 3, 4) of face points (..., P, 2). ``margin``: factor on their size, or (..., 1) of each face."""
    unit = face_unit(points) * margin
    boxes = []
    for first in (0, 2):
        centre = points[..., first : first + 2, :].mean(-2)
        low = torch.cat([-0.85 * unit, -1.05 * unit], -1)
        high = torch.cat([0.85 * unit, 0.6 * unit], -1)
        boxes.append(torch.cat([centre + low, centre + high], -1))
    lips = points[..., 5:, :]
    low, high = lips.amin(-2), lips.amax(-2)
    least = torch.cat([1.2 * unit, 0.8 * unit], -1)
    half = torch.maximum((high - low) * (0.75 * margin), least)
    centre = (low + high) / 2
    boxes.append(torch.cat([centre - half, centre + half], -1))
    return torch.stack(boxes, -2)


def union(boxes: Tensor, axis: int) -> Tensor:
    """The smallest boxes around all along ``axis``, which stays with length 1."""
    low, high = boxes[..., :2].amin(axis, keepdim=True), boxes[..., 2:].amax(axis, keepdim=True)
    return torch.cat([low, high], -1)


def chosen_mask(boxes: Tensor, chosen: Tensor, size: int) -> Tensor:
    """Share of each cell (..., 1, size, size) that lies in the chosen ones of boxes (..., 3, 4).

    ``chosen``: (..., 3) 0 or 1.
    """
    return (box_mask(boxes, size) * chosen[..., None, None, None]).amax(-4)


def eyes_and_mouth(eyes: Tensor, mouth: Tensor) -> Tensor:
    """Which of the three boxes are chosen, (..., 3), from flags (...)."""
    return torch.stack([eyes, eyes, mouth], -1)


def shown(pictures: Tensor, region: Tensor) -> Tensor:
    """What the net sees of driving pictures (..., 3, H, W) in 0..1: grey in ``region`` (..., 1, H, W), else black."""
    red, green, blue = (part * pictures[..., i : i + 1, :, :] for i, part in enumerate(_GREY))
    return ((red + green + blue) * (region > 0.5)).expand_as(pictures)


def latent_masks(driver: Tensor, own: Tensor, chosen: Tensor, size: int) -> Tensor:
    """Masks (..., 2, size, size) of the mouth that is made and of what is driven: 1 where a cell is touched.

    They say something only where eyes are driven and the mouth is not; else both are 0, and no token is kept from
    looking anywhere (attention mask of section "spatially decoupled visual training").

    Args:
        driver: boxes (..., 3, 4) in the driving picture.
        own: boxes (..., 3, 4) in the frame that is made.
        chosen: (..., 3) which of the driver's are shown.
        size: h = w.
    """
    active = (chosen[..., 0] * (1 - chosen[..., 2]))[..., None, None, None]
    mouth = torch.zeros_like(chosen)
    mouth[..., 2] = 1
    masks = torch.cat([chosen_mask(own, mouth, size), chosen_mask(driver, chosen, size)], -3)
    return (masks > 0).to(masks.dtype) * active
