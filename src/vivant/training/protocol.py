"""What the loop expects from a method's objective and from its samples."""

from __future__ import annotations

from typing import Any, Protocol

from torch import Generator, Tensor, nn

Batch = dict[str, Tensor]


class Objective(Protocol):
    """A method's training aim for one stage, built as ``Objective(modules, config, stage, device)``.

    Everything it computes must be free of host synchronisation, so that a step can be captured as one graph.
    """

    critics: dict[str, nn.Module]

    def augment(self, raw: Batch, generator: Generator | None) -> Batch:
        """Turn gathered samples into a batch, drawing all randomness from ``generator`` (on the device)."""

    def losses(self, batch: Batch, adversarial: bool) -> tuple[Batch, Batch]:
        """Weighted scalar terms, and auxiliary tensors for the critics (detached)."""

    def critic_losses(self, batch: Batch, aux: Batch) -> Batch:
        """Scalar terms the critics learn from."""

    def sheet(self, batch: Batch, modules: dict[str, nn.Module]) -> Tensor:
        """Images (N,3,H,W) in 0..1: rows of B images each (source, driver, result, ...)."""


class Samples(Protocol):
    """Training samples that live on the device and are addressed by integers."""

    def draw(self, step: int, seed: int, batch: int, mix: dict[str, float], rank: int = 0, world: int = 1) -> Tensor:
        """Indices (batch, N) int64 on the CPU: a pure function of its arguments. ``batch`` is the part of
        this rank; the parts of all ranks together do not depend on ``world``."""

    def gather(self, index: Tensor) -> Batch:
        """Samples for indices (B, N) on the device, without host synchronisation."""

    def describe(self, index: Tensor) -> list[str]:
        """A readable name for each row of indices (B, N)."""


ObjectiveFactory = Any
"""Callable ``(modules, config, stage, device) -> Objective``."""
