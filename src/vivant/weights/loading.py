"""Read weights safely: tensors only, never code, and say in one sentence what is wrong with a file."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from vivant.core.errors import WeightsError

_SHOWN = 3  # keys of each kind that a report names
_PICKLE, _ZIP = b"\x80", b"PK\x03\x04"


def load_state(path: str | Path) -> dict[str, Tensor]:
    """All tensors of a weights file on the CPU; nested dictionaries become dotted keys.

    Reads safetensors and PyTorch files (told apart by content, not by name); a PyTorch file may hold nothing but
    tensors, numbers and containers, so no code of it ever runs.

    Raises:
        WeightsError: missing, a folder, empty, truncated, another kind of file, a pickle with code, or no tensors.
    """
    path = Path(path)
    head = _head(path)
    if _looks_like_safetensors(head):
        state = _read_safetensors(path)
    elif head.startswith((_ZIP, _PICKLE)):
        state = dict(_tensors(_read_pickle(path)))
    else:
        raise WeightsError(_what_else(path, head))
    if not state:
        raise WeightsError(f"The file {path} holds no tensors: give a file of weights.")
    return state


def read_metadata(path: str | Path) -> dict[str, str]:
    """The text entries of a safetensors header; empty for other kinds of weights files.

    Raises:
        WeightsError: as :func:`load_state`.
    """
    path = Path(path)
    if not _looks_like_safetensors(_head(path)):
        return {}
    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except SafetensorError as error:
        raise _damaged(path) from error


def load_strict(module: nn.Module, state: Mapping[str, Tensor], origin: str) -> None:
    """Load ``state`` into ``module`` where every key and shape fits; numbers are cast to the module's type.

    Args:
        module: receives the weights; it is unchanged when an error is raised.
        state: tensors by key.
        origin: where they come from, for the report.

    Raises:
        WeightsError: names missing, unexpected and wrongly shaped keys.
    """
    report = mismatch_report(module, state)
    if report:
        raise WeightsError(f"The weights in {origin} belong to another model or preset: {report}.")
    module.load_state_dict(dict(state))


def mismatch_report(module: nn.Module, state: Mapping[str, Tensor]) -> str:
    """What of ``state`` does not fit ``module``, as part of a sentence; empty if all fits."""
    return _report(module.state_dict(), state)


def check_part(module: nn.Module, state: Mapping[str, Tensor], part: str, origin: str) -> None:
    """Refuse a file that should hold one part of ``module``: all keys with ``part`` in their names, and no others.

    Raises:
        WeightsError: names missing, unexpected and wrongly shaped keys of the file ``origin``.
    """
    report = _report({key: value for key, value in module.state_dict().items() if part in key}, state)
    if report:
        raise WeightsError(f"The weights in {origin} belong to another model or preset: {report}.")


def _report(want: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> str:
    shapes = [
        f"{key} is {tuple(state[key].shape)} instead of {tuple(want[key].shape)}"
        for key in want
        if key in state and state[key].shape != want[key].shape
    ]
    kinds = {
        "missing": [key for key in want if key not in state],
        "unexpected": [key for key in state if key not in want],
        "of wrong shape": shapes,
    }
    return "; ".join(f"{len(keys)} {kind} ({_some(keys)})" for kind, keys in kinds.items() if keys)


def sha256(path: str | Path) -> str:
    """SHA-256 of a file as hexadecimal text.

    Raises:
        WeightsError: the file cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"The weights file {path} cannot be read ({error.strerror}): check the path.") from error


def _some(keys: list[str]) -> str:
    return ", ".join(keys[:_SHOWN]) + (", …" if len(keys) > _SHOWN else "")


def _head(path: Path) -> bytes:
    if path.is_dir():
        raise WeightsError(f"{path} is a folder, not a weights file: give the file inside it.")
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except FileNotFoundError:
        raise WeightsError(f"There is no weights file {path}: check the path or download it first.") from None
    except OSError as error:
        raise WeightsError(f"The weights file {path} cannot be read ({error.strerror}): check its rights.") from error
    if not head:
        raise WeightsError(f"The weights file {path} is empty: download it again.")
    return head


def _looks_like_safetensors(head: bytes) -> bool:
    return len(head) > 8 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 100_000_000


def _what_else(path: Path, head: bytes) -> str:
    text = head.lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        return f"{path} is a web page, not weights: download the file itself, not the page that shows it."
    if text.startswith(b"version https://git-lfs"):
        return f"{path} is a Git LFS pointer, not the weights: fetch the real file with 'git lfs pull'."
    return f"{path} is not a weights file: give a .safetensors file or a PyTorch .pth, .pt or .bin file."


def _damaged(path: Path) -> WeightsError:
    return WeightsError(f"The weights file {path} is truncated or damaged: download or copy it again.")


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise _damaged(path) from error


def _read_pickle(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "WeightsUnpickler" in str(error) or "GLOBAL" in str(error):
            raise WeightsError(
                f"{path} holds Python code or objects besides tensors, which could run anything: "
                "it is not opened; ask its maker for a safetensors file."
            ) from error
        raise _damaged(path) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise _damaged(path) from error


def _tensors(value: Any, prefix: str = "") -> list[tuple[str, Tensor]]:
    """(dotted key, tensor) pairs of nested dictionaries; numbers and text are passed over."""
    if isinstance(value, Tensor):
        return [(prefix, value)]
    if not isinstance(value, Mapping):
        return []
    return [pair for key, part in value.items() for pair in _tensors(part, f"{prefix}.{key}" if prefix else str(key))]
