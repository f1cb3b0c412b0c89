"""Nets that were written as ONNX, run by onnxruntime on the CPU, in the clothes of a torch module."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from vivant.core.errors import MissingExtraError, WeightsError


@dataclass(frozen=True)
class Part:
    """A net that can be written as one ONNX file. ``module``: takes and gives tensors with B rows, in the order of
    ``inputs`` and ``outputs``; ``example``: two rows of each input; ``tolerance``: largest difference from torch that
    is rounding, in the output's own unit; ``shared``: inputs that may have one row for all."""

    module: nn.Module
    example: tuple[Tensor, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    tolerance: float
    shared: tuple[str, ...] = ()


class OnnxNet(nn.Module):
    """One ONNX file. May be called from several threads at once; each call uses up to torch's number of threads.

    Raises:
        MissingExtraError: onnxruntime is not installed. WeightsError: the file is missing or damaged.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        try:
            import onnxruntime
        except ImportError:
            raise MissingExtraError("onnxruntime", "onnx", "Running exported nets") from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        options.add_session_config_entry(
            "session.intra_op.allow_spinning", "0"
        )  # idle threads leave the core to others
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's errors have no common class of their own
            raise WeightsError(f"The file {path} cannot be run as ONNX: export it again.") from error
        self._names = [item.name for item in self._session.get_inputs()]

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """All outputs as float32 tensors on the CPU."""
        arrays = {name: value.detach().float().cpu().numpy() for name, value in zip(self._names, inputs, strict=True)}
        return tuple(torch.from_numpy(value) for value in self._session.run(None, arrays))


def resize_matrix(size: int, target: int) -> Tensor:
    """(target, size) matrix that resizes one axis as ``F.interpolate(mode="bilinear", antialias=True)`` does, which the
    exporter has no word for: resized = matrix @ picture @ matrix.T."""
    eye = torch.eye(size).view(1, 1, size, size)
    resized: Tensor = nn.functional.interpolate(eye, (target, size), mode="bilinear", antialias=True)
    return resized[0, 0]
