"""Checkpoints: folders of safetensors and one JSON, written whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from vivant.core.errors import WeightsError
from vivant.training.sharding import local, part_like
from vivant.weights.storing import store

LATEST, BEST = "latest", "best"
PARTS = ("modules", "averaged", "critics", "optimizer", "critic_optimizer")


def flat_state(modules: Mapping[str, nn.Module], endings: tuple[str, ...] = ()) -> dict[str, Tensor]:
    """States of several modules in one dictionary, keys ``module/parameter``; ``endings``: only keys that end so."""
    return {
        f"{name}/{key}": value
        for name, m in modules.items()
        for key, value in m.state_dict().items()
        if not endings or key.endswith(endings)
    }


def restore(
    modules: Mapping[str, nn.Module], flat: Mapping[str, Tensor], where: str, endings: tuple[str, ...] = ()
) -> None:
    """Copy a flat state back in place, strictly; ``endings`` as in :func:`flat_state`.

    Raises:
        WeightsError: names or shapes differ.
    """
    targets = flat_state(modules, endings)
    odd = sorted(set(targets) ^ set(flat)) or [k for k in targets if targets[k].shape != flat[k].shape]
    if odd:
        raise WeightsError(f"{where} does not fit the modules (for example '{odd[0]}'): resume with the same recipe.")
    for key, target in targets.items():
        local(target).copy_(local(part_like(flat[key], target)))


def save_checkpoint(
    folder: Path, step: int, parts: Mapping[str, Mapping[str, Tensor]], state: dict[str, Any], keep: int = 3,
    best: bool = False,
) -> Path:  # fmt: skip
    """Write ``folder/step_<n>`` atomically, point ``folder/latest`` at it and keep the last ``keep``, and the best.

    ``best``: also point ``folder/best`` at it. A step that this run has written before is the same, so only its state
    is written again; whoever is killed in between leaves the old state or the new one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = f"step_{step:08d}"
    part, target = folder / f".{name}.part", folder / name
    text = json.dumps({**state, "step": step}, indent=1)
    if target.exists():
        _write(target / "state.json", text)
    else:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        for key, tensors in parts.items():
            host = {k: v.detach().cpu().clone().contiguous() for k, v in tensors.items()}
            store(host, part / f"{key}.safetensors")
        _write(part / "state.json", text)
        os.replace(part, target)
    _write(folder / LATEST, name)
    if best:
        _write(folder / BEST, name)
    kept = latest_checkpoint(folder, BEST)
    for old in sorted(folder.glob("step_*"))[: -max(1, keep)]:
        if old not in (target, kept):
            shutil.rmtree(old)
    return target


def _write(file: Path, text: str) -> None:
    draft = file.with_name(f".{file.name}.part")
    draft.write_text(text, encoding="utf-8")
    os.replace(draft, file)


def forget_after(folder: Path, step: int) -> None:
    """Remove what a killed run left of later steps than the one that is resumed."""
    for left in (*folder.glob("step_*"), *folder.glob(".step_*.part")):
        if left.name.startswith(".") or int(left.name.removeprefix("step_")) > step:
            shutil.rmtree(left)


def latest_checkpoint(folder: Path, which: str = LATEST) -> Path | None:
    """The folder that ``latest`` (or ``best``) names, None if there is none."""
    pointer = folder / which
    if not pointer.is_file():
        return None
    target = folder / pointer.read_text(encoding="utf-8").strip()
    return target if target.is_dir() else None


def saved_seconds(folder: Path) -> float:
    """Training time of the latest checkpoint in ``folder``, 0 if there is none."""
    path = latest_checkpoint(folder)
    if path is None:
        return 0.0
    try:
        return float(json.loads((path / "state.json").read_text(encoding="utf-8"))["seconds"])
    except (OSError, ValueError, KeyError) as error:
        raise WeightsError(f"The checkpoint {path} cannot be read ({error}): resume from another.") from error


def load_checkpoint(path: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """All parts and the state of a checkpoint folder.

    Raises:
        WeightsError: a file is missing or damaged.
    """
    try:
        parts = {file.stem: load_file(file) for file in sorted(path.glob("*.safetensors"))}
        state = json.loads((path / "state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, SafetensorError) as error:
        raise WeightsError(f"The checkpoint {path} cannot be read ({error}): resume from another.") from error
    if set(parts) != set(PARTS) or "step" not in state:
        raise WeightsError(f"The checkpoint {path} is not complete: resume from another one.")
    return parts, state
