"""Read a pickle that should hold only numbers, without running anything it contains.

The released motion templates are pickles of dicts, lists and numpy arrays. Nothing of numpy is handed to the file
either: arrays are rebuilt from their bytes here, because numpy trusts the flags that a pickled dtype claims.
"""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from vivant.core.errors import WeightsError


class _DType:
    """Stands in for numpy.dtype; plain numbers only."""

    def __init__(self, name: str, *flags: object) -> None:
        self.dtype = np.dtype(name)
        if self.dtype.kind not in "fiub":
            raise pickle.UnpicklingError(f"it holds an array of type {name}")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """Stands in for numpy.ndarray; numpy sees it as an array."""

    def __init__(self, *shape_and_type: object) -> None:
        self._values = np.zeros(0)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        shape, kind, fortran, data = state[-4:]
        self._values = _from_buffer(data, kind, shape, "F" if fortran else "C")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self._values.astype(dtype or self._values.dtype)


def _from_buffer(buffer: bytes, kind: _DType, shape: tuple[int, ...], order: Any = "C", *_: object) -> np.ndarray:
    return np.frombuffer(buffer, kind.dtype).reshape(shape, order=order)


def _scalar(kind: _DType, data: bytes) -> float:
    return float(np.frombuffer(data, kind.dtype)[0])


def _latin_bytes(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it holds text in {encoding}")
    return text.encode("latin1")


_STAND_INS: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _DType,
    ("_codecs", "encode"): _latin_bytes,
}


class _CodeError(Exception):
    """The pickle names something that is not numbers."""


class _NumbersOnly(pickle.Unpickler):
    """An unpickler that knows the names of arrays and no other (dicts, lists, numbers and text need no name)."""

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in of a name; numpy 2 calls numpy.core numpy._core."""
        known = _STAND_INS.get((module.replace("numpy._core", "numpy.core"), name))
        if known is None:
            raise _CodeError(f"{module}.{name}")
        return known


def read_numbers(path: Path) -> Any:
    """Dicts, lists, numbers, text and array-likes of a pickle.

    Raises:
        WeightsError: the file is missing, damaged, or contains code.
    """
    try:
        return _NumbersOnly(io.BytesIO(path.read_bytes())).load()
    except _CodeError as error:
        raise WeightsError(f"{path} contains code ({error}), which numbers never need: do not open it.") from error
    except Exception as error:  # a damaged pickle can raise anything
        raise WeightsError(f"{path} is damaged or no pickle of numbers: copy it again or make it anew.") from error
