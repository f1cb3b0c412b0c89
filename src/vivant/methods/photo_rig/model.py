"""What is computed: no nets. The head is a table (``vivant.rig``), everything else is geometry."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from vivant.methods.photo_rig.config import RigConfig


def build_modules(config: RigConfig) -> dict[str, nn.Module]:
    """No modules: nothing of this method is learned."""
    return {}


def optimize_for_inference(modules: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    """Nothing to fold."""
    return dict(modules)
