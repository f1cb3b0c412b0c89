"""Where its knowledge comes from: the bundled morphable head, and nothing else."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from vivant.core.errors import WeightsError
from vivant.methods.photo_rig.config import PRESETS, RigConfig
from vivant.weights.assets import asset, assets_info
from vivant.weights.cards import WeightsInfo
from vivant.weights.modules import preset_of

HEAD = "rig/head.safetensors"
BUNDLED = dict.fromkeys(PRESETS, HEAD)


def load_modules(
    preset: str = "native", path: str | Path | None = None, seed: int | None = None
) -> tuple[dict[str, nn.Module], RigConfig, WeightsInfo]:
    """No modules, the preset's configuration, and what the bundled head is; ``seed`` changes nothing.

    Raises:
        ConfigError: no such preset.
        WeightsError: a path was given, or the bundled head is damaged.
    """
    config = preset_of(PRESETS, preset, "photo-rig")
    if path is not None:
        raise WeightsError(f"The photo rig has no weights that could be read from {path}: leave the path out.")
    row = assets_info()[HEAD]
    return {}, config, WeightsInfo(preset, {str(asset(HEAD)): row.sha256}, row.licence, row.source)
