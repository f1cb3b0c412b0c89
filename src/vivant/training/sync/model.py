"""The modules of the sync net, by name."""

from __future__ import annotations

from torch import nn

from vivant.perception.sync_lite import SoundNet, SyncSize, VideoNet


def build_modules(config: SyncSize) -> dict[str, nn.Module]:
    """``video`` and ``sound``, random."""
    return {"video": VideoNet(config), "sound": SoundNet(config)}
