"""Running averages of weights, updated in place so that a captured graph can do it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from vivant.training.sharding import local


class WeightAverage:
    """An averaged copy of the modules that learn; the others are shared.

    ``modules``: the averaged modules, in evaluation mode. Buffers are copied, not averaged. Without ``averaged`` they
    are the live ones, which saves their memory.
    """

    def __init__(self, modules: dict[str, nn.Module], averaged: bool = True) -> None:
        self.modules: dict[str, nn.Module] = {}
        self._pairs: list[tuple[Tensor, Tensor]] = []
        self._buffers: list[tuple[Tensor, Tensor]] = []
        for name, module in modules.items():
            learning = {key for key, p in module.named_parameters() if p.requires_grad}
            if not learning or not averaged:
                self.modules[name] = module
                continue
            self.modules[name] = copy.deepcopy(module).eval().requires_grad_(False)
        self.pair(modules)

    def pair(self, modules: dict[str, nn.Module]) -> None:
        """Find the parameters anew that belong together, after they were split over processes."""
        self._pairs, self._buffers = [], []
        for name, module in modules.items():
            twin = self.modules[name]
            if twin is module:
                continue
            live = {key: p for key, p in module.named_parameters() if p.requires_grad}
            mine = [(p.detach(), live[key].detach()) for key, p in twin.named_parameters() if key in live]
            self._pairs += [(local(a), local(b)) for a, b in mine]
            self._buffers += list(zip(twin.buffers(), module.buffers()))

    @torch.no_grad()
    def update(self, rate: Tensor) -> None:
        """Move every averaged parameter by ``rate`` (a scalar tensor) of its distance to the live one."""
        if not self._pairs:
            return
        averaged, live = [a for a, _ in self._pairs], [b for _, b in self._pairs]
        steps = torch._foreach_sub(live, averaged)
        torch._foreach_mul_(steps, rate)
        torch._foreach_add_(averaged, steps)
        for mine, theirs in self._buffers:
            mine.copy_(theirs)

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """Inside, the live modules hold the averaged parameters; their storage stays the same."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for mine, theirs in self._pairs:
            kept = mine.clone()
            mine.copy_(theirs)
            theirs.copy_(kept)
