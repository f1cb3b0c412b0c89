"""Flow matching on straight paths (arXiv 2210.02747, 2209.03003): x_t = (1 - t) noise + t clean, and its velocity is
clean - noise.

Time runs from 0, noise, to 1, clean; the path is integrated by Euler's rule. Axis letters: B batch.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator, Tensor


def on_path(clean: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """x_t for times ``t`` (B,) in 0..1; all of one shape (B, ...)."""
    return noise + _over(t, clean) * (clean - noise)


def end_of_path(x: Tensor, velocity: Tensor, t: Tensor) -> Tensor:
    """The clean sample that a velocity at time ``t`` (B,) points to: x_t + (1 - t) v."""
    return x + (1 - _over(t, x)) * velocity


def logit_normal_times(count: int, generator: Generator | None, device: torch.device) -> Tensor:
    """(B,) times, the logistic function of a normal draw (arXiv 2403.03206): most in the middle of the path."""
    return torch.randn(count, generator=generator, device=device).sigmoid()


def integrate(field: Callable[[Tensor, Tensor], Tensor], noise: Tensor, steps: int) -> Tensor:
    """From ``noise`` (B, ...) to a sample by ``steps`` steps of Euler; ``field(x, t)`` answers with the velocity."""
    x = noise
    for step in range(steps):
        t = torch.full((len(x),), step / steps, device=x.device)
        x = x + field(x, t) / steps
    return x


def _over(t: Tensor, like: Tensor) -> Tensor:
    return t.reshape(-1, *[1] * (like.ndim - 1))
