"""Low-rank additions that are trained while the layer under them stays as it is (Hu et al. 2021, arXiv:2106.09685,
section 4.1): h = W x + (alpha / r) B A x, with B zero at the start.

The additions have PEFT's names (``lora_A``, ``lora_B`` beside the layer's ``weight``), so that what is learned can be
stored in its format.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn

from vivant.core.errors import ConfigError

NAMES = ("lora_A", "lora_B")


class _Adapted(nn.Module):
    """What adapted layers share; the layer's own class stands behind it."""

    lora_A: nn.Module  # noqa: N815
    lora_B: nn.Module  # noqa: N815
    lora_scale: float

    def forward(self, x: Tensor) -> Tensor:
        """The layer's answer and the addition."""
        plain: Tensor = super().forward(x)
        return plain + self.lora_scale * self.lora_B(self.lora_A(x))


class AdaptedLinear(_Adapted, nn.Linear):
    """A linear layer with an addition."""


class AdaptedConv1d(_Adapted, nn.Conv1d):
    """A convolution with an addition."""


class AdaptedConv2d(_Adapted, nn.Conv2d):
    """A convolution with an addition."""


_KINDS: dict[type, type] = {nn.Linear: AdaptedLinear, nn.Conv1d: AdaptedConv1d, nn.Conv2d: AdaptedConv2d}
_PLAIN = {adapted: plain for plain, adapted in _KINDS.items()}


def add_adapters(
    modules: Mapping[str, nn.Module], patterns: Sequence[str], rank: int, alpha: float | None = None,
    learning: bool = False,
) -> list[str]:  # fmt: skip
    """Give every layer whose name ``module.layer`` matches a pattern (``*`` matches anything) an addition of ``rank``.

    In place; layers that have one keep it. ``alpha``: None is the rank, a factor of 1. ``learning``: only layers
    whose weight needs gradients. A is drawn from torch's global
    generator. Returns the names.

    Raises:
        ConfigError: no layer matches.
    """
    found = []
    for name, top in modules.items():
        for key, layer in list(top.named_modules()):
            if any(fnmatchcase(f"{name}.{key}", pattern) for pattern in patterns) and (
                not learning or any(p.requires_grad for p in layer.parameters())
            ):
                if type(layer) in _KINDS:
                    _adapt(layer, rank, (alpha or rank) / rank)
                    found.append(f"{name}.{key}")
                elif type(layer) in _PLAIN:
                    found.append(f"{name}.{key}")
    if not found:
        raise ConfigError(f"No layer is called {' or '.join(patterns)}: LoRA needs names of linear layers.")
    return found


def _adapt(layer: nn.Module, rank: int, scale: float) -> None:
    weight = layer.get_parameter("weight")
    down: nn.Module
    up: nn.Module
    if isinstance(layer, nn.Linear):
        down, up = nn.Linear(layer.in_features, rank, bias=False), nn.Linear(rank, layer.out_features, bias=False)
    else:
        assert isinstance(layer, nn.Conv1d | nn.Conv2d)
        kind: Any = type(layer)
        down = kind(layer.in_channels, rank, layer.kernel_size, layer.stride, layer.padding, layer.dilation, bias=False)
        up = kind(rank, layer.out_channels, 1, bias=False)
    nn.init.kaiming_uniform_(down.get_parameter("weight"), a=math.sqrt(5))
    nn.init.zeros_(up.get_parameter("weight"))
    layer.__class__ = _KINDS[type(layer)]
    layer.lora_A, layer.lora_B = down.to(weight.device, weight.dtype), up.to(weight.device, weight.dtype)
    layer.lora_scale = scale  # type: ignore[assignment]


def adapted_layers(module: nn.Module) -> dict[str, _Adapted]:
    """The layers of ``module`` that have an addition, by name."""
    return {name: layer for name, layer in module.named_modules() if isinstance(layer, _Adapted)}


def has_adapters(module: nn.Module) -> bool:
    """Whether any layer has an addition."""
    return any(isinstance(layer, _Adapted) for layer in module.modules())


@torch.no_grad()
def merge_adapters(module: nn.Module) -> int:
    """Add every addition to the weight under it and make the layers plain again; how many there were."""
    layers = adapted_layers(module)
    for layer in layers.values():
        weight = layer.get_parameter("weight")
        up, down = layer.lora_B.get_parameter("weight"), layer.lora_A.get_parameter("weight")
        weight.add_((layer.lora_scale * up.flatten(1) @ down.flatten(1)).view_as(weight))
        del layer.lora_A, layer.lora_B, layer.lora_scale
        layer.__class__ = _PLAIN[type(layer)]
    return len(layers)
