"""Where the method's knowledge comes from: our own files, PixArt-alpha's transformer as a start, or chance."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

import vivant.weights.modules as modules_io
from vivant.core.errors import WeightsError
from vivant.diffusion.codec import load_codec
from vivant.diffusion.shared_codec import describe, modules_to_load, modules_to_save
from vivant.methods.megactor_sigma.config import PRESETS, Config
from vivant.methods.megactor_sigma.model import build_modules
from vivant.weights.cards import WeightsInfo
from vivant.weights.catalogue import Published
from vivant.weights.hub import hub_file
from vivant.weights.loading import load_state, load_strict, sha256
from vivant.weights.modules import load_bundled, load_single, preset_of, random_info, seeded

__all__ = ["BUNDLED", "LICENCE", "PUBLISHED", "describe", "from_pixart", "load_modules", "save_modules", "silence"]

Modules = dict[str, nn.Module]
BUNDLED = {"lite": "megactor_sigma/lite.safetensors"}
PIXART = "PixArt-alpha/PixArt-XL-2-512x512"
"""Hub repository whose folder ``transformer`` is the start of the preset ``paper``."""
LICENCE = "CreativeML OpenRAIL++-M (PixArt-alpha's, as its authors state)"
PUBLISHED = {
    "paper": Published(
        PIXART, ("transformer/config.json", "transformer/diffusion_pytorch_model.safetensors"), LICENCE, ("sd-vae",),
        what="PixArt-alpha's transformer, where training starts",
    )
}  # fmt: skip
FROM_HUB = "pixart"
"""Instead of a path: PixArt-alpha's transformer from the hub."""
_METHOD = "megactor-sigma"
_LEFT = ("caption_projection.", ".attn2.")
"""Parts of PixArt's keys that have no place here: text, which speech replaces."""
_NEW = (".attn2.", ".temporal.")
"""Parts of the denoiser's keys that PixArt does not have."""


def load_modules(
    preset: str = "lite", path: str | Path | None = None, seed: int | None = None
) -> tuple[Modules, Config, WeightsInfo]:
    """The modules of ``preset`` in evaluation mode on the CPU, in float32, with their weights.

    Args:
        preset: ``lite`` (ours, bundled), ``paper`` and ``tiny`` (random).
        path: weights instead of the preset's own: one file of :func:`save_modules`, or a folder with PixArt-alpha's
            transformer as diffusers stores it, which both transformers then start from (:func:`from_pixart`);
            ``"pixart"`` takes that folder from the hub.
        seed: of random weights; None draws from torch's global generator.

    Raises:
        ConfigError: no such preset.
        WeightsError: weights missing, damaged, or of another model; the message names the keys.
    """
    config = preset_of(PRESETS, preset, _METHOD)
    with seeded(seed):
        modules = build_modules(config)
    if path is None and preset not in BUNDLED:
        info = random_info(preset, seed)
    elif path is not None and str(path) == FROM_HUB and not Path(path).exists():
        info = _started(modules, preset, hub_file(PIXART, PUBLISHED["paper"].files[-1]).parent)
    elif path is not None and Path(path).is_dir():
        info = _started(modules, preset, Path(path))
    else:
        own = modules_to_load(modules, config)
        info = (
            load_single(own, config, Path(path))
            if path is not None
            else load_bundled(own, config, preset, BUNDLED[preset])
        )
    if config.codec != "tiny" and info.source[:6] != "random":
        modules["codec"] = load_codec(config.codec)
    for module in modules.values():
        module.eval()
    return modules, config, info


def save_modules(
    modules: Mapping[str, nn.Module], path: str | Path, metadata: Mapping[str, str] | None = None, half: bool = False
) -> Path:
    """Write all modules but a codec that others share; see :func:`vivant.weights.modules.save_modules`."""
    return modules_io.save_modules(modules_to_save(modules, metadata), path, _METHOD, metadata, half)


def silence(modules: Mapping[str, nn.Module]) -> None:
    """Audio attention adds nothing at first: no published weights fit its keys."""
    with torch.no_grad():
        for key, value in modules["denoiser"].named_parameters():
            if ".attn2.to_out." in key:
                value.zero_()


def from_pixart(modules: Mapping[str, nn.Module], state: Mapping[str, Tensor], origin: str) -> None:
    """Start both transformers from PixArt-alpha's weights, keyed like diffusers' ``PixArtTransformer2DModel``.

    What maps: patch embedding (its channels are the first ones of ours, further ones start at zero), time embedding,
    tables, self-attention, feed-forward, head. What does not: ``caption_projection`` and ``attn2``, the text. The
    reference transformer takes the same up to its last block's norm. Audio attention and temporal modules keep their
    own start and add nothing at first.

    Args:
        modules: of :func:`build_modules`.
        state: PixArt's weights.
        origin: where they come from, for the report.

    Raises:
        WeightsError: keys missing, left over, or of another shape.
    """
    kept = {key: value for key, value in state.items() if not any(part in f".{key}" for part in _LEFT)}
    silence(modules)
    for name in ("denoiser", "reference_net"):
        module = modules[name]
        own = module.state_dict()
        if name == "denoiser":
            taken = dict(kept)
            taken |= {key: value for key, value in own.items() if any(part in key for part in _NEW)}
        else:
            taken = {key: value for key, value in kept.items() if key in own}
        first = "pos_embed.proj.weight"
        if first in taken and taken[first].shape[1] < own[first].shape[1] and taken[first].ndim == 4:
            more = own[first].shape[1] - taken[first].shape[1]
            taken[first] = torch.cat(
                [taken[first], taken[first].new_zeros(len(own[first]), more, *own[first].shape[2:])], 1
            )
        load_strict(module, taken, origin)


def _started(modules: Modules, preset: str, folder: Path) -> WeightsInfo:
    """Both transformers from the files of PixArt-alpha's transformer in ``folder``, or in its folder transformer."""
    place = folder / "transformer" if (folder / "transformer").is_dir() else folder
    files = sorted(place.glob("diffusion_pytorch_model*.safetensors")) or sorted(place.glob("*.bin"))
    if not files:
        raise WeightsError(
            f"The folder {folder} has no diffusion_pytorch_model.safetensors: give the folder of PixArt-alpha's "
            "transformer, or one weights file."
        )
    state: dict[str, Tensor] = {}
    for file in files:
        state |= load_state(file)
    from_pixart(modules, state, str(place))
    digests = {str(file): sha256(file) for file in files}
    return WeightsInfo(f"{preset} from PixArt-alpha", digests, LICENCE, str(folder))
