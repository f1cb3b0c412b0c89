"""The sync net's weights as training reads and writes them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import nn

from vivant.core.errors import ConfigError
from vivant.perception.sync_lite import SyncLite, SyncSize, load_sync_lite, save_sync_lite
from vivant.training.sync.config import PRESETS
from vivant.weights.cards import WeightsInfo


def load_modules(
    preset: str = "lite", path: str | Path | None = None
) -> tuple[dict[str, nn.Module], SyncSize, WeightsInfo]:
    """The modules of a file of :func:`save_modules`, or of the bundled weights.

    Raises:
        ConfigError: the file holds a net of another size. WeightsError: missing or damaged.
    """
    net, info = load_sync_lite(path)
    if net.size != PRESETS[preset]:
        raise ConfigError(f"{path or 'The bundled net'} is not of the size '{preset}': choose its preset.")
    return {"video": net.video, "sound": net.sound}, net.size, info


def save_modules(
    modules: Mapping[str, nn.Module], path: str | Path, metadata: Mapping[str, str] | None = None, half: bool = True
) -> Path:
    """One safetensors file in float16, which :func:`vivant.perception.sync_lite.load_sync_lite` reads."""
    size = modules["video"].size
    assert isinstance(size, SyncSize)
    net = SyncLite(size)
    for name in ("video", "sound"):
        net.get_submodule(name).load_state_dict(modules[name].state_dict())
    return save_sync_lite(net, path, **(metadata or {}))


def describe(preset: str, config: SyncSize, **more: str) -> dict[str, str]:
    """What the file's header says besides the sizes."""
    return {"preset": preset, **more}
