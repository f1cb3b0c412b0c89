"""Loss terms of warping and keypoint methods, each a pure function to a scalar in float32.

Axis letters: B batch, K keypoints. Coordinates -1..1. "face-vid2vid" is Wang, Mallya and Liu
2021 (arXiv:2011.15126) with the numbers of its open implementation; "LivePortrait" is arXiv:2407.03168.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def hinge_generator(fake: Tensor) -> Tensor:
    """The generator's side of the hinge loss: minus the mean of the critic's answers to made pictures.

    Lim and Ye 2017 (arXiv:1705.02894).
    """
    return -fake.float().mean()


def hinge_critic(real: Tensor, fake: Tensor) -> Tensor:
    """The critic's side of the hinge loss: real answers should exceed 1, fake ones stay below -1. 2 at chance."""
    return F.relu(1 - real.float()).mean() + F.relu(1 + fake.float()).mean()


def feature_matching(fake: Sequence[Tensor], real: Sequence[Tensor]) -> Tensor:
    """Mean absolute difference of a critic's features, averaged over its layers.

    Wang et al. 2018, pix2pixHD (arXiv:1711.11585), equation 4.
    """
    layers = [(a.float() - b.detach().float()).abs().mean() for a, b in zip(fake, real, strict=True)]
    return torch.stack(layers).mean()


def wing(ours: Tensor, theirs: Tensor, omega: float = 0.1, epsilon: float = 0.01) -> Tensor:
    """Wing loss (Feng et al. 2018, arXiv:1711.06753, equation 5): logarithmic below ``omega``, linear above.

    The defaults suit coordinates in 0..1.
    """
    error = (ours.float() - theirs.float()).abs()
    offset = omega - omega * math.log(1 + omega / epsilon)
    return torch.where(error < omega, omega * torch.log1p(error / epsilon), error - offset).mean()


def keypoint_prior(points: Tensor, spread: float = 0.1, depth: float = 0.33) -> Tensor:
    """Keypoints (B,K,3) stay apart (squared distance at least ``spread``) and their mean depth near ``depth``.

    face-vid2vid, keypoint prior. Pairs of a point with itself are included; they only add the constant K * spread.
    """
    p = points.float()
    squared = (p[:, :, None] - p[:, None]).square().sum(-1)
    apart = F.relu(spread - squared).sum((1, 2)).mean()
    return apart + (p[..., 2].mean() - depth).abs()


def deformation_prior(expression: Tensor) -> Tensor:
    """Expression offsets (B,K,3) stay small: mean over the batch and points of their L1 norm (face-vid2vid)."""
    return expression.float().abs().sum(-1).mean()


def head_pose(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> Tensor:
    """Mean absolute differences of pitch, yaw and roll (B,) in degrees, summed (face-vid2vid)."""
    angles = [(a.float() - b.float()).abs().mean() for a, b in zip(ours, theirs, strict=True)]
    return torch.stack(angles).sum()


def equivariance(points: Tensor, warped_points: Tensor, transform: Callable[[Tensor], Tensor]) -> Tensor:
    """Points (B,K,2) of a picture against those found in its warped copy, mapped back by ``transform``.

    Siarohin et al. 2019 (arXiv:2003.00196), equation 8; see :class:`vivant.training.transforms.RandomWarp`.
    """
    return (points.float() - transform(warped_points.float())).abs().mean()
