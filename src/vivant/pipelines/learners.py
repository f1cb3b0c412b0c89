"""What can be trained: methods, and nets that are no methods but learn by a recipe, too."""

from __future__ import annotations

from typing import Any

from vivant.core.errors import ConfigError
from vivant.core.registry import get_method
from vivant.core.spec import Capabilities, MethodSpec

NETS: dict[str, str] = {"codec": "vivant.diffusion.lite_codec", "sync": "vivant.training.sync"}
"""Nets that learn by a recipe and are no methods: name -> package with the files of a method that training needs
(``config``, ``model``, ``weights``, ``train``)."""


def find_learner(name: str) -> MethodSpec:
    """The method of that name, or the net of :data:`NETS` told as one.

    Raises:
        ConfigError: neither has this name.
    """
    if name not in NETS:
        return get_method(name)
    able = Capabilities(trainable=True)
    return MethodSpec(name, name, "", "", NETS[name], able, presets=(), default_preset="lite")


def find_config(spec: MethodSpec, preset: str) -> Any:
    """The config of a preset. Raises ConfigError if there is none of this name."""
    presets = spec.part("config").PRESETS
    if preset not in presets:
        raise ConfigError(f"There is no preset '{preset}' of {spec.name}: use one of {sorted(presets)}.")
    return presets[preset]
