"""Where the codec's knowledge comes from: the bundled file, one's own, or chance."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import nn

import vivant.weights.modules as modules_io
from vivant.diffusion.lite_codec.config import PRESETS, CodecConfig
from vivant.diffusion.lite_codec.model import LiteCodec, build_modules
from vivant.weights.cards import WeightsInfo
from vivant.weights.modules import build_filled, describe, preset_of

__all__ = ["BUNDLED", "describe", "load_codec", "load_modules", "save_modules"]

BUNDLED = {"lite": "codec/lite.safetensors"}


def load_modules(
    preset: str = "lite", path: str | Path | None = None, seed: int | None = None
) -> tuple[dict[str, nn.Module], CodecConfig, WeightsInfo]:
    """The codec of ``preset`` in evaluation mode on the CPU: from ``path``, else bundled, else random by ``seed``.

    Raises:
        ConfigError: no such preset. WeightsError: weights missing, damaged, or of another preset.
    """
    config = preset_of(PRESETS, preset, "the codec")
    modules, info = build_filled(build_modules, config, preset, path, seed, BUNDLED)
    return modules, config, info


def load_codec(preset: str = "lite", path: str | Path | None = None, seed: int | None = None) -> LiteCodec:
    """The codec alone; see :func:`load_modules`."""
    codec = load_modules(preset, path, seed)[0]["codec"]
    assert isinstance(codec, LiteCodec)
    return codec


def save_modules(
    modules: Mapping[str, nn.Module], path: str | Path, metadata: Mapping[str, str] | None = None, half: bool = False
) -> Path:
    """Write the codec to one file; see :func:`vivant.weights.modules.save_modules`."""
    return modules_io.save_modules(modules, path, "codec", metadata, half)
