"""Reads the constants of a TensorFlow Lite file in the order of its operations (needs ``pip install tflite``)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tflite

OPERATIONS = {code: name for name, code in vars(tflite.BuiltinOperator).items() if isinstance(code, int)}
TYPES = {0: np.float32, 1: np.float16, 2: np.int32}


def weights_in_order(path: Path) -> list[np.ndarray]:
    """Every floating-point constant with more than one element, as torch wants it, in the order of first use.

    Kernels become (out, in, height, width), slopes and vectors (C,). A depthwise convolution's bias has to be zero
    and is left out.
    """
    model = tflite.Model.GetRootAs(path.read_bytes())
    graph = model.Subgraphs(0)
    half_of: dict[int, int] = {}  # output of DEQUANTIZE -> its fp16 input
    weights = []
    for index in range(graph.OperatorsLength()):
        operator = graph.Operators(index)
        name = _operation(model, operator)
        inputs = [half_of.get(int(i), int(i)) for i in operator.InputsAsNumpy()]
        if name == "DEQUANTIZE":
            half_of[int(operator.OutputsAsNumpy()[0])] = inputs[0]
            continue
        constants = [c for c in (_constant(model, graph, i) for i in inputs) if c is not None]
        if name == "DEPTHWISE_CONV_2D":
            kernel, bias = constants
            if np.any(bias):
                raise ValueError("a depthwise convolution has a bias")
            weights.append(np.ascontiguousarray(kernel.transpose(3, 0, 1, 2)))
        else:
            weights.extend(_for_torch(constant) for constant in constants if constant.size > 1 or name == "CONV_2D")
    return weights


def _operation(model: tflite.Model, operator: tflite.Operator) -> str:
    code = model.OperatorCodes(operator.OpcodeIndex())
    return OPERATIONS[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]


def _constant(model: tflite.Model, graph: tflite.SubGraph, index: int) -> np.ndarray | None:
    tensor = graph.Tensors(index)
    buffer = model.Buffers(tensor.Buffer())
    if buffer.DataLength() == 0 or tensor.Type() == 2:  # a computed tensor, or shapes and axes
        return None
    shape = tensor.ShapeAsNumpy() if tensor.ShapeLength() else (1,)
    return buffer.DataAsNumpy().view(TYPES[tensor.Type()]).reshape(shape)


def _for_torch(constant: np.ndarray) -> np.ndarray:
    if constant.ndim == 4 and max(constant.shape[:2]) > 1:
        return np.ascontiguousarray(constant.transpose(0, 3, 1, 2))
    return constant.reshape(-1)
