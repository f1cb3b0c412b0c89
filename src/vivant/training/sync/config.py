"""Sizes of the sync net by name."""

from __future__ import annotations

from vivant.perception.sync_lite import TINY, SyncSize

PRESETS: dict[str, SyncSize] = {"lite": SyncSize(), "tiny": TINY}
