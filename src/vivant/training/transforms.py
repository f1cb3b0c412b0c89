"""Random smooth warps: an affine map with a thin-plate spline on top."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Warp:
    """One warp T for each of B pictures: ``affine`` (B,2,3), spline ``weights`` (B,N,2) at ``centres`` (N,2).

    The warped picture shows at p what the picture has at T(p), so a point p found in the warped picture lies at
    ``points(p)`` in the original.
    """

    affine: Tensor
    weights: Tensor
    centres: Tensor

    def points(self, xy: Tensor) -> Tensor:
        """T of points (B,N,2) in -1..1, differentiable, in float32 also under autocast."""
        with torch.autocast(xy.device.type, enabled=False):
            xy = xy.float()
            straight = xy @ self.affine[:, :, :2].transpose(1, 2) + self.affine[:, None, :, 2]
            squared = (xy[:, :, None] - self.centres).square().sum(-1)
            return straight + _thin_plate(squared) @ self.weights

    def image(self, image: Tensor) -> Tensor:
        """The warped pictures (B,C,H,W), mirrored beyond the border."""
        count, _, height, width = image.shape
        y = (torch.arange(height, device=image.device) + 0.5) * (2 / height) - 1
        x = (torch.arange(width, device=image.device) + 0.5) * (2 / width) - 1
        grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).view(1, -1, 2).expand(count, -1, -1)
        where = self.points(grid).view(count, height, width, 2)
        return F.grid_sample(image.float(), where, padding_mode="reflection", align_corners=False)


class RandomWarp:
    """Draws warps: normal noise of ``affine_sd`` on the identity, and of ``spline_sd`` on a square of control points.

    The numbers are those of the open face-vid2vid and first-order-motion implementations.
    """

    def __init__(
        self,
        affine_sd: float = 0.05,
        spline_sd: float = 0.005,
        points: int = 5,
        device: torch.device | str = "cpu",
    ) -> None:
        self.affine_sd, self.spline_sd = affine_sd, spline_sd
        line = torch.linspace(-1, 1, points, device=device)
        self._centres = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1).view(-1, 2)
        self._identity = torch.eye(2, 3, device=device)

    def draw(self, count: int, generator: Generator | None = None) -> Warp:
        """One warp for each of ``count`` pictures."""
        device = self._centres.device
        noise = torch.randn(count, 2, 3, device=device, generator=generator)
        spline = torch.randn(count, len(self._centres), 2, device=device, generator=generator)
        return Warp(self._identity + self.affine_sd * noise, self.spline_sd * spline, self._centres)


def _thin_plate(squared: Tensor) -> Tensor:
    """r^2 log r from r^2, 0 at 0 (Bookstein 1989)."""
    return 0.5 * squared * torch.log(squared + 1e-9)
