"""Where the method's knowledge comes from: the published checkpoint, our bundled nets, one's own files, or chance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

import vivant.weights.modules as modules_io
from vivant.core.errors import WeightsError
from vivant.methods.diffused_heads.config import PRESETS, Config
from vivant.methods.diffused_heads.model import build_modules
from vivant.methods.diffused_heads.published import (
    AUDIO_ENCODER,
    ScriptedEncoder,
    find_checkpoint,
    load_script,
    read_unet,
    sizes_of,
)
from vivant.methods.diffused_heads.unet import UNet
from vivant.weights.cards import WeightsInfo
from vivant.weights.catalogue import Published
from vivant.weights.loading import load_strict, read_metadata, sha256
from vivant.weights.modules import build_filled, config_hash, describe, preset_of

__all__ = [
    "BUNDLED",
    "HUB",
    "LICENCE",
    "PUBLISHED",
    "config_hash",
    "convert",
    "describe",
    "load_modules",
    "save_modules",
]

Modules = dict[str, nn.Module]
HUB = "the authors' drive, linked from github.com/MStypulkowski/diffused-heads"
"""The published weights are not on the hub; they are downloaded by hand."""
LICENCE = "CC-BY-NC-SA-4.0 (as their authors state)"
PUBLISHED = {
    "released": Published(
        "", (), LICENCE, what="the U-Nets of the paper",
        where=f"they lie on {HUB}; download them by hand, then give --weights FOLDER or vivant convert FOLDER.",
    )
}  # fmt: skip
BUNDLED = {"lite": "diffused_heads/lite.safetensors"}
_METHOD = "diffused-heads"


def load_modules(
    preset: str = "lite", path: str | Path | None = None, seed: int | None = None
) -> tuple[Modules, Config, WeightsInfo]:
    """The modules of ``preset`` in evaluation mode on the CPU, in float32, with their weights.

    Args:
        preset: ``lite`` (ours, bundled), ``released`` (the published checkpoint, needs a path), ``paper`` and ``tiny``
            (random).
        path: weights instead of the preset's own: one file of :func:`save_modules`; with ``released`` the published
            checkpoint, or the folder that holds it and ``audio_encoder.pt``.
        seed: of random weights; None draws from torch's global generator.

    Raises:
        ConfigError: no such preset.
        WeightsError: weights missing, damaged, or of another model; the message names the keys.
    """
    config = preset_of(PRESETS, preset, _METHOD)
    if preset == "released":
        return _load_released(path)
    modules, info = build_filled(build_modules, config, preset, path, seed, BUNDLED)
    return modules, config, info


def save_modules(
    modules: Mapping[str, nn.Module], path: str | Path, metadata: Mapping[str, str] | None = None, half: bool = False
) -> Path:
    """Write all modules to one file; see :func:`vivant.weights.modules.save_modules`. A TorchScript encoder stays in
    its own file."""
    own = {name: module for name, module in modules.items() if not isinstance(module, ScriptedEncoder)}
    return modules_io.save_modules(own, path, _METHOD, metadata, half)


def convert(checkpoint: str | Path, out: str | Path) -> Path:
    """Turn the published checkpoint into a safetensors file for ``load_modules("released", folder)``; put
    ``audio_encoder.pt`` beside it.

    Raises:
        WeightsError: as :func:`load_modules`, or ``out`` cannot be written.
    """
    modules, config, info = load_modules("released", checkpoint)
    return save_modules(modules, out, describe("released", config, licence=info.licence, source=info.source))


def _load_released(path: str | Path | None) -> tuple[Modules, Config, WeightsInfo]:
    if path is None:
        raise WeightsError(
            "The published weights of Diffused Heads lie on their authors' drive: download them by the link in "
            "github.com/MStypulkowski/diffused-heads and give their folder with --weights FOLDER."
        )
    given = Path(path)
    file = find_checkpoint(given) if given.is_dir() else given
    if not file.is_file():
        raise WeightsError(f"There is no file {file}: check the path.")
    state, hyper = _states(file)
    config = sizes_of(state, hyper, PRESETS["released"], str(file))
    with torch.device("meta"):
        unet = UNet(config)
    unet = unet.to_empty(device="cpu")
    load_strict(unet, state, str(file))
    modules: Modules = {"unet": unet.eval()}
    files = {str(file): sha256(file)}
    encoder = file.parent / AUDIO_ENCODER
    if encoder.is_file():
        modules["audio_encoder"] = ScriptedEncoder(load_script(encoder)).eval()
        files[str(encoder)] = sha256(encoder)
    source = read_metadata(file).get("source", str(file))
    return modules, replace(config, encoder="window"), WeightsInfo("released", files, LICENCE, source)


def _states(file: Path):  # type: ignore[no-untyped-def]
    """The U-Net's tensors and hyper-parameters, from a published file or one of :func:`convert`."""
    if file.suffix == ".safetensors":
        from vivant.weights.loading import load_state

        found = load_state(file)
        head = "unet."
        inner = {key.removeprefix(head): value for key, value in found.items() if key.startswith(head)}
        return inner or found, {}
    return read_unet(file)
