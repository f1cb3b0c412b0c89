"""Running a step as one captured CUDA graph, so that the host launches one thing instead of thousands of
kernels."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable

import torch

WARM_STEPS = 3
"""Steps run eagerly on a side stream before a capture (lazy initialisation must not be captured)."""


class CapturedStep:
    """Calls ``compute(mode)``; on CUDA from the fourth call of a mode on as a graph.

    The warm-up steps are real steps. If the capture fails, a warning says why and everything goes on eagerly.
    ``generators``: the random generators the step draws from besides the default one.
    """

    def __init__(
        self,
        compute: Callable[..., None],
        device: torch.device,
        generators: list[torch.Generator],
        enabled: bool,
    ) -> None:
        self._compute, self._device, self._generators = compute, device, generators
        self.enabled = enabled and device.type == "cuda"
        self._stream = torch.cuda.Stream(device) if self.enabled else None
        self._mode: Hashable = None
        self._calls = 0
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, mode: Hashable) -> None:
        """One step of the given mode; a new mode is captured anew."""
        if not self.enabled:
            self._compute(mode)
            return
        if mode != self._mode:
            self._mode, self._calls, self._graph = mode, 0, None
        self._calls += 1
        if self._calls <= WARM_STEPS:
            self._on_side_stream()
            return
        if self._graph is None:
            self._graph = self._capture()
        if self._graph is None:
            self._compute(mode)
        else:
            self._graph.replay()

    def release(self) -> None:
        """Let go of the graph, after the device's work is done.

        A communicator of several processes whose messages were captured waits at its end for every such graph: a
        process that left with one would hang.
        """
        if self._graph is not None:
            torch.cuda.synchronize(self._device)
            self._mode, self._calls, self._graph = None, 0, None

    def _on_side_stream(self) -> None:
        assert self._stream is not None
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._stream):
            self._compute(self._mode)
        torch.cuda.current_stream(self._device).wait_stream(self._stream)

    def _capture(self) -> torch.cuda.CUDAGraph | None:
        torch.cuda.synchronize(self._device)
        graph = torch.cuda.CUDAGraph()
        for generator in self._generators:
            graph.register_generator_state(generator)
        try:
            # several processes: NCCL's watchdog asks the device from a thread of its own, which is no reason to fail
            with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
                self._compute(self._mode)
        except RuntimeError as error:
            self._recover(error)
            return None
        return graph

    def _recover(self, error: RuntimeError) -> None:
        """Go on eagerly; generators caught in a broken capture get a fresh state."""
        self.enabled = False
        reason = " ".join(str(error.__context__ or error).split())[:300]
        warnings.warn(f"The step cannot be captured as a graph, training goes on eagerly: {reason}", stacklevel=2)
        default = torch.cuda.default_generators[self._device.index or 0]
        for generator in (*self._generators, default):
            seed = generator.initial_seed()
            generator.graphsafe_set_state(torch.Generator(self._device).graphsafe_get_state())
            generator.manual_seed(seed)
