"""The modules of a method in one safetensors file: writing, reading strictly, and what the header says of them."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from vivant.core.errors import ConfigError, WeightsError
from vivant.weights.assets import asset, assets_info
from vivant.weights.cards import WeightsInfo
from vivant.weights.loading import load_state, load_strict, mismatch_report, read_metadata, sha256
from vivant.weights.storing import store


def preset_of(presets: Mapping[str, Any], preset: str, method: str) -> Any:
    """The configuration called ``preset``.

    Raises:
        ConfigError: there is none; the message names the known ones.
    """
    if preset not in presets:
        raise ConfigError(f"There is no preset '{preset}' of {method}; known presets: {', '.join(presets)}.")
    return presets[preset]


def save_modules(
    modules: Mapping[str, nn.Module], path: str | Path, method: str,
    metadata: Mapping[str, str] | None = None, half: bool = False,
) -> Path:  # fmt: skip
    """Write all modules to one safetensors file, each key behind its module's name.

    Args:
        modules: by name.
        path: where to write; the file appears only when it is complete.
        method: whose modules they are, kept in the header.
        metadata: more text for the header, for example from :func:`describe`.
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
        store(state, draft, {"method": method, **(metadata or {})})
        draft.replace(path)
    except (OSError, SafetensorError) as error:
        with contextlib.suppress(OSError):
            draft.unlink()
        reason = getattr(error, "strerror", None) or str(error)
        raise WeightsError(f"The weights cannot be written to {path} ({reason}): choose another place.") from error
    return path


def load_single(modules: Mapping[str, nn.Module], config: Any, file: Path) -> WeightsInfo:
    """Fill ``modules`` of ``config`` from one file of :func:`save_modules`.

    Raises:
        WeightsError: damaged, or of another model or preset; the message names keys.
    """
    state, metadata = load_state(file), read_metadata(file)
    whole = nn.ModuleDict(dict(modules))
    report = mismatch_report(whole, state)
    if report and metadata.get("config_sha256", config_hash(config)) != config_hash(config):
        method = f" of the method '{metadata['method']}'" if "method" in metadata else ""
        raise WeightsError(
            f"The weights in {file} were made for the preset '{metadata.get('preset', 'unknown')}'{method} with other "
            f"sizes: choose that one ({report})."
        )
    load_strict(whole, state, str(file))
    name = metadata.get("preset", file.stem)
    return WeightsInfo(
        name, {str(file): sha256(file)}, metadata.get("licence", "unknown"), metadata.get("source", str(file))
    )


def load_bundled(modules: Mapping[str, nn.Module], config: Any, preset: str, file: str) -> WeightsInfo:
    """Fill ``modules`` from the bundled ``file``, whose licence and source the manifest names.

    Raises:
        WeightsError: as :func:`load_single`, or the file is not there.
    """
    row = assets_info().get(file)
    if row is None:
        raise WeightsError(
            f"The preset '{preset}' has no bundled weights yet: train them by its recipe and give the file they are in."
        )
    info = load_single(modules, config, asset(file))
    return replace(info, name=preset, licence=row.licence, source=row.source)


def build_filled(
    build: Callable[[Any], dict[str, nn.Module]], config: Any, preset: str,
    path: str | Path | None, seed: int | None, bundled: Mapping[str, str],
) -> tuple[dict[str, nn.Module], WeightsInfo]:  # fmt: skip
    """The modules of ``config`` in evaluation mode on the CPU: filled from ``path``, else by the preset's bundled file,
    else by chance.

    Args:
        build: makes the modules of a configuration, by name.
        config: the configuration of ``preset``.
        preset: its name.
        path: a file of :func:`save_modules`, or None.
        seed: of random weights; None draws from torch's global generator.
        bundled: preset -> bundled file, for presets that have one.

    Raises:
        WeightsError: weights missing, damaged, or of another model; the message names the keys.
    """
    with seeded(seed):
        modules = build(config)
    if path is not None:
        info = load_single(modules, config, Path(path))
    elif preset in bundled:
        info = load_bundled(modules, config, preset, bundled[preset])
    else:
        info = random_info(preset, seed)
    for module in modules.values():
        module.eval()
    return modules, info


def random_info(preset: str, seed: int | None) -> WeightsInfo:
    """What is to be said of random weights."""
    return WeightsInfo(preset, {}, "none", f"random, seed {seed}" if seed is not None else "random")


def describe(preset: str, config: Any, **more: str) -> dict[str, str]:
    """Metadata for :func:`save_modules`: the preset, a hash of its sizes, and what the caller adds."""
    return {"preset": preset, "config_sha256": config_hash(config), **more}


def config_hash(config: Any) -> str:
    """SHA-256 of all fields of a configuration; two with one hash build the same nets."""
    text = json.dumps(asdict(config), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


@contextlib.contextmanager
def seeded(seed: int | None) -> Iterator[None]:
    """Inside, torch's random numbers come from ``seed``, and the state before returns after; None changes nothing."""
    if seed is None:
        yield
        return
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def _stored(value: Tensor, half: bool) -> Tensor:
    value = value.detach().cpu().contiguous().clone()
    return value.half() if half and value.is_floating_point() else value
