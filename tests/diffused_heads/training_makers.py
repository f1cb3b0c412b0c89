"""A pack whose frames tell which they are, and an objective for it."""

import numpy as np
import torch

from vivant.data.pack import Pack, PackRow
from vivant.methods.diffused_heads.config import PRESETS
from vivant.methods.diffused_heads.model import build_modules
from vivant.methods.diffused_heads.train import STAGES, Objective

TINY = PRESETS["tiny"]
CLIPS = (5, 3, 1)


def pack(side=32, clips=CLIPS):
    """Frame n is of brightness 10 n, its sound n everywhere."""
    total = sum(clips)
    frames = np.broadcast_to((np.arange(total) * 10).astype(np.uint8)[:, None, None, None], (total, side, side, 3))
    sound = np.broadcast_to(np.arange(total, dtype=np.float32)[:, None, None], (total, 4, 80))
    mouth = np.stack([[n, 2 + n, n + 8, n + 12] for n in range(total)]).astype(np.float32)
    rows = tuple(PackRow(f"c{i}", f"p{i}", "train", "grid" if i < 2 else "still", n) for i, n in enumerate(clips))
    return Pack(np.ascontiguousarray(frames), rows, {"mel": sound, "mouth": mouth})


def objective(config=TINY, weights=None, **changes):
    torch.manual_seed(0)
    stage = STAGES["lite"].changed({"loss_weights": {"drift": 0.0, **(weights or {})}, **changes})
    return Objective(build_modules(config), config, stage, torch.device("cpu"))


def rows_of(raw, key):
    return (raw[key].float().mean((-1, -2, -3)) / 10).round().int().tolist()
