"""Frozen nets that training losses look through, all bundled: perceptual features, identity, landmarks."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vivant.core.facemesh import TRAINING_POINTS
from vivant.metrics.nets.lite0 import imagenet_trunk
from vivant.nn.efficientnet import freeze, perceptual_features
from vivant.training.randomness import batch_mean

DEEPEST_TAP = 10  # block index of the coarsest perceptual feature (stride 16)


class PerceptualDistance(nn.Module):
    """Distance of EfficientNet-Lite0 features at strides 2 to 16 (not LPIPS, and not comparable with it).

    Each level is the mean absolute difference over the mean magnitude of the target's features, so that levels weigh
    alike. Source of the idea: Johnson et al. 2016, perceptual losses.
    """

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.net = freeze(imagenet_trunk(DEEPEST_TAP + 1)).to(device)

    def forward(self, image: Tensor, target: Tensor) -> Tensor:
        """(B, 3, H, W) in 0..1 twice -> scalar >= 0, 0 for equal pictures."""
        with torch.no_grad():
            wanted = perceptual_features(self.net, target)  # type: ignore[arg-type]
        total = image.new_zeros((), dtype=torch.float32)
        for ours, theirs in zip(perceptual_features(self.net, image), wanted):  # type: ignore[arg-type]
            theirs = theirs.float()
            total = total + (ours.float() - theirs).abs().mean() / (batch_mean(theirs.abs().mean()) + 1e-3)
        return total


class IdentityDistance(nn.Module):
    """Euclidean distance of dlib's 128-d embeddings of two pictures of the same face, cut by known landmarks."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        from vivant.perception.identity import IdentityNet

        self.net = freeze(IdentityNet()).to(device)

    def forward(self, image: Tensor, target: Tensor, centre: Tensor, half: Tensor) -> Tensor:
        """Pictures (B, 3, H, W), centre (B, 2) and half side (B,) of the face square in -1..1 -> mean distance."""
        ours = self.net(cut_square(image, centre, half, 150))
        with torch.no_grad():
            theirs = self.net(cut_square(target, centre, half, 150))
        return (ours.float() - theirs.float()).square().sum(1).add(1e-8).sqrt().mean()


class LandmarksInPicture(nn.Module):
    """Landmarks of a picture's face as the tracker would find them, differentiable with respect to the picture.

    The face is cut as :class:`vivant.perception.landmarks.LandmarkRunner` cuts it, around landmarks known beforehand (a
    made picture has its face where the source has it), and seen by the net's torch twin in float32."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        from vivant.perception.landmarks import MARGIN
        from vivant.perception.twins import LandmarkNet

        self.net, self._margin = freeze(LandmarkNet()).to(device), MARGIN
        self._tilt = torch.tensor([TRAINING_POINTS.index(33), TRAINING_POINTS.index(263)], device=device)
        self._kept = torch.tensor(TRAINING_POINTS, device=device)
        self._zero = torch.tensor([1.0, 1.0, 0.0], device=device)

    def forward(self, image: Tensor, known: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) in 0..1, labels (B, P, 2 or 3) in -1..1 -> (B, 478, 2) in -1..1."""
        with torch.autocast(image.device.type, enabled=False):
            view, turn, middle = self._cut(image, known)
            return self._found(view)[..., :2] @ turn.transpose(1, 2) + middle[:, None]

    def difference(self, image: Tensor, target: Tensor, known: Tensor) -> Tensor:
        """How far the landmarks of two pictures are apart, depth included: mean of a coordinate over the 478 points,
        plus the mean over those that training labels keep, in halves of the view's side (about 1.5 faces).

        The net sees both pictures cut alike, around the labels ``known`` (B, P, 2 or 3) of ``target``, so what it
        sees wrongly in both does not count."""
        with torch.autocast(image.device.type, enabled=False):
            view, *_ = self._cut(image, known)
            with torch.no_grad():
                wanted = self._found(self._cut(target, known)[0])
            apart = (self._found(view) - wanted).abs()
            return apart.mean() + apart.index_select(1, self._kept).mean()

    def _found(self, view: Tensor) -> Tensor:
        """(B, 478, 3) in -1..1 of the view, depth in the same unit."""
        found: Tensor = self.net(view)[0] / 128 - self._zero
        return found

    def _cut(self, image: Tensor, known: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The view (B, 3, 256, 256) of the face at ``known``; the turn (B, 2, 2) and middle (B, 2) that lead back."""
        points = known[..., :2].float()
        low, high = points.amin(1), points.amax(1)
        across = points.index_select(1, self._tilt).diff(dim=1)[:, 0]
        along = F.normalize(across, dim=1) * ((high - low).amax(1, keepdim=True) * (self._margin / 2))
        turn = torch.stack([along[:, 0], -along[:, 1], along[:, 1], along[:, 0]], 1).view(-1, 2, 2)
        middle = (low + high) / 2
        size = [image.shape[0], image.shape[1], 256, 256]
        grid = F.affine_grid(torch.cat([turn, middle[:, :, None]], 2), size, align_corners=False)
        return F.grid_sample(image.float(), grid, align_corners=False), turn, middle


def cut_square(image: Tensor, centre: Tensor, half: Tensor, size: int) -> Tensor:
    """Axis-aligned squares: image (B, C, H, W), centre (B, 2), half side (B,) in -1..1 -> (B, C, size, size)."""
    zero = torch.zeros_like(half)
    theta = torch.stack([half, zero, centre[:, 0], zero, half, centre[:, 1]], 1).view(-1, 2, 3)
    grid = F.affine_grid(theta, [image.shape[0], image.shape[1], size, size], align_corners=False)
    return F.grid_sample(image.float(), grid, mode="bilinear", padding_mode="border", align_corners=False)
