"""Low-rank additions to weights (Hu et al. 2021, arXiv:2106.09685), such as LCM-LoRA for few-step sampling."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from vivant.core.errors import WeightsError
from vivant.weights.loading import load_state

_HEADS = ("lora_unet_", "unet.", "base_model.model.", "")
_ENDS = ((".lora_down.weight", ".lora_up.weight"), (".lora_A.weight", ".lora_B.weight"))
_SHOWN = 3


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


def add_lora(modules: Mapping[str, nn.Module], file: str | Path, strength: float = 1.0) -> int:
    """Merge a LoRA of Stable Diffusion 1.5's U-Net, such as LCM-LoRA, into ``denoising_unet``; how many layers changed.

    Raises:
        WeightsError: the file cannot be read, or does not fit.
    """
    return merge_lora(modules["denoising_unet"], load_state(file), str(file), strength)
