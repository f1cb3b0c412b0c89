"""A stage that trains low-rank additions (:mod:`vivant.nn.lora`) instead of the weights themselves."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from vivant.nn.lora import NAMES, adapted_layers, add_adapters, merge_adapters
from vivant.training.schedule import step_seed
from vivant.training.stage import Stage
from vivant.training.step import choose_learning

ENDINGS = tuple(f".{name}.weight" for name in NAMES)
"""How the names of trained numbers of such a stage end; its checkpoints hold nothing else."""


def prepare(modules: dict[str, nn.Module], stage: Stage, seed: int) -> None:
    """Let what the stage trains need gradients: its modules, or additions to their layers, drawn from ``seed``.

    Raises:
        ConfigError: a name of the stage is nowhere to be found.
    """
    choose_learning(modules, stage.trains)
    if not stage.lora_rank:
        return
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(step_seed(seed, stage.name, 0))
        add_adapters(modules, stage.lora_on, stage.lora_rank, stage.lora_alpha or None, learning=True)
    choose_learning(modules, tuple(f"*.{name}" for name in NAMES))


def kept_endings(stage: Stage) -> tuple[str, ...]:
    """Endings of the names that a checkpoint of the stage holds; empty for all names."""
    return ENDINGS if stage.lora_rank else ()


def adapter_states(modules: Mapping[str, nn.Module]) -> dict[str, dict[str, Tensor]]:
    """Trained numbers of each module that has additions, ``layer.lora_A.weight`` and so on."""
    return {
        name: {key: value for key, value in module.state_dict().items() if key.endswith(ENDINGS)}
        for name, module in modules.items()
        if adapted_layers(module)
    }


def settle(modules: Mapping[str, nn.Module]) -> None:
    """Make all additions part of the weights, for the stages that follow."""
    for module in modules.values():
        merge_adapters(module)
