"""Where the method's knowledge comes from: our bundled net, one's own files, or chance."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

import vivant.weights.modules as modules_io
from vivant.methods.speech_portrait.config import PRESETS, Config
from vivant.methods.speech_portrait.model import MotionNet, build_modules
from vivant.methods.speech_portrait.prepare import Template
from vivant.weights.assets import asset
from vivant.weights.cards import WeightsInfo
from vivant.weights.loading import load_state
from vivant.weights.modules import build_filled, config_hash, describe, preset_of

__all__ = ["BUNDLED", "HUB", "LICENCE", "config_hash", "describe", "load_modules", "rigid_template", "save_modules"]

HUB = ""
"""Nothing is downloaded."""
LICENCE = "Apache-2.0"
BUNDLED = {"lite": "speech_portrait/lite.safetensors"}
_METHOD = "speech-portrait"
_CHANCE = {"moves": 0.15, "lids": 0.3, "angles": 3.0, "shift": 0.3, "zoom": 0.02}
"""Spreads of random weights, so that what they draw is a face."""


def rigid_template() -> Template:
    """The rigid points of the canonical face, x right, y down, z away from the camera.

    Raises:
        WeightsError: the bundled file is damaged.
    """
    face = load_state(asset("perception/canonical_face.safetensors"))
    rows = face["weights"].nonzero()[:, 0]
    return Template(rows, face["vertices"].float()[rows] * torch.tensor([1.0, -1.0, -1.0]))


def set_template(net: MotionNet, template: Template) -> None:
    """Give a net the template its head frames are told by."""
    net.get_buffer("rigid_rows").copy_(template.rows)
    net.get_buffer("rigid_points").copy_(template.points)


def load_modules(
    preset: str = "lite", path: str | Path | None = None, seed: int | None = None
) -> tuple[dict[str, nn.Module], Config, WeightsInfo]:
    """The net of ``preset`` in evaluation mode on the CPU, in float32, with its weights.

    Args:
        preset: ``lite`` (ours, bundled) or ``tiny`` (random).
        path: weights instead of the preset's own: one file of :func:`save_modules`.
        seed: of random weights; None draws from torch's global generator.

    Raises:
        ConfigError: no such preset.
        WeightsError: weights missing, damaged, or of another model; the message names the keys.
    """
    config = preset_of(PRESETS, preset, _METHOD)
    modules, info = build_filled(build_modules, config, preset, path, seed, BUNDLED)
    if path is None and preset not in BUNDLED:
        _make_plausible(modules["motion"])
    return modules, config, info


@torch.no_grad()
def _make_plausible(net: nn.Module) -> None:
    from vivant.core.face_motion import PARTS

    assert isinstance(net, MotionNet)
    set_template(net, rigid_template())
    spread: Tensor = net.get_buffer("number_spread")
    for name, part in PARTS.items():
        spread[part] = _CHANCE[name]
    net.get_buffer("number_mean")[PARTS["lids"]] = 1.0


def save_modules(
    modules: Mapping[str, nn.Module], path: str | Path, metadata: Mapping[str, str] | None = None, half: bool = False
) -> Path:
    """Write the net to one file; see :func:`vivant.weights.modules.save_modules`."""
    return modules_io.save_modules(modules, path, _METHOD, metadata, half)
