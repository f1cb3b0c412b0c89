"""Where the method's knowledge comes from: the released checkpoint, our own files, or chance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

import vivant.diffusion.shared_codec as shared_codec
import vivant.weights.modules as modules_io
from vivant.core.errors import WeightsError
from vivant.diffusion.codec import build_codec, load_codec
from vivant.diffusion.shared_codec import modules_to_load, modules_to_save
from vivant.methods.v_express.config import PRESETS, Config
from vivant.methods.v_express.model import build_modules
from vivant.weights.cards import WeightsInfo
from vivant.weights.catalogue import Published
from vivant.weights.hub import hub_file
from vivant.weights.loading import check_part, load_state, load_strict, read_metadata, sha256
from vivant.weights.modules import config_hash, load_bundled, load_single, preset_of, random_info, seeded

Modules = dict[str, nn.Module]
HUB = "tk93/V-Express"
LICENCE = "non-commercial research (as its authors state)"
FILES = ("denoising_unet", "motion_module", "reference_net", "v_kps_guider", "audio_projection")
"""Released files; ``motion_module`` holds keys of the denoising U-Net and wins over them."""
PUBLISHED = {
    "released": Published(
        HUB, tuple(f"{name}.bin" for name in FILES), LICENCE, ("sd-vae", "wav2vec2"), what="the nets of the paper"
    )
}
BUNDLED = {"lite": "v_express/lite.safetensors"}
_METHOD = "v-express"
_ENDINGS = (".safetensors", ".bin", ".pth")
_MOTION = ".motion_modules."


def load_modules(
    preset: str = "released", path: str | Path | None = None, seed: int | None = None
) -> tuple[Modules, Config, WeightsInfo]:
    """The modules of ``preset`` in evaluation mode on the CPU, in float32, with their weights.

    Args:
        preset: ``released`` (published checkpoint), ``lite`` (ours, bundled), ``paper`` and ``tiny`` (random).
        path: weights instead of the preset's own: one file of :func:`save_modules`, or a folder with the released
            files (``.bin``, ``.pth`` or ``.safetensors``) and, unless the hub can be reached, ``sd-vae-ft-mse``.
        seed: of random weights; None draws from torch's global generator.

    Raises:
        ConfigError: no such preset.
        WeightsError: weights missing, damaged, or of another model; the message names the keys.
    """
    config = preset_of(PRESETS, preset, _METHOD)
    if path is not None and Path(path).is_file():
        names = read_metadata(Path(path)).get("attributes", "")
        config = replace(config, attributes=tuple(filter(None, names.split(",")))) if names else config
    if path is not None and Path(path).is_dir():
        modules, info = _released(config, preset, Path(path))
    elif path is None and preset == "released":
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
    """Write all modules but a codec that others share; see :func:`vivant.weights.modules.save_modules`."""
    return modules_io.save_modules(modules_to_save(modules, metadata), path, _METHOD, metadata, half)


def describe(preset: str, config: Config, **more: str) -> dict[str, str]:
    """Metadata for :func:`save_modules`; whether the codec has a home of its own, which attributes the net knows."""
    return shared_codec.describe(preset, config, attributes=",".join(config.attributes), **more)


def convert(folder: str | Path, out: str | Path) -> Path:
    """Turn a folder of the released checkpoint (pickles) into one safetensors file for
    ``load_modules("released", out)``.

    Raises:
        WeightsError: as :func:`load_modules`, or ``out`` cannot be written.
    """
    modules, config, info = load_modules("released", folder)
    return save_modules(modules, out, describe("released", config, licence=info.licence, source=HUB))


def _filled(modules: Modules, config: Config, preset: str, path: str | Path | None, seed: int | None) -> WeightsInfo:
    if path is None and preset not in BUNDLED:
        return random_info(preset, seed)
    own = modules_to_load(modules, config)
    info = (
        load_single(own, config, Path(path)) if path is not None else load_bundled(own, config, preset, BUNDLED[preset])
    )
    if config.codec != "tiny":
        modules["codec"] = load_codec(config.codec)
    return info


def _released(config: Config, preset: str, folder: Path | None) -> tuple[Modules, WeightsInfo]:
    """The published files, each key of each file in its place; anything missing or left over stops the loading."""
    files = {name: _find(folder, name) if folder else hub_file(HUB, f"{name}.bin") for name in FILES}
    with torch.device("meta"):
        modules = build_modules(config)
    modules.pop("codec")
    for name, module in modules.items():
        modules[name] = module.to_empty(device="cpu")
    states = {name: load_state(file) for name, file in files.items()}
    motion = states.pop("motion_module")
    check_part(modules["denoising_unet"], motion, _MOTION, str(files["motion_module"]))
    whole = our_names(states.pop("denoising_unet")) | motion
    states["denoising_unet"] = _with_new_attributes(modules["denoising_unet"], whole)
    for name, state in states.items():
        load_strict(modules[name], state, str(files[name]))
    if "attribute_tokens" in modules:
        nn.init.normal_(modules["attribute_tokens"].get_parameter("weight"))
    vae = folder / "sd-vae-ft-mse" if folder and (folder / "sd-vae-ft-mse").is_dir() else None
    modules["codec"] = build_codec(config.codec) if config.codec == "tiny" else load_codec(config.codec, vae)
    digests = {str(file): sha256(file) for file in files.values()}
    return modules, WeightsInfo(preset, digests, LICENCE, f"{HUB} on Hugging Face" if folder is None else str(folder))


def _find(folder: Path, name: str) -> Path:
    for place in (folder, folder / "v-express", folder / "model_ckpts" / "v-express"):
        for ending in _ENDINGS:
            if (place / f"{name}{ending}").is_file():
                return place / f"{name}{ending}"
    raise WeightsError(
        f"The folder {folder} has no {name}.bin, .pth or .safetensors: give the folder that holds {', '.join(FILES)}."
    )


def our_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Keys of older checkpoints as today's: audio attention once lay under ``attn2.processor.to_q_aud`` and so on."""
    found = {}
    for key, value in state.items():
        for part in ("q", "k", "v"):
            key = key.replace(f"attn2.processor.to_{part}_aud.", f"attn2.to_{part}.")
        found[key.replace("attn2.processor.to_out_aud.", "attn2.to_out.0.")] = value
    return found


def _with_new_attributes(unet: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Attribute attention, which the published files do not have, starts at zero."""
    for key, value in unet.state_dict().items():
        if "attributes" in key and key not in state:
            norm = key.endswith("norm_attributes.weight")
            start = torch.zeros_like(value) if "to_out" in key or "norm" in key else torch.randn_like(value)
            state[key] = torch.ones_like(value) if norm else start / max(1, value[0].numel()) ** 0.5
    return state


def from_animate_anyone(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Keys of Animate Anyone's denoising U-Net as a start of stage I: reference attention begins as a copy of
    self-attention, audio attention adds nothing (paper section 3.4; released training)."""
    found = dict(state)
    for key, value in state.items():
        if ".transformer_blocks." in key and "motion_modules" not in key:
            found[key.replace(".attn1.", ".attn1_5.").replace(".norm1.", ".norm1_5.")] = value.clone()
            found[key] = torch.zeros_like(value) if ".attn2.to_out.0." in key else value
    return found


__all__ = [
    "BUNDLED",
    "FILES",
    "HUB",
    "LICENCE",
    "PUBLISHED",
    "config_hash",
    "convert",
    "describe",
    "from_animate_anyone",
    "load_modules",
    "save_modules",
]  # fmt: skip
