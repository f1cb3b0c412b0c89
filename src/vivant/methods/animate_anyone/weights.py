"""Where the method's knowledge comes from: the released checkpoints, our own files, or chance."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

import vivant.weights.modules as modules_io
from vivant.core.errors import WeightsError
from vivant.diffusion.codec import load_codec
from vivant.diffusion.picture_encoders import fill_picture_encoder
from vivant.diffusion.shared_codec import describe, modules_to_load, modules_to_save
from vivant.methods.animate_anyone.config import PRESETS, Config
from vivant.methods.animate_anyone.model import build_modules, guider_names
from vivant.nn.picture_encoder import picture_encoder
from vivant.weights.cards import WeightsInfo
from vivant.weights.catalogue import Published
from vivant.weights.hub import hub_file
from vivant.weights.loading import check_part, load_state, load_strict, sha256
from vivant.weights.modules import config_hash, load_bundled, load_single, preset_of, random_info, seeded

Modules = dict[str, nn.Module]
HUB = "patrolli/AnimateAnyone"
LICENCE = "Apache-2.0 (as its authors state)"
BUNDLED = {"lite": "animate_anyone/lite.safetensors"}
RELEASED = ("released", "released-face")
_METHOD = "animate-anyone"
_MOTION = ".motion_modules."
_ENDINGS = (".safetensors", ".pth", ".bin")
_FROZEN = ("codec", "image_encoder")


def files_of(config: Config) -> tuple[str, ...]:
    """Released files of a configuration; the face set's denoising U-Net holds its motion modules itself."""
    if config.free_reference:
        return ("denoising_unet", "reference_unet", *guider_names(config))
    return ("denoising_unet", "motion_module", "reference_unet", "pose_guider")


def _hub_name(name: str, config: Config) -> str:
    """A released file's path in the repository."""
    return f"reenact/{name}.pth" if config.free_reference else f"{name}.pth"


PUBLISHED = {
    preset: Published(
        HUB, tuple(_hub_name(name, PRESETS[preset]) for name in files_of(PRESETS[preset])), LICENCE,
        ("sd-vae", "clip-image"), what="Moore Threads' reproduction of the paper",
    )
    for preset in RELEASED
}  # fmt: skip


def load_modules(
    preset: str = "released", path: str | Path | None = None, seed: int | None = None
) -> tuple[Modules, Config, WeightsInfo]:
    """The modules of ``preset`` in evaluation mode on the CPU, in float32, with their weights.

    Args:
        preset: ``released`` and ``released-face`` (Moore Threads' body and face checkpoints), ``lite`` (ours, bundled),
            ``paper`` and ``tiny`` (random).
        path: weights instead of the preset's own: one file of :func:`save_modules`, or a folder with the released
            files and, unless the hub can be reached, ``image_encoder`` and ``sd-vae-ft-mse``.
        seed: of random weights; None draws from torch's global generator.

    Raises:
        ConfigError: no such preset.
        WeightsError: weights missing, damaged, or of another model; the message names the keys.
        MissingExtraError: CLIP is wanted and the package transformers is not installed.
    """
    config = preset_of(PRESETS, preset, _METHOD)
    if path is not None and Path(path).is_dir():
        modules, info = _released(config, preset, Path(path))
    elif path is None and preset in RELEASED:
        modules, info = _released(config, preset, None)
    else:
        with seeded(seed):
            modules = build_modules(config)
        info = _filled(modules, config, preset, path, seed)
    for module in modules.values():
        module.eval()
    return modules, config, info


def save_modules(
    modules: Mapping[str, nn.Module], path: str | Path, metadata: Mapping[str, str] | None = None, half: bool = False
) -> Path:
    """Write all modules but those that others share; see :func:`vivant.weights.modules.save_modules`."""
    return modules_io.save_modules(modules_to_save(modules, metadata, _FROZEN), path, _METHOD, metadata, half)


def convert(folder: str | Path, out: str | Path, preset: str = "released") -> Path:
    """Turn a folder of a released checkpoint (pickles) into one safetensors file for ``load_modules(preset, out)``.

    Raises:
        WeightsError: as :func:`load_modules`, or ``out`` cannot be written.
    """
    modules, config, info = load_modules(preset, folder)
    return save_modules(modules, out, describe(preset, config, licence=info.licence, source=HUB))


def _filled(modules: Modules, config: Config, preset: str, path: str | Path | None, seed: int | None) -> WeightsInfo:
    if path is None and preset not in BUNDLED:
        return random_info(preset, seed)
    own = modules_to_load(modules, config, _FROZEN)
    info = (
        load_single(own, config, Path(path)) if path is not None else load_bundled(own, config, preset, BUNDLED[preset])
    )
    if config.codec != "tiny":
        modules["codec"] = load_codec(config.codec)
        fill_picture_encoder(modules["image_encoder"])
    return info


def _released(config: Config, preset: str, folder: Path | None) -> tuple[Modules, WeightsInfo]:
    """The published files, each key of each file in its place; anything missing or left over stops the loading."""
    subfolder = "reenact" if config.free_reference else ""
    files = {
        name: _find(folder, name, subfolder) if folder else hub_file(HUB, _hub_name(name, config))
        for name in files_of(config)
    }
    with torch.device("meta"):
        modules = build_modules(config)
    for name in (*_FROZEN, "image_projection"):
        modules.pop(name, None)
    modules = {name: module.to_empty(device="cpu") for name, module in modules.items()}
    states = {name: load_state(file) for name, file in files.items()}
    if "motion_module" in states:
        motion = states.pop("motion_module")
        check_part(modules["denoising_unet"], motion, _MOTION, str(files["motion_module"]))
        states["denoising_unet"] = {**states["denoising_unet"], **motion}
    for name, state in states.items():
        load_strict(modules[name], state, str(files[name]))
    _add_frozen(modules, config, folder)
    digests = {str(file): sha256(file) for file in files.values()}
    return modules, WeightsInfo(preset, digests, LICENCE, f"{HUB} on Hugging Face" if folder is None else str(folder))


def _add_frozen(modules: Modules, config: Config, folder: Path | None) -> None:
    """The codec and the picture encoder; random ones of the preset ``tiny`` stay random."""
    if config.codec == "tiny":
        fresh = build_modules(config)
        modules |= {name: fresh[name] for name in (*_FROZEN, "image_projection")}
        return
    vae = folder / "sd-vae-ft-mse" if folder and (folder / "sd-vae-ft-mse").is_dir() else None
    modules["codec"] = load_codec(config.codec, vae)
    modules["image_encoder"] = picture_encoder(config.image, config.image_blocks)
    own = folder / "image_encoder" if folder and (folder / "image_encoder").is_dir() else None
    fill_picture_encoder(modules["image_encoder"], own)


def _find(folder: Path | None, name: str, subfolder: str) -> Path:
    assert folder is not None
    for place in (folder / subfolder, folder, folder / "pretrained_weights" / subfolder):
        for ending in _ENDINGS:
            if (place / f"{name}{ending}").is_file():
                return place / f"{name}{ending}"
    raise WeightsError(
        f"The folder {folder} has no {name}.pth, .bin or .safetensors: give the folder that holds the released files."
    )


__all__ = [
    "BUNDLED",
    "HUB",
    "LICENCE",
    "PUBLISHED",
    "config_hash",
    "convert",
    "describe",
    "files_of",
    "load_modules",
    "save_modules",
]  # fmt: skip
