"""Activations of chosen blocks are not kept but computed again in the backward pass (Chen et al. 2016,
arXiv:1604.06174): less memory for about a third more time, the same gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from vivant.core.errors import ConfigError
from vivant.nn.spectral import SpectralConv2d

_LISTS = (nn.ModuleList, nn.ModuleDict)


def find_blocks(modules: Mapping[str, nn.Module], patterns: Sequence[str]) -> dict[str, nn.Module]:
    """The outermost submodules that match a pattern (``*`` matches anything) and learn; lists of modules are looked
    into.

    Raises:
        ConfigError: a pattern matches nothing that learns.
    """
    found: dict[str, nn.Module] = {}
    hit: set[str] = set()
    for name, top in modules.items():
        for key, module in top.named_modules():
            path = f"{name}.{key}" if key else name
            fits = [pattern for pattern in patterns if fnmatchcase(path, pattern)]
            if not fits or isinstance(module, _LISTS) or not any(p.requires_grad for p in module.parameters()):
                continue
            hit.update(fits)
            if not any(path.startswith(f"{outer}.") for outer in found):
                found[path] = module
    lost = [pattern for pattern in patterns if pattern not in hit]
    if lost:
        raise ConfigError(f"No block that learns is called '{lost[0]}': the modules are {', '.join(modules)}.")
    return found


@contextmanager
def recomputed(blocks: Mapping[str, nn.Module]) -> Iterator[None]:
    """Inside, the blocks keep only their inputs for the backward pass."""
    before: list[nn.Module] = []
    try:
        for block in blocks.values():
            block.forward = partial(_call, block, block.forward)
            before.append(block)
        yield
    finally:
        for block in before:
            del block.forward


def has_dropout(blocks: Mapping[str, nn.Module]) -> bool:
    """Whether a block draws random numbers, which must be the same again; a captured step cannot do that."""
    return any(isinstance(m, nn.Dropout) and m.p > 0 for block in blocks.values() for m in block.modules())


def _call(block: nn.Module, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*args, **kwargs)
    contexts = partial(_contexts, block)
    again = has_dropout({"": block})
    return checkpoint(
        forward, *args, use_reentrant=False, context_fn=contexts, preserve_rng_state=again, **kwargs
    )  # fmt: skip


def _contexts(block: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    return nullcontext(), _once(block)


@contextmanager
def _once(block: nn.Module) -> Iterator[None]:
    """While a block runs again, what it remembers of a batch (running statistics, singular vectors) stays."""
    with ExitStack() as undo:
        for module in block.modules():
            if isinstance(module, _BatchNorm) and module.num_batches_tracked is not None:
                undo.callback(setattr, module, "momentum", module.momentum)
                undo.callback(module.num_batches_tracked.sub_, 1)
                module.momentum = 0.0
            elif isinstance(module, SpectralConv2d) and module.training:
                module.training = False
                undo.callback(setattr, module, "training", True)
        yield
