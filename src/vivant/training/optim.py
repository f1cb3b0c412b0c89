"""AdamW over named parameters, with a state that is saved by parameter name."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW

from vivant.core.errors import ConfigError, MissingExtraError
from vivant.training import parallel
from vivant.training.sharding import is_split, part_like, whole


def learning_parameters(modules: dict[str, nn.Module]) -> dict[str, nn.Parameter]:
    """Parameters that need gradients by full name ``module/parameter``."""
    return {f"{name}/{key}": p for name, m in modules.items() for key, p in m.named_parameters() if p.requires_grad}


class Optimizer:
    """AdamW (Loshchilov and Hutter 2019). Decay only acts on weights, not on biases and norms (one axis or
    none).

    On CUDA it is fused and its learning rate is a tensor, so that it can be part of a captured graph.

    ``shard``: with several processes each one keeps the moments of its share of the parameters and updates those, and
    then all get the updated numbers (Rajbhandari et al. 2020, ZeRO stage 1, arXiv:1910.02054); the result is the same.

    ``factors``: {parameters by full name with ``.`` or a part of it, with ``*``: what their rate is multiplied by}.

    ``kind``: "adamw8bit" keeps the moments of tensors of 4096 numbers or more as bytes with a scale for each block of
    256 (Dettmers et al. 2021, arXiv:2110.02861), by the package bitsandbytes, on GPUs and CPUs; it is never captured.
    """

    def __init__(
        self,
        parameters: dict[str, nn.Parameter],
        rate: float,
        betas: tuple[float, float],
        decay: float,
        shard: bool = False,
        kind: str = "adamw",
        factors: Mapping[str, float] | None = None,
    ) -> None:
        self.named = parameters
        own = _own_factors(parameters, factors or {})
        self.owners = _owners(parameters) if shard and parallel.world() > 1 else {}
        self.parameters = list(parameters.values())
        self._base = rate
        cuda = bool(self.parameters) and self.parameters[0].is_cuda
        device = self.parameters[0].device if self.parameters else None
        self.eight_bit = kind == "adamw8bit"
        self._on_device = cuda and not self.eight_bit
        rank = parallel.rank()
        used: list[dict[str, Any]] = []
        self._factors: list[float] = []
        for factor in dict.fromkeys((1.0, *own.values())):
            mine = [
                p for name, p in parameters.items()
                if self.owners.get(name, rank) == rank and own.get(name, 1.0) == factor
            ]  # fmt: skip
            lr = torch.tensor(rate * factor, device=device) if self._on_device else rate * factor
            weights, others = [p for p in mine if p.ndim > 1], [p for p in mine if p.ndim <= 1]
            for part, decayed in ((weights, decay), (others, 0.0)):
                if part:
                    used.append({"params": part, "weight_decay": decayed, "lr": lr})
                    self._factors.append(factor)
        self._adam: torch.optim.Optimizer
        if self.eight_bit:
            self._adam = _eight_bit_adam()(used, lr=rate, betas=betas)
        else:
            self._adam = AdamW(used, lr=rate, betas=betas, fused=cuda, capturable=cuda)

    @property
    def collective(self) -> bool:
        """Whether all processes must ask for the state."""
        return bool(self.owners) or any(is_split(p) for p in self.parameters)

    def set_factor(self, factor: float) -> float:
        """Set the learning rate to ``factor`` times the base rate and return it; those with a factor of their own have
        that besides."""
        rate = self._base * factor
        for group, own in zip(self._adam.param_groups, self._factors, strict=True):
            if self._on_device:
                group["lr"].fill_(rate * own)
            else:
                group["lr"] = rate * own
        return rate

    def clear(self) -> None:
        """Drop all gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    def step(self, clip_norm: float) -> Tensor:
        """Clip, update, and return the norm of the gradients before clipping."""
        limit = clip_norm if clip_norm > 0 else float("inf")
        norm = nn.utils.clip_grad_norm_(self.parameters, limit, foreach=True)
        self._adam.step()
        norm = norm.full_tensor() if is_split(norm) else norm  # type: ignore[attr-defined]
        for owner in sorted(set(self.owners.values())):
            parallel.share([p.detach() for name, p in self.named.items() if self.owners[name] == owner], owner)
        return norm.detach()

    def state(self) -> dict[str, Tensor]:
        """Moments and step counts as ``module/parameter:entry``; if shared, on the host, and all must ask for it."""
        if self.owners:
            return self._gathered()
        return {
            f"{name}:{key}": whole(value) if isinstance(value, Tensor) else torch.tensor(float(value))
            for name, p in self.named.items()
            for key, value in self._adam.state.get(p, {}).items()
        }

    def _gathered(self) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        for name, p in self.named.items():
            held = self._adam.state.get(p, {})
            for key in ("exp_avg", "exp_avg_sq", "step"):
                like = torch.zeros_like(p) if key != "step" else torch.zeros(1, device=p.device)
                value = like.copy_(held[key]) if key in held else like
                parallel.share([value], self.owners[name])
                found[f"{name}:{key}"] = (value if key != "step" else value[0]).cpu()
        return {k: v for k, v in found.items() if found[f"{k.rsplit(':', 1)[0]}:step"] > 0}

    def load(self, state: dict[str, Tensor]) -> None:
        """Restore what :meth:`state` returned."""
        rank = parallel.rank()
        for full, value in state.items():
            name, key = full.rsplit(":", 1)
            if self.owners.get(name, rank) != rank:
                continue
            parameter = self.named[name]
            if self.eight_bit:  # moments are bytes with scales; the count is a number
                place = parameter.device
                self._adam.state[parameter][key] = int(value) if key == "step" else value.to(place, copy=True)
                continue
            on_host = key == "step" and not self._on_device
            place = torch.device("cpu") if on_host else parameter.device
            entry = value.to(place, copy=True)
            if key != "step":
                like = torch.empty_like(parameter, memory_format=torch.preserve_format)
                entry = part_like(entry, parameter) if is_split(parameter) else like.copy_(entry)
            self._adam.state[parameter][key] = entry


def _own_factors(names: Collection[str], factors: Mapping[str, float]) -> dict[str, float]:
    """{full name: factor} of the parameters that a pattern names; the last pattern that fits counts.

    Raises:
        ConfigError: a pattern fits no parameter.
    """
    found: dict[str, float] = {}
    for pattern, factor in factors.items():
        fit = [n for n in names if any(fnmatchcase(n.replace("/", "."), p) for p in (pattern, f"{pattern}.*"))]
        if not fit:
            raise ConfigError(f"rates names '{pattern}', but the stage trains no parameter of that name.")
        found |= dict.fromkeys(fit, factor)
    return found


def _eight_bit_adam() -> Any:
    """bitsandbytes' AdamW8bit.

    Raises:
        MissingExtraError: the package is not installed.
    """
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it tells of kernels that nobody asked for
    try:
        from bitsandbytes.optim import AdamW8bit
    except ImportError:
        raise MissingExtraError("bitsandbytes", "adam8bit", "The optimizer adamw8bit") from None
    return AdamW8bit


def _owners(parameters: dict[str, nn.Parameter]) -> dict[str, int]:
    """Which process keeps the moments of each parameter: always the one that has least so far."""
    loads, owners = [0] * parallel.world(), {}
    for name in sorted(parameters, key=lambda name: (-parameters[name].numel(), name)):
        owners[name] = loads.index(min(loads))
        loads[owners[name]] += parameters[name].numel()
    return owners
