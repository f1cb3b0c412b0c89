"""Dense motion between two sets of 3D keypoints (face vid2vid, Wang et al. 2021, arXiv 2011.15126).

Axis letters: B batch, C channels, D depth, H height, W width, K keypoints, N = K + 1 slots (slot 0 is the
background). Coordinates x, y, z lie in -1..1, x right, y down.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vivant.nn.blocks import coordinate_grid, volume_to_map
from vivant.nn.hourglass import Hourglass

VARIANCE = 0.01


def warp_volume(volume: Tensor, grid: Tensor) -> Tensor:
    """Sample (B, C, D, H, W) at ``grid`` (B, D, H, W, 3): trilinear, zero outside, always in float32.

    The grid is built on voxel centres but sampled as if -1 and 1 were the outer edges (align_corners False):
    the published weights were trained with this mismatch, so it stays.
    """
    wide, grid = volume.float(), grid.float()
    found = F.grid_sample(wide, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return found.to(volume.dtype)


def keypoint_heatmaps(keypoints: Tensor, grid: Tensor) -> Tensor:
    """Gaussians (B, K, D, H, W) of variance 0.01 around ``keypoints`` (B, K, 3) on ``grid`` (D, H, W, 3)."""
    squared = (grid - keypoints[:, :, None, None, None]).square().sum(dim=-1)
    return torch.exp(-0.5 * squared / VARIANCE)


def sparse_grids(source: Tensor, driving: Tensor, grid: Tensor) -> Tensor:
    """Where each slot reads: the identity, then one shift per keypoint; (B, N, D, H, W, 3)."""
    shift = F.pad(source - driving, (0, 0, 1, 0))
    return grid + shift[:, :, None, None, None]


class DenseMotion(nn.Module):
    """Chooses, for every voxel, a mixture of the keypoints' translations; also says what is not visible."""

    folds = (("compress", "norm"),)

    def __init__(
        self,
        channels: int,
        depth: int,
        keypoints: int,
        width: int,
        max_width: int,
        levels: int,
        compress: int,
    ) -> None:
        super().__init__()
        slots = keypoints + 1
        self.hourglass = Hourglass(slots * (compress + 1), width, max_width, levels)
        self.mask = nn.Conv3d(self.hourglass.channels, slots, 7, padding=3)
        self.compress = nn.Conv3d(channels, compress, 1)
        self.norm = nn.BatchNorm3d(compress)
        self.occlusion = nn.Conv2d(self.hourglass.channels * depth, 1, 7, padding=3)

    def candidates(self, volume: Tensor, grids: Tensor) -> Tensor:
        """The compressed volume seen through each of ``grids`` (B, N, D, H, W, 3): (B, N, c, D, H, W)."""
        slots = grids.shape[1]
        small = F.relu(self.norm(self.compress(volume)))
        repeated = small[:, None].expand(-1, slots, -1, -1, -1, -1).flatten(0, 1)
        return warp_volume(repeated, grids.flatten(0, 1)).unflatten(0, (-1, slots))

    def forward(self, volume: Tensor, source: Tensor, driving: Tensor) -> tuple[Tensor, Tensor]:
        """Where every voxel comes from, and how much of it is visible.

        Args:
            volume: appearance (B, C, D, H, W).
            source: keypoints of the volume (B, K, 3).
            driving: keypoints wanted (B, K, 3).

        Returns:
            deformation (B, D, H, W, 3), the sampling grid, and occlusion (B, 1, H, W) in 0..1, 1 being
            visible.
        """
        depth, height, width = volume.shape[2:]
        source, driving = source.float(), driving.float()  # half precision would shift the sampling grids
        grid = coordinate_grid((depth, height, width), like=source)
        grids = sparse_grids(source, driving, grid)
        heat = keypoint_heatmaps(driving, grid) - keypoint_heatmaps(source, grid)
        heat = F.pad(heat, (0, 0, 0, 0, 0, 0, 1, 0)).to(volume.dtype)
        slots = torch.cat([heat[:, :, None], self.candidates(volume, grids)], dim=2)
        features = self.hourglass(slots.flatten(1, 2))
        share = self.mask(features).float().softmax(dim=1)
        deformation = torch.einsum("bndhw,bndhwa->bdhwa", share, grids)
        return deformation, self.occlusion(volume_to_map(features)).sigmoid()
