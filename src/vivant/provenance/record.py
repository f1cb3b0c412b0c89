"""The run record: everything needed to repeat a run, as JSON beside its output."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import platform
from fractions import Fraction
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from vivant.core.errors import MediaError

PACKAGES = ("torch", "numpy", "scipy", "opencv-python-headless", "av", "ai-edge-litert", "safetensors")


def sha256_file(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file as hexadecimal text, read in pieces of 1 MiB."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while piece := stream.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def describe_input(value: Any) -> dict[str, Any]:
    """Name and SHA-256 of an input: a file, a folder (its entries' names and hashes), an array or a live
    clip."""
    if isinstance(value, np.ndarray):
        content = np.ascontiguousarray(value)
        return {"name": f"array {content.shape}", "sha256": hashlib.sha256(content.tobytes()).hexdigest()}
    if not isinstance(value, (str, os.PathLike)):
        return {"name": type(value).__name__, "sha256": None}
    path = Path(value)
    if path.is_dir():
        digest = hashlib.sha256()
        for entry in sorted(entry for entry in path.iterdir() if entry.is_file()):
            digest.update(f"{entry.name} {sha256_file(entry)}\n".encode())
        return {"name": path.name, "sha256": digest.hexdigest()}
    return {"name": path.name, "sha256": sha256_file(path) if path.is_file() else None}


def versions() -> dict[str, str]:
    """Versions of Vivant, Python and the packages whose numbers shape the frames."""
    found = {"vivant": _version("vivant"), "python": platform.python_version()}
    return found | {name: _version(name) for name in PACKAGES}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def plain(value: Any) -> Any:
    """``value`` in JSON's words: dataclasses as objects, fractions as "a/b", paths as names, arrays as
    lists."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, Fraction):
        return f"{value.numerator}/{value.denominator}"
    if isinstance(value, os.PathLike):
        return Path(value).name
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def write_record(output: str | os.PathLike[str], record: dict[str, Any]) -> Path:
    """Write ``record`` to ``<output>.json`` in one step and return that path.

    Raises:
        MediaError: the folder cannot be written.
    """
    path = Path(f"{os.fspath(output)}.json")
    partial = path.with_name(f".{path.name}.part")
    try:
        partial.write_text(json.dumps(plain(record), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        why = error.strerror or error
        raise MediaError(f"The run record {path} cannot be written ({why}): choose another folder.") from error
    return path
