from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import nn

from toy_method.config import PRESETS, Config
from toy_method.model import build_modules


def load_modules(preset: str, path: str | Path | None = None) -> tuple[dict[str, nn.Module], Config, None]:
    modules = build_modules(PRESETS[preset])
    nn.ModuleDict(modules).load_state_dict({k: v.float() for k, v in load_file(path).items()})
    return modules, PRESETS[preset], None


def save_modules(
    modules: dict[str, nn.Module], path: Path, metadata: Mapping[str, str] | None = None, half: bool = False
) -> Path:
    state = nn.ModuleDict(modules).state_dict()
    save_file({k: v.half() if half else v for k, v in state.items()}, path, dict(metadata or {}))
    return path


def describe(preset: str, config: Config, **more: str) -> dict[str, str]:
    return {"preset": preset, **more}
