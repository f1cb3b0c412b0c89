"""Objective of the sync net: of all sounds near and far, each window of lips finds its own, and the other way round.

InfoNCE (van den Oord et al. 2018) over the windows of a batch of segments. The strongest negatives are those of the
same segment, up to 24 frames away: same voice, same face, wrong moment. The neighbours one frame away share four fifths
of their frames with the truth and get a part of the target.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from vivant.perception.sync_lite import SyncSize
from vivant.training.stage import Stage
from vivant.training.sync.augment import augment_frames, augment_mel

SAMPLES = "vivant.data.sync_clips:SyncClips"
SHARPNESS = 16.0
"""What cosines are multiplied by before the softmax."""
NEIGHBOUR = 0.1
"""Part of the target of each of the two windows one frame away."""

STAGES = {
    "match": Stage(
        "match", ("video", "sound"), steps=9000, batch=48, learning_rate=6e-4, betas=(0.9, 0.98), weight_decay=0.05,
        warmup=300, clip_norm=5.0, validate_every=500,
    )
}  # fmt: skip


class Objective:
    """The loop's view of the sync net; see :class:`vivant.training.protocol.Objective`."""

    def __init__(self, modules: dict[str, nn.Module], config: SyncSize, stage: Stage, device: torch.device) -> None:
        self.modules, self.critics = modules, dict[str, nn.Module]()

    def augment(self, raw: dict[str, Tensor], generator: Generator | None) -> dict[str, Tensor]:
        """``frames`` (B, 29, H, W) uint8 to (B, 29, 96, 96) in 0..1; ``mel`` (B, 116, 40)."""
        return {
            "frames": augment_frames(raw["frames"], generator),
            "mel": augment_mel(raw["mel"].float(), generator),
        }

    def losses(self, batch: dict[str, Tensor], adversarial: bool) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """``lips`` and ``sound``: cross-entropy of finding the other; each about 7 at chance with 1200 windows."""
        video = F.normalize(self.modules["video"](batch["frames"]).float(), dim=-1)
        sound = F.normalize(self.modules["sound"](batch["mel"]).float(), dim=-1)
        clips, windows = video.shape[:2]
        logits = SHARPNESS * video.flatten(0, 1) @ sound.flatten(0, 1).T
        target = _target(clips, windows, logits.device)
        return {"lips": F.cross_entropy(logits, target) / 2, "sound": F.cross_entropy(logits.T, target) / 2}, {}

    def critic_losses(self, batch: dict[str, Tensor], aux: dict[str, Tensor]) -> dict[str, Tensor]:
        """None: there are no critics."""
        return {}

    def sheet(self, batch: dict[str, Tensor], modules: dict[str, nn.Module]) -> Tensor:
        """The first and the middle frame of each sample as it is learned from."""
        return torch.cat([batch["frames"][:, at, None].expand(-1, 3, -1, -1) for at in (0, 14)])


def _target(clips: int, windows: int, device: torch.device) -> Tensor:
    """(clips * windows, clips * windows) rows that sum to one: mostly the same window, a little its neighbours."""
    near = torch.eye(windows, device=device)
    beside = torch.zeros_like(near)
    beside.diagonal(1).fill_(NEIGHBOUR)
    beside.diagonal(-1).fill_(NEIGHBOUR)
    one = near * (1 - beside.sum(1)) + beside
    return torch.block_diag(*[one] * clips)
