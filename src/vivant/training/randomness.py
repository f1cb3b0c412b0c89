"""Random numbers, and what else a step says of its whole batch, that do not depend on the number of processes.

Every process draws for the whole batch and keeps the rows of its own samples, so that one process and many see the same
noise on the same sample. The numbers are cheap beside the step; nothing of an objective has to know of it. What an
objective does know of the whole batch it asks :func:`batch_mean` and :func:`rolled` for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from vivant.training import parallel

_SHAPED = (torch.rand, torch.randn)
_LIKE = {torch.rand_like: torch.rand, torch.randn_like: torch.randn}
_inside: list[WholeBatch] = []
"""Training steps of several processes that run now; sheets and validations, which may run in one alone, are none."""


class WholeBatch(TorchFunctionMode):
    """Inside, ``torch.rand``, ``randn``, ``randint``, their ``_like`` forms and dropout give this process's rows of
    what all processes together would draw.

    ``samples``: this process's samples in the part of the batch. A tensor counts as rows of samples if its first axis
    is a multiple of that; other shapes (one number for all) come out alike on all processes.
    """

    def __init__(self, samples: int) -> None:
        super().__init__()
        self.samples, self.rank, self.world = samples, parallel.rank(), parallel.world()

    def __enter__(self) -> WholeBatch:
        _inside.append(self)
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        _inside.pop()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in _SHAPED:
            return self._rows(func, (), _shape(args, kwargs), kwargs)
        if func is torch.randint:
            bounds, shape = _bounds(args, kwargs)
            return self._rows(func, bounds, shape, kwargs)
        if func in _LIKE:
            like = args[0]
            given = {"dtype": like.dtype, "device": like.device, **kwargs}
            return self._rows(_LIKE[func], (), tuple(like.shape), given)
        if func is F.dropout:
            return self._dropout(*args, **kwargs)
        return func(*args, **kwargs)

    def _rows(self, func: Callable[..., Tensor], before: tuple[Any, ...], shape: tuple[int, ...], given: Any) -> Tensor:
        if not shape or shape[0] % self.samples:
            return func(*before, shape, **given)
        count = shape[0]
        whole = func(*before, (count * self.world, *shape[1:]), **given)
        return whole[self.rank * count : (self.rank + 1) * count]

    def _dropout(self, x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        if not training or p == 0:
            return x
        drawn = self._rows(torch.rand, (), tuple(x.shape), {"device": x.device})
        return x * ((drawn >= p).to(x.dtype) / (1 - p))


def whole_batch(samples: int) -> AbstractContextManager[Any]:
    """:class:`WholeBatch` if there are several processes; alone nothing, since it would look at every call of torch."""
    return WholeBatch(samples) if parallel.world() > 1 else nullcontext()


@torch.no_grad()
def batch_mean(value: Tensor) -> Tensor:
    """A mean over this process's samples becomes that over the whole batch; without gradient.

    For what a loss is divided by: parts with divisors of their own would not add up to the loss of the whole.
    """
    if not _inside:
        return value
    mean = value.detach().float().clone()
    dist.all_reduce(mean)
    return (mean / _inside[-1].world).to(value.dtype)


@torch.no_grad()
def rolled(x: Tensor) -> Tensor:
    """Rows (B, ...) moved by one, row i is row i - 1 of the whole batch: something of another sample; without gradient.

    A process with one sample would otherwise find nobody but that sample itself.
    """
    if not _inside:
        return x.roll(1, 0)
    last = x[-1:].contiguous()
    lasts = [torch.empty_like(last) for _ in range(_inside[-1].world)]
    dist.all_gather(lasts, last)
    return torch.cat([lasts[_inside[-1].rank - 1], x[:-1]])


def _shape(args: Sequence[Any], kwargs: dict[str, Any]) -> tuple[int, ...]:
    """The shape that ``torch.rand(...)`` was asked for; taken out of ``kwargs`` if it was named."""
    if not args:
        return tuple(kwargs.pop("size"))
    return tuple(args) if isinstance(args[0], int) else tuple(args[0])


def _bounds(args: Sequence[Any], kwargs: dict[str, Any]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(low and high, shape) of a call of ``torch.randint``."""
    numbers = [value for value in args if isinstance(value, int)]
    shapes = [value for value in args if not isinstance(value, int)]
    low = kwargs.pop("low", numbers[0] if len(numbers) > 1 else 0)
    high = kwargs.pop("high", numbers[-1] if numbers else None)
    return (low, high), tuple(shapes[0] if shapes else kwargs.pop("size"))
