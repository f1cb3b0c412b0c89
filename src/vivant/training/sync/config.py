"""Sizes of the sync net by name."""

from __future__ import annotations

from vivant.perception.sync_lite import TINY, SyncSize

PRESETS: dict[str, SyncSize] = {
    "lite": SyncSize(),
    "base": SyncSize((40, 80, 144, 224), (40, 80, 144), 256),
    "tiny": TINY,
}
