"""Runs one bundled TensorFlow Lite file on the CPU."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator

import numpy as np

from vivant.weights.assets import asset


class Runtime:
    """One net, ready to call. Threads that call it at once wait for each other: LiteRT itself refuses the second."""

    def __init__(self, name: str, threads: int = 2) -> None:
        """Load the bundled file ``name``; ``threads`` is the number of CPU threads it may use.

        Raises:
            WeightsError: the bundled file is missing or damaged.
        """
        from ai_edge_litert.interpreter import Interpreter  # here, so that torch-only users of this room need no LiteRT

        with _quiet_stderr():
            self._net = Interpreter(model_path=str(asset(name)), num_threads=threads)
            self._net.allocate_tensors()
        self._input = self._net.get_input_details()[0]["index"]
        self._one = threading.Lock()
        self._outputs = [detail["index"] for detail in self._net.get_output_details()]

    def __call__(self, value: np.ndarray) -> list[np.ndarray]:
        """All outputs for the input ``value`` (float32, in the file's own shape)."""
        with self._one:
            self._net.set_tensor(self._input, value)
            self._net.invoke()
            return [self._net.get_tensor(index) for index in self._outputs]


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[None]:
    """LiteRT announces its CPU delegate on stderr from C++; that is noise on every start of the program."""
    try:
        saved = os.dup(2)
    except OSError:  # the program runs without stderr: nothing to keep quiet
        yield
        return
    sink = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(sink, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(sink)
