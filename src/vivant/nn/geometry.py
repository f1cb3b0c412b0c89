"""Closed-form geometry on keypoints, grids and volumes; everything in float32, also under autocast.

Axis letters: B batch, K keypoints, H W pixels, D depth. Coordinates are -1..1 of the crop with cell centres at
(i + 0.5) / size * 2 - 1 (the align_corners=False convention of grid sampling); points are row vectors (x, y, z).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def cell_centres(size: int, device: torch.device) -> Tensor:
    """(size,) centres of the cells of an axis in -1..1."""
    return (torch.arange(size, device=device, dtype=torch.float32) + 0.5) * (2 / size) - 1


def grid_2d(height: int, width: int, device: torch.device) -> Tensor:
    """(H, W, 2) grid of cell centres, last axis x, y."""
    x, y = cell_centres(width, device), cell_centres(height, device)
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)


def grid_3d(depth: int, height: int, width: int, device: torch.device) -> Tensor:
    """(D, H, W, 3) grid of cell centres, last axis x, y, z."""
    flat = grid_2d(height, width, device).expand(depth, -1, -1, -1)
    z = cell_centres(depth, device).view(depth, 1, 1, 1).expand(-1, height, width, 1)
    return torch.cat([flat, z], -1)


def gaussians(points: Tensor, divisor: Tensor, height: int, width: int) -> Tensor:
    """Gaussian bumps exp(-d^2 / divisor), d the distance to the keypoint in -1..1 units.

    points (B, K, 2 or 3), divisor (K,) -> (B, K, H, W). Separable, so it costs K (H + W) exponentials.
    """
    x = cell_centres(width, points.device) - points[..., :1]
    y = cell_centres(height, points.device) - points[..., 1:2]
    return torch.exp(-(y * y) / divisor[:, None])[..., None] * torch.exp(-(x * x) / divisor[:, None])[..., None, :]


def sample_2d(image: Tensor, flow: Tensor) -> Tensor:
    """Read image (B, C, h, w) at flow (B, H, W, 2) -> (B, C, H, W); beyond the border the edge repeats."""
    read = F.grid_sample(image.float(), flow.float(), mode="bilinear", padding_mode="border", align_corners=False)
    return read.to(image.dtype)


def _cofactors(matrix: Tensor) -> Tensor:
    """Matrix of cofactors of (..., 3, 3); the inverse transpose is this over the determinant."""
    a, b, c = matrix.unbind(-2)
    return torch.stack([torch.linalg.cross(b, c), torch.linalg.cross(c, a), torch.linalg.cross(a, b)], -2)


def nearest_rotation(matrix: Tensor, iterations: int = 10) -> Tensor:
    """The rotation nearest to a matrix (..., 3, 3) of positive determinant: Newton's polar iteration (Higham 1986).

    Unlike an SVD it is made of products only, so it is differentiable everywhere and can be captured in a graph.
    """
    norm = matrix.square().sum((-2, -1), keepdim=True).clamp_min(1e-12).sqrt()
    y = matrix * (3.0**0.5) / norm
    upright = (y * _cofactors(y)).sum((-2, -1), keepdim=True) > 1e-4  # else there is no nearest rotation: keep still
    y = torch.where(upright, y, torch.eye(3, device=y.device))
    for _ in range(iterations):
        cofactors = _cofactors(y)
        determinant = (y * cofactors).sum((-2, -1), keepdim=True) / 3
        y = 0.5 * (y + cofactors / determinant.clamp_min(1e-4))
    return y


def rigid_motion(kp_from: Tensor, kp_to: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Similarity that best maps one set of points to another (Procrustes): to = (from - centre_from) A + centre_to.

    (B, K, 3) twice -> A (B, 3, 3) scaled rotation, centre_from (B, 1, 3), centre_to (B, 1, 3).
    """
    centre_from, centre_to = kp_from.mean(1, keepdim=True), kp_to.mean(1, keepdim=True)
    p, q = kp_from - centre_from, kp_to - centre_to
    covariance = (p[..., :, None] * q[..., None, :]).sum(1)
    scale = (q.square().sum((1, 2)) / p.square().sum((1, 2)).clamp_min(1e-8)).clamp_min(1e-8).sqrt()
    return nearest_rotation(covariance) * scale[:, None, None], centre_from, centre_to


def box_mask(boxes: Tensor, size: int) -> Tensor:
    """Boxes (..., 4), x0 y0 x1 y1 in -1..1, as masks (..., 1, size, size): the share of each cell that is inside."""
    edges = torch.linspace(-1, 1, size + 1, device=boxes.device)
    low, high = edges[:-1], edges[1:]

    def along(first: Tensor, last: Tensor) -> Tensor:
        inside = torch.minimum(high, last[..., None]) - torch.maximum(low, first[..., None])
        return (inside * (size / 2)).clamp(0, 1)

    across, down = along(boxes[..., 0], boxes[..., 2]), along(boxes[..., 1], boxes[..., 3])
    return (down[..., :, None] * across[..., None, :]).unsqueeze(-3)
