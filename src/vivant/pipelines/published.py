"""Published weights by name: what there is, fetched with everything said before, turned into safetensors."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vivant.core.errors import ConfigError, WeightsError
from vivant.core.registry import all_methods, get_method
from vivant.weights.catalogue import Published, allows_commerce, pass_gate

if TYPE_CHECKING:
    from vivant.weights.hub import HubFacts, HubFile


def catalogue() -> dict[str, Published]:
    """Everything that can be fetched, by name: a method's preset "released" by the method's name, others as
    ``method:preset``, and nets that several methods use."""
    from vivant.diffusion.codec import SD_VAE, TINY_SD
    from vivant.diffusion.picture_encoders import CLIP_HUB
    from vivant.metrics.nets.published import PUBLISHED
    from vivant.perception import hearing, syncnet

    found: dict[str, Published] = {}
    for method, spec in all_methods().items():
        for preset, entry in getattr(spec.part("weights"), "PUBLISHED", {}).items():
            found[method if preset == "released" else f"{method}:{preset}"] = entry
    vae = "diffusion_pytorch_model.safetensors"
    found["sd-vae"] = Published(SD_VAE, ("config.json", vae), "MIT", what="Stable Diffusion's autoencoder")
    found["sd-preview"] = Published(TINY_SD, (vae,), "MIT", what="preview decoder of its latents")
    found["clip-image"] = Published(
        CLIP_HUB, ("image_encoder/pytorch_model.bin",), "CreativeML OpenRAIL-M", what="CLIP's picture encoder"
    )
    found["syncnet"] = Published(syncnet.HUB, (syncnet.HUB_FILE,), syncnet.LICENCE, what="lips and sound: metrics")
    for name, item in PUBLISHED.items():
        for repo, file in item.hub:
            if repo != syncnet.HUB:
                found[name] = Published(repo, (file,), item.licence, what="metrics")
    for name, (repo, files) in hearing.HUB_FILES.items():
        found[name] = Published(repo, files, "Apache-2.0", what="speech encoder")
    return found


@dataclass(frozen=True)
class Order:
    """What is to be fetched under one name."""

    name: str
    entry: Published
    facts: HubFacts

    @property
    def missing(self) -> list[HubFile]:
        """Files that are not cached yet."""
        return [file for file in self.facts.files if file.path is None]

    @property
    def lines(self) -> list[str]:
        """What a person should know before: licence, source, and size and SHA-256 of each file."""
        tag = self.facts.licence
        said = f"{self.entry.licence}" + (f"; the hub's card says {tag}" if tag else "")
        commerce = {True: "allowed", False: "forbidden", None: "not told"}[allows_commerce(self.entry.licence)]
        head = f"{self.name}: {self.facts.repo}" + (f" at {self.facts.revision[:12]}" if self.facts.revision else "")
        lines = [head, f"  licence: {said} (commercial use: {commerce})"]
        for file in self.facts.files:
            state = "here" if file.path else "to download"
            lines.append(f"  {size_text(file.size):>9s}  {file.sha256 or 'no hash told':64s}  {file.name}  ({state})")
        return lines


def orders(names: list[str], commercial_only: bool, with_needs: bool = True) -> list[Order]:
    """Everything that ``names`` need, looked up on the hub, each once.

    Raises:
        ConfigError: no such name. WeightsError: not on the hub, not reachable, or stopped by the licence gate.
    """
    from vivant.weights.hub import hub_facts

    known, chosen = catalogue(), list(dict.fromkeys(names))
    for name in chosen:
        if name not in known:
            raise ConfigError(f"There are no published weights '{name}': use one of {', '.join(known)}.")
        chosen += [more for more in known[name].needs if with_needs and more not in chosen]
    for name in chosen:
        pass_gate(name, known[name].licence, commercial_only or None)
    found = []
    for name in chosen:
        entry = known[name]
        if not entry.repo:
            raise WeightsError(f"The weights '{name}' are not on the hub: {entry.where}")
        facts = hub_facts(entry.repo, entry.files)
        if facts.licence and allows_commerce(facts.licence) is False:
            pass_gate(name, facts.licence, commercial_only or None)
        found.append(Order(name, entry, facts))
    return found


def size_text(size: int | None) -> str:
    """Bytes for people."""
    if size is None:
        return "?"
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} B"


def check_room(missing: list[HubFile], folder: Path) -> None:
    """Raises WeightsError if the disk below ``folder`` cannot take the files."""
    wanted = sum(file.size or 0 for file in missing)
    place = folder
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if wanted > free:
        raise WeightsError(
            f"{size_text(wanted)} do not fit on the disk of {place}, {size_text(free)} are free: make room, or name "
            "another place by HF_HOME."
        )


@dataclass(frozen=True)
class Conversion:
    """What :func:`convert` made. ``hashes``: SHA-256 of each source file by its name."""

    path: Path
    licence: str
    hashes: Mapping[str, str]
    sha256: str
    tensors: int


def convert(
    method: str, preset: str, source: Path | None, out: Path, licence: str = "", half: bool = False
) -> Conversion:
    """Turn a method's published files into one safetensors file, every key in its place, and write its card.

    ``source``: a file or folder as published; None takes the hub's cache, or the hub. ``licence``: instead of the one
    that the method states. ``half``: floating-point tensors as float16. The file is read again and compared before it
    gets its name, so a finished file is a right one.

    Raises:
        ConfigError: no such method or preset, or ``out`` has another ending.
        WeightsError: as the method's ``load_modules``, stopped by the licence gate, or ``out`` cannot be written.
    """
    from vivant.weights.cards import ModelCard, write_card
    from vivant.weights.loading import sha256

    spec = get_method(method)
    weights = spec.part("weights")
    if out.suffix != ".safetensors":
        raise ConfigError(f"The result {out} must end in .safetensors.")
    if preset not in spec.presets or not preset.startswith("released"):
        made = ", ".join(name for name in spec.presets if name.startswith("released")) or "none"
        raise ConfigError(f"'{preset}' is no preset of {method} with published weights: it has {made}.")
    stated = licence or weights.LICENCE
    pass_gate(f"{method} ({preset})", stated)
    modules, config, info = weights.load_modules(preset, source)
    hashes = {Path(file).name: digest for file, digest in info.files.items()}
    notes = weights.describe(
        preset, config, licence=stated, source=f"{weights.HUB}; read from {', '.join(hashes)}",
        source_sha256=json.dumps(hashes, sort_keys=True),
    )  # fmt: skip
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".convert-") as folder:
        draft = weights.save_modules(modules, Path(folder) / out.name, notes, half=half)
        count = _compare(draft, modules, half)
        draft.replace(out)
    digest = sha256(out)
    write_card(
        ModelCard(
            name=f"{spec.title}, {preset}, converted", method=method, preset=preset, licence=stated,
            summary=f"The published weights of {weights.HUB}, tensor by tensor, as one safetensors file.",
            recipe="vivant convert", sha256=digest,
            data=[f"{name}: SHA-256 {value}" for name, value in sorted(hashes.items())],
        ),
        out,
    )  # fmt: skip
    return Conversion(out, stated, hashes, digest, count)


def _compare(file: Path, modules: Mapping[str, Any], half: bool) -> int:
    """Every tensor of ``file`` against the modules it was written from; how many there are."""
    import torch
    from safetensors import safe_open

    wanted = {f"{name}.{key}": value for name, module in modules.items() for key, value in module.state_dict().items()}
    with safe_open(file, framework="pt") as found:
        keys = list(found.keys())
        for key in keys:
            value = wanted[key].half() if half and wanted[key].is_floating_point() else wanted[key]
            if not torch.equal(found.get_tensor(key), value):
                raise WeightsError(f"The tensor '{key}' did not survive the conversion: check disk and memory.")
    return len(keys)
