"""Packs: many frames in one file, JPEG-coded, with arrays beside them; small enough to carry to a rented machine.

One safetensors file. ``jpeg`` (bytes) uint8 and ``offsets`` (N + 1,) int64: the N coded frames; any further arrays a
data set needs, by name, with N rows (a frame each), or as many rows as there are clips; the header's ``rows`` are the
clips as JSON: id, split, group, frames, and credit. No code can hide in it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from vivant.core.errors import ConfigError, MediaError

PACK = "pack.safetensors"
_FRAMES = ("jpeg", "offsets")


@dataclass(frozen=True)
class PackRow:
    """One clip of a pack: its frames follow one another. ``group`` is the name a mix uses."""

    id: str
    person: str
    split: str
    group: str
    frames: int
    licence: str = ""
    credit: str = ""


@dataclass(frozen=True)
class Pack:
    """Decoded: ``frames`` (N, H, W, 3) uint8 RGB, ``rows`` in their order, ``arrays`` by name."""

    frames: np.ndarray
    rows: tuple[PackRow, ...]
    arrays: Mapping[str, np.ndarray]

    @property
    def starts(self) -> np.ndarray:
        """(clips + 1,) number of each clip's first frame, and N."""
        return np.concatenate([[0], np.cumsum([row.frames for row in self.rows])]).astype(np.int64)

    @property
    def clip_of(self) -> np.ndarray:
        """(N,) the clip of each frame."""
        return np.repeat(np.arange(len(self.rows)), [row.frames for row in self.rows])


def encode_frames(frames: Iterable[np.ndarray], quality: int = 92) -> list[bytes]:
    """Frames (H, W, 3) uint8 RGB as JPEG with full colour resolution."""
    options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x111111]
    return [cv2.imencode(".jpg", frame[..., ::-1], options)[1].tobytes() for frame in frames]


def write_pack(
    path: str | os.PathLike[str],
    coded: Sequence[bytes],
    rows: Sequence[PackRow],
    arrays: Mapping[str, np.ndarray] | None = None,
) -> Path:
    """Write a pack in one go (a reader never sees half of it).

    Raises:
        ConfigError: the rows do not count the frames, or an array has another number of rows.
    """
    target = Path(path)
    total = sum(row.frames for row in rows)
    if total != len(coded):
        raise ConfigError(f"The rows count {total} frames, but {len(coded)} are given.")
    extra: dict[str, np.ndarray] = dict(arrays or {})
    wrong = [name for name, value in extra.items() if len(value) not in (total, len(rows))]
    if wrong:
        raise ConfigError(f"The array '{wrong[0]}' has neither a row a frame nor a row a clip.")
    offsets = np.concatenate([[0], np.cumsum([len(c) for c in coded])]).astype(np.int64)
    tensors: dict[str, np.ndarray] = {"jpeg": np.frombuffer(b"".join(coded), np.uint8), "offsets": offsets, **extra}
    draft = target.with_name(target.name + ".part")
    target.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, draft, {"rows": json.dumps([asdict(row) for row in rows])})
    draft.replace(target)
    return target


def read_pack(
    path: str | os.PathLike[str],
    split: str | None = None,
    groups: Sequence[str] | None = None,
    workers: int | None = None,
) -> Pack:
    """Read a pack, or the file :data:`PACK` in a folder, and decode its frames.

    Args:
        path: file or folder.
        split: only the clips of this split.
        groups: only the clips of these groups.
        workers: threads that decode, one a core by default.

    Raises:
        MediaError: the file is missing or damaged. ConfigError: no clip of that split and those groups.
    """
    file = Path(path)
    file = file / PACK if file.is_dir() else file
    rows, tensors = _read(file)
    chosen = [
        i for i, row in enumerate(rows) if (split is None or row.split == split) and (not groups or row.group in groups)
    ]
    if not chosen:
        raise ConfigError(f"{file} has no clips of the split '{split}' in the groups {groups or 'all'}.")
    counts = np.array([row.frames for row in rows])
    kept = np.flatnonzero(np.isin(np.repeat(np.arange(len(rows)), counts), chosen))
    frames = _decode(tensors["jpeg"], tensors["offsets"], kept, file, workers)
    arrays = {
        name: value[kept] if len(value) == counts.sum() else value[chosen]
        for name, value in tensors.items()
        if name not in _FRAMES
    }
    return Pack(frames, tuple(rows[i] for i in chosen), arrays)


def _read(file: Path) -> tuple[list[PackRow], dict[str, np.ndarray]]:
    if not file.is_file():
        raise MediaError(f"{file} does not exist: pack the data first, or name another folder.")
    try:
        with safe_open(file, framework="np") as source:
            rows = [PackRow(**row) for row in json.loads((source.metadata() or {})["rows"])]
            tensors = {name: source.get_tensor(name) for name in source.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
        raise MediaError(f"{file} is not a pack of frames or is damaged ({error}): pack the data again.") from error
    total = sum(row.frames for row in rows)
    if not all(name in tensors for name in _FRAMES) or len(tensors["offsets"]) != total + 1:
        raise MediaError(f"{file} is not a pack of frames or is damaged: pack the data again.")
    return rows, tensors


def _decode(
    jpeg: np.ndarray, offsets: np.ndarray, kept: np.ndarray, file: Path, workers: int | None
) -> np.ndarray:  # fmt: skip
    def one(number: int) -> np.ndarray:
        image = cv2.imdecode(jpeg[offsets[number] : offsets[number + 1]], cv2.IMREAD_COLOR)
        if image is None:
            raise MediaError(f"Frame {number} of {file} cannot be decoded: pack the data again.")
        return image[..., ::-1]

    first = one(int(kept[0]))
    frames = np.empty((len(kept), *first.shape), np.uint8)

    def fill(place: int) -> None:
        image = one(int(kept[place]))
        if image.shape != first.shape:
            raise MediaError(f"{file} mixes frames of several sizes: pack the data again with one size.")
        frames[place] = image

    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        list(pool.map(fill, range(len(kept)), chunksize=64))
    return frames


def to_device(values: np.ndarray, device: torch.device, block: int = 4096) -> torch.Tensor:
    """An array on a device, copied in blocks so that no second copy of all of it is held."""
    tensor = torch.from_numpy(np.ascontiguousarray(values))
    if device.type == "cpu":
        return tensor
    out = torch.empty(tensor.shape, dtype=tensor.dtype, device=device)
    for at in range(0, len(tensor), block):
        out[at : at + block].copy_(tensor[at : at + block])
    return out


def systematic(shares: Mapping[str, float], total: int, rng: Any) -> tuple[list[str], np.ndarray]:
    """Names in order and, for each of ``total`` draws, the number of its name, so that shares are met exactly over many
    steps and to one draw within a step."""
    names = sorted(name for name, share in shares.items() if share > 0)
    edges = np.cumsum([shares[name] for name in names])
    spots = (np.arange(total) + rng.random()) / total * edges[-1]
    return names, np.minimum(np.searchsorted(edges, spots, side="right"), len(names) - 1)
