"""Where the method's knowledge comes from: the released checkpoint, our bundled nets, one's own files, or chance."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from vivant.core.errors import ConfigError, WeightsError
from vivant.methods.live_portrait.config import PRESETS, Config, PublishedConfig
from vivant.methods.live_portrait.model import build_modules
from vivant.weights.assets import asset, assets_info
from vivant.weights.cards import WeightsInfo
from vivant.weights.hub import hub_file
from vivant.weights.loading import load_state, load_strict, mismatch_report, read_metadata, sha256

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
    if preset not in PRESETS:
        raise ConfigError(f"There is no preset '{preset}' of {_METHOD}; known presets: {', '.join(PRESETS)}.")
    config = PRESETS[preset]
    with _seeded(seed):
        modules = build_modules(config)
    if path is not None:
        info = _load_path(modules, config, preset, Path(path))
    elif preset == "released":
        info = _load_files(modules, {name: hub_file(HUB, f"{file}.pth") for name, file in FILES.items()})
    elif preset in BUNDLED:
        info = _load_bundled(modules, config, preset)
    else:
        info = WeightsInfo(preset, {}, "none", f"random, seed {seed}" if seed is not None else "random")
    for module in modules.values():
        module.eval()
    return modules, config, info


def save_modules(
    modules: Mapping[str, nn.Module], path: str | Path, metadata: Mapping[str, str] | None = None, half: bool = False
) -> Path:
    """Write all modules to one safetensors file, each key behind its module's name.

    Args:
        modules: as :func:`load_modules` returns them.
        path: where to write; the file appears only when it is complete.
        metadata: text kept in the header, for example ``preset``, ``licence``, ``source``.
        half: store floating-point weights as float16, half the size (they load as float32).

    Raises:
        WeightsError: the file cannot be written.
    """
    path = Path(path)
    state = {f"{name}.{key}": value for name, module in modules.items() for key, value in module.state_dict().items()}
    state = {key: _stored(value, half) for key, value in state.items()}
    draft = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(state, draft, {"method": _METHOD, **(metadata or {})})
        draft.replace(path)
    except (OSError, SafetensorError) as error:
        with contextlib.suppress(OSError):
            draft.unlink()
        reason = getattr(error, "strerror", None) or str(error)
        raise WeightsError(f"The weights cannot be written to {path} ({reason}): choose another place.") from error
    return path


def convert(folder: str | Path, out: str | Path) -> Path:
    """Turn a folder of the released checkpoint (pickles) into one safetensors file for
    ``load_modules("released", out)``.

    Raises:
        WeightsError: as :func:`load_modules`, or ``out`` cannot be written.
    """
    modules, config, info = load_modules("released", folder)
    return save_modules(modules, out, describe("released", config, licence=info.licence, source=HUB))


def describe(preset: str, config: Config, **more: str) -> dict[str, str]:
    """Metadata for :func:`save_modules`: the preset, a hash of its sizes, and what the caller adds."""
    return {"preset": preset, "config_sha256": config_hash(config), **more}


def config_hash(config: Config) -> str:
    """SHA-256 of all sizes of ``config``; two configurations with one hash build the same nets."""
    text = json.dumps(asdict(config), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


@contextlib.contextmanager
def _seeded(seed: int | None) -> Iterator[None]:
    if seed is None:
        yield
        return
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def _stored(value: Tensor, half: bool) -> Tensor:
    value = value.detach().cpu().contiguous().clone()
    return value.half() if half and value.is_floating_point() else value


def _load_path(modules: Modules, config: Config, preset: str, path: Path) -> WeightsInfo:
    if path.is_dir():
        if not isinstance(config, PublishedConfig):
            raise WeightsError(f"The preset '{preset}' is one file, but {path} is a folder: give the file in it.")
        return _load_files(modules, {name: _find(path, file) for name, file in FILES.items()})
    return _load_single(modules, config, path)


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


def _load_single(modules: Modules, config: Config, file: Path) -> WeightsInfo:
    state, metadata = load_state(file), read_metadata(file)
    whole = nn.ModuleDict(modules)
    report = mismatch_report(whole, state)
    if report and metadata.get("config_sha256", config_hash(config)) != config_hash(config):
        raise WeightsError(
            f"The weights in {file} were made for the preset '{metadata.get('preset', 'unknown')}' with other sizes: "
            f"choose that preset ({report})."
        )
    load_strict(whole, state, str(file))
    name = metadata.get("preset", file.stem)
    return WeightsInfo(
        name, {str(file): sha256(file)}, metadata.get("licence", "unknown"), metadata.get("source", str(file))
    )


def _load_bundled(modules: Modules, config: Config, preset: str) -> WeightsInfo:
    info, row = _load_single(modules, config, asset(BUNDLED[preset])), assets_info()[BUNDLED[preset]]
    return replace(info, name=preset, licence=row.licence, source=row.source)
