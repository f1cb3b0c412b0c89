"""Where the method's knowledge comes from: the released checkpoint, our bundled nets, one's own files, or chance."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

import vivant.weights.modules as modules_io
from vivant.core.errors import WeightsError
from vivant.methods.live_portrait.config import PRESETS, Config, PublishedConfig
from vivant.methods.live_portrait.model import build_modules
from vivant.weights.cards import WeightsInfo
from vivant.weights.catalogue import Published
from vivant.weights.hub import hub_file
from vivant.weights.loading import load_state, load_strict, sha256
from vivant.weights.modules import config_hash, describe, load_bundled, load_single, preset_of, random_info, seeded

__all__ = [
    "BUNDLED",
    "FILES",
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
HUB = "KwaiVGI/LivePortrait"
LICENCE = "MIT (as its authors state)"
FILES = {
    "appearance_feature_extractor": "liveportrait/base_models/appearance_feature_extractor",
    "motion_extractor": "liveportrait/base_models/motion_extractor",
    "warping_module": "liveportrait/base_models/warping_module",
    "spade_generator": "liveportrait/base_models/spade_generator",
    "stitching_retargeting_module": "liveportrait/retargeting_models/stitching_retargeting_module",
}
"""Released file of each module, relative to the hub repository and without its ending."""
PUBLISHED = {
    "released": Published(
        HUB, tuple(f"{file}.pth" for file in FILES.values()), LICENCE, what="the five nets of the paper"
    )
}
BUNDLED = {"lite": "live_portrait/lite.safetensors"}
_METHOD = "live-portrait"


def load_modules(
    preset: str = "lite", path: str | Path | None = None, seed: int | None = None
) -> tuple[Modules, Config, WeightsInfo]:
    """The modules of ``preset`` in evaluation mode on the CPU, in float32, with their weights.

    Args:
        preset: ``released`` (published checkpoint), ``lite`` (ours, bundled), ``paper`` and ``tiny`` (random).
        path: weights instead of the preset's own: one file of :func:`save_modules`, or a folder in the layout of the
            released checkpoint (``.pth`` or ``.safetensors``).
        seed: of random weights; None draws from torch's global generator.

    Raises:
        ConfigError: no such preset.
        WeightsError: weights missing, damaged, or of another model; the message names the keys.
    """
    config = preset_of(PRESETS, preset, _METHOD)
    with seeded(seed):
        modules = build_modules(config)
    if path is not None:
        info = _load_path(modules, config, preset, Path(path))
    elif preset == "released":
        info = _load_files(modules, {name: hub_file(HUB, f"{file}.pth") for name, file in FILES.items()})
    elif preset in BUNDLED:
        info = load_bundled(modules, config, preset, BUNDLED[preset])
    else:
        info = random_info(preset, seed)
    for module in modules.values():
        module.eval()
    return modules, config, info


def save_modules(
    modules: Mapping[str, nn.Module], path: str | Path, metadata: Mapping[str, str] | None = None, half: bool = False
) -> Path:
    """Write all modules to one file; see :func:`vivant.weights.modules.save_modules`."""
    return modules_io.save_modules(modules, path, _METHOD, metadata, half)


def convert(folder: str | Path, out: str | Path) -> Path:
    """Turn a folder of the released checkpoint (pickles) into one safetensors file for
    ``load_modules("released", out)``.

    Raises:
        WeightsError: as :func:`load_modules`, or ``out`` cannot be written.
    """
    modules, config, info = load_modules("released", folder)
    return save_modules(modules, out, describe("released", config, licence=info.licence, source=HUB))


def _load_path(modules: Modules, config: Config, preset: str, path: Path) -> WeightsInfo:
    if path.is_dir():
        if not isinstance(config, PublishedConfig):
            raise WeightsError(f"The preset '{preset}' is one file, but {path} is a folder: give the file in it.")
        return _load_files(modules, {name: _find(path, file) for name, file in FILES.items()})
    return load_single(modules, config, path)


def _find(folder: Path, file: str) -> Path:
    """The released file below ``folder``, which may be any level of the published tree or a flat copy."""
    parts = Path(file).parts
    places = [Path(*parts[i:]) for i in range(len(parts))]
    for place in places:
        for ending in (".safetensors", ".pth"):
            candidate = folder / place.with_name(place.name + ending)
            if candidate.is_file():
                return candidate
    raise WeightsError(
        f"The folder {folder} has no {parts[-1]}.pth or .safetensors: give the folder that holds "
        "'liveportrait/base_models' and 'liveportrait/retargeting_models', or all five files."
    )


def _load_files(modules: Modules, files: Mapping[str, Path]) -> WeightsInfo:
    for name, file in files.items():
        load_strict(modules[name], _our_names(load_state(file)), str(file))
    return WeightsInfo("released", {str(f): sha256(f) for f in files.values()}, LICENCE, f"{HUB} on Hugging Face")


def _our_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Keys without the traces of parallel training: ``module.`` and, in safetensors copies, ``retarget_x_module.``"""
    names = {key: re.sub(r"^(retarget_[a-z]+)_module\.", r"\1.", key) for key in state}
    return {re.sub(r"(^|\.)module\.", r"\1", names[key]): value for key, value in state.items()}
