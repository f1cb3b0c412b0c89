"""Weights of a method whose latent codec others share: its own file leaves the codec out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

import vivant.weights.modules as modules_io

SHARED = ("codec",)


def describe(preset: str, config: Any, **more: str) -> dict[str, str]:
    """Metadata of a weights file; says whether the codec has a home of its own (``config.codec`` names it)."""
    codec = "own" if config.codec == "tiny" else config.codec
    return modules_io.describe(preset, config, codec=codec, **more)


def modules_to_save(
    modules: Mapping[str, nn.Module], metadata: Mapping[str, str] | None, shared: Sequence[str] = SHARED
) -> dict[str, nn.Module]:
    """The modules that go into a file with this metadata of :func:`describe`: all, or those that are not ``shared``."""
    own = (metadata or {}).get("codec", "own") == "own"
    return {name: module for name, module in modules.items() if own or name not in shared}


def modules_to_load(
    modules: Mapping[str, nn.Module], config: Any, shared: Sequence[str] = SHARED
) -> dict[str, nn.Module]:
    """The modules that a file of :func:`modules_to_save` fills."""
    return {name: module for name, module in modules.items() if config.codec == "tiny" or name not in shared}
