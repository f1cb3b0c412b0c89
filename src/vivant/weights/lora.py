"""Low-rank additions to weights in files (Hu et al. 2021, arXiv:2106.09685): our own, PEFT's, and Kohya's, such as
LCM-LoRA for few-step sampling."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from vivant.core.errors import ConfigError, WeightsError
from vivant.weights.loading import load_state, sha256
from vivant.weights.storing import store

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
"""PEFT's names of the two files of an adapter."""
_HEADS = ("lora_unet_", "unet.", "base_model.model.", "")
_ENDS = ((".lora_down.weight", ".lora_up.weight"), (".lora_A.weight", ".lora_B.weight"))
_SHOWN = 3
_MAIN = ("denoising_unet", "unet")
"""Modules that a file without a module's name is for."""


@torch.no_grad()
def merge_lora(module: nn.Module, state: Mapping[str, Tensor], origin: str, strength: float = 1.0) -> int:
    """Add the low-rank changes of ``state`` to the layers of ``module``; returns how many layers changed.

    Names as Kohya writes them (``lora_unet_down_blocks_0_..._to_q.lora_down.weight`` with ``alpha``) and as diffusers
    and PEFT do (``unet.down_blocks.0....to_q.lora_A.weight``). Text encoders' entries are passed over. The change of a
    layer is strength * alpha / rank * up @ down.

    Raises:
        WeightsError: a layer that ``module`` does not have, a shape that does not fit, or nothing to add; ``module`` is
            unchanged then.
    """
    layers = {name.replace(".", "_"): layer for name, layer in module.named_modules() if hasattr(layer, "weight")}
    changes: list[tuple[Tensor, Tensor]] = []
    unknown: list[str] = []
    for key in state:
        if key.startswith(("lora_te", "text_encoder")):
            continue
        for down_end, up_end in _ENDS:
            if not key.endswith(down_end):
                continue
            base = key.removesuffix(down_end)
            layer = _layer(layers, base)
            if layer is None:
                unknown.append(base)
            else:
                weight = layer.get_parameter("weight")
                changes.append((weight, _change(state, base, down_end, up_end, weight, origin)))
    if unknown:
        names = ", ".join(unknown[:_SHOWN]) + (", …" if len(unknown) > _SHOWN else "")
        raise WeightsError(f"The LoRA {origin} changes {len(unknown)} layers that the net does not have ({names}).")
    if not changes:
        raise WeightsError(f"The file {origin} holds no LoRA: give one with lora_down and lora_up weights.")
    for added_to, change in changes:
        added_to.add_((strength * change).to(added_to))
    return len(changes)


def _layer(layers: Mapping[str, nn.Module], base: str) -> nn.Module | None:
    for head in _HEADS:
        if base.startswith(head):
            name = base.removeprefix(head).replace(".", "_").removesuffix("_lora").replace("_processor_", "_")
            if name in layers:
                return layers[name]
    return None


def _change(state: Mapping[str, Tensor], base: str, down_end: str, up_end: str, weight: Tensor, origin: str) -> Tensor:
    down, up = state[base + down_end].float(), state.get(base + up_end)
    if up is None:
        raise WeightsError(f"The LoRA {origin} has no '{base + up_end}': download it again.")
    rank = down.shape[0]
    alpha = float(state[f"{base}.alpha"]) if f"{base}.alpha" in state else float(rank)
    product = up.float().flatten(1) @ down.flatten(1)
    if product.numel() != weight.numel():
        raise WeightsError(f"The LoRA {origin} does not fit the layer '{base}': it is for another net.")
    return (alpha / rank) * product.view(weight.shape)


def add_lora(modules: Mapping[str, nn.Module], path: str | Path, strength: float = 1.0) -> int:
    """Merge a LoRA into the weights of a method's ``modules``; how many layers changed.

    ``path``: a file, or a folder as PEFT writes it, for the denoising U-Net (LCM-LoRA and others of Stable Diffusion
    1.5 for V-Express and Animate Anyone); or a folder of :func:`save_adapters`, which names its modules.

    Raises:
        WeightsError: a file is missing, cannot be read, or does not fit.
    """
    place = Path(path)
    own = [folder for folder in sorted(place.iterdir()) if (folder / WEIGHTS).is_file()] if place.is_dir() else []
    if own:
        strangers = [folder.name for folder in own if folder.name not in modules]
        if strangers:
            raise WeightsError(f"The LoRA {place} changes the net '{strangers[0]}', which this method does not have.")
        return sum(_merge_one(modules[folder.name], folder, strength) for folder in own)
    main = next((modules[name] for name in _MAIN if name in modules), None)
    if main is None:
        raise WeightsError(f"This method has no diffusion net that the LoRA {place} could change.")
    return _merge_one(main, place, strength)


def _merge_one(module: nn.Module, path: Path, strength: float) -> int:
    file = path / WEIGHTS if path.is_dir() else path
    state = load_state(file)
    if path.is_dir() and (path / CONFIG).is_file():
        alpha = _config_alpha(path / CONFIG)
        heads = {key.removesuffix(_ENDS[1][0]) for key in state if key.endswith(_ENDS[1][0])}
        state |= {f"{head}.alpha": torch.tensor(alpha) for head in heads if f"{head}.alpha" not in state}
    return merge_lora(module, state, str(file), strength)


def _config_alpha(file: Path) -> float:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        return float(found["lora_alpha"]) * (float(found["r"]) ** 0.5 if found.get("use_rslora") else 1.0)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{file} is not the configuration of a LoRA ({error}): give PEFT's folder.") from error


def save_adapters(
    name: str, state: Mapping[str, Tensor], folder: Path, rank: int, alpha: float, metadata: Mapping[str, str]
) -> Path:  # fmt: skip
    """Write the additions of one module as PEFT does: ``folder/name/adapter_model.safetensors`` and its configuration.

    ``state``: keys ``layer.lora_A.weight`` and ``layer.lora_B.weight``. Both files appear whole.

    Raises:
        WeightsError: they cannot be written.
    """
    layers = sorted({key.rpartition(".lora_")[0] for key in state})
    config = {
        "peft_type": "LORA", "r": rank, "lora_alpha": alpha, "lora_dropout": 0.0, "bias": "none", "use_rslora": False,
        "target_modules": layers, "base_model_name_or_path": metadata.get("method"), "task_type": None,
        "inference_mode": True, "fan_in_fan_out": False,
    }  # fmt: skip
    tensors = {f"base_model.model.{key}": value.detach().cpu().contiguous().clone() for key, value in state.items()}
    place = folder / name
    try:
        place.mkdir(parents=True, exist_ok=True)
        draft = place / f".{WEIGHTS}.part"
        store(tensors, draft, metadata)
        os.replace(draft, place / WEIGHTS)
        draft = place / f".{CONFIG}.part"
        draft.write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
        os.replace(draft, place / CONFIG)
    except OSError as error:
        raise WeightsError(
            f"The LoRA cannot be written to {place} ({error.strerror}): choose another place."
        ) from error
    return place


def lora_hashes(path: str | Path) -> dict[str, str]:
    """SHA-256 of the weights files of a LoRA by their paths."""
    place = Path(path)
    files = sorted(place.rglob("*.safetensors")) if place.is_dir() else [place]
    return {str(file): sha256(file) for file in files}


def read_choices(texts: Sequence[str]) -> list[tuple[str, float]]:
    """Paths and strengths from ``PATH`` or ``PATH:STRENGTH``.

    Raises:
        ConfigError: the strength is no number.
    """
    found = []
    for text in texts:
        head, colon, tail = text.rpartition(":")
        if not colon or Path(text).exists():
            found.append((text, 1.0))
            continue
        try:
            found.append((head, float(tail)))
        except ValueError:
            raise ConfigError(f"'{text}' is not a LoRA with a strength: write PATH or PATH:0.8.") from None
    return found
