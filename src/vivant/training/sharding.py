"""Weights that several processes share: each keeps a part, and gathers the rest only while it computes.

By torch's ``fully_shard`` (FSDP2; Zhao et al. 2023, arXiv:2304.11277): weights, gradients, moments and averages of the
modules that learn lie split over the processes; the numbers that come out are those of one process.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from vivant.training import parallel
from vivant.training.recompute import find_blocks


def shard_weights(modules: Mapping[str, nn.Module], twins: Mapping[str, nn.Module], blocks: Sequence[str]) -> None:
    """Split the learning ones of ``modules``, and their averaged ``twins`` alike, over all processes, in place.

    ``blocks``: names of blocks, with ``*``, that are gathered one after another; what is left of a module is gathered
    when it is first used in a step and kept until its gradients are there.

    Raises:
        ConfigError: no block is called so.
    """
    from torch.distributed.device_mesh import init_device_mesh

    learning = {name: m for name, m in modules.items() if any(p.requires_grad for p in m.parameters())}
    device = next(next(iter(learning.values())).parameters()).device.type
    mesh = init_device_mesh(device, (parallel.world(),))
    paths = list(find_blocks(learning, blocks))
    for group in (learning, {name: twins[name] for name in learning if twins[name] is not modules[name]}):
        for path in paths:
            name, _, key = path.partition(".")
            if key:
                _shard(group[name].get_submodule(key), mesh, reshard=True)
        for module in group.values():
            _shard(module, mesh, reshard=False)


def _shard(module: nn.Module, mesh: Any, reshard: bool) -> None:
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    kind = type(module)
    fully_shard(module, mesh=mesh, reshard_after_forward=reshard)
    for name, _ in inspect.getmembers(kind, inspect.isfunction):
        if not name.startswith("_") and name != "forward" and not hasattr(nn.Module, name):
            register_fsdp_forward_method(module, name)


def is_split(tensor: Tensor) -> bool:
    """Whether this process holds only its part of ``tensor``."""
    if not dist.is_available():
        return False
    from torch.distributed.tensor import DTensor

    return isinstance(tensor, DTensor)


def local(tensor: Tensor) -> Tensor:
    """This process's part, which shares its memory; a tensor that is not split is its own part."""
    return tensor.to_local() if is_split(tensor) else tensor  # type: ignore[attr-defined]


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor, on the CPU if it is split; then all processes must ask."""
    return tensor.full_tensor().cpu() if is_split(tensor) else tensor  # type: ignore[attr-defined]


def part_like(value: Tensor, like: Tensor) -> Tensor:
    """``value``, which every process has whole, split as ``like`` is."""
    if not is_split(like):
        return value
    from torch.distributed.tensor import distribute_tensor

    given: Any = like
    return distribute_tensor(value.to(like.device), given.device_mesh, given.placements, src_data_rank=None)


def gathered(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state with whole tensors; all processes must ask if any is split."""
    return {key: whole(value.detach()) for key, value in state.items()}


class Plain:
    """Copies of modules from before they were split, to be filled when a stage has ended."""

    def __init__(self, modules: Mapping[str, nn.Module]) -> None:
        self._copies = {name: copy.deepcopy(module).cpu() for name, module in modules.items()}

    @torch.no_grad()
    def filled(self, modules: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
        """The copies, on the modules' device, with the numbers of ``modules``; all processes must ask."""
        for name, module in modules.items():
            self._copies[name].load_state_dict(gathered(module.state_dict()))
            self._copies[name].eval().to(_device(module.parameters()))
        return dict(self._copies)


def _device(parameters: Iterable[Tensor]) -> torch.device:
    return next((p.device for p in parameters), torch.device("cpu"))
