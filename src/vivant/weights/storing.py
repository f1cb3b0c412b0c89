"""Tensors into a safetensors file that others may read as any other file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor


def store(state: Mapping[str, Tensor], path: str | Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write contiguous tensors; the file's rights are those of the process's umask, where safetensors leaves it to its
    owner alone.

    Raises:
        OSError, SafetensorError: it cannot be written.
    """
    save_file(dict(state), path, dict(metadata) if metadata else None)
    mask = os.umask(0)
    os.umask(mask)
    os.chmod(path, 0o666 & ~mask)
