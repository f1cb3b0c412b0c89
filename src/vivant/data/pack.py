"""Packs: many frames in one file, coded, with arrays beside them; small enough to carry to a rented machine.

One safetensors file. ``coded`` (bytes) uint8 and ``offsets`` int64: N JPEGs (N + 1 offsets), or one movie for each clip
(clips + 1 offsets); any further arrays a data set needs, by name, with N rows (a frame each), or as many rows as there
are clips, or, where the name begins with ``table.``, of any length; the header's ``rows`` are the clips as JSON: id,
split, group, frames, and credit. No code can hide in it.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from vivant.core.errors import ConfigError, MediaError

PACK = "pack.safetensors"
_FRAMES = ("coded", "offsets")
TABLE = "table."
"""Beginning of the names of arrays that belong to the pack as a whole."""


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

    Args:
        path: of the file.
        coded: a JPEG for each frame (:func:`encode_frames`), or a movie file for each clip.
        rows: the clips.
        arrays: further arrays by name.

    Raises:
        ConfigError: the rows do not count the frames, or an array has another number of rows.
    """
    target = Path(path)
    total = sum(row.frames for row in rows)
    if len(coded) not in (total, len(rows)):
        raise ConfigError(f"The rows count {total} frames in {len(rows)} clips, but {len(coded)} are given.")
    extra: dict[str, np.ndarray] = dict(arrays or {})
    wrong = [n for n, value in extra.items() if len(value) not in (total, len(rows)) and not n.startswith(TABLE)]
    if wrong:
        raise ConfigError(f"The array '{wrong[0]}' has neither a row a frame nor a row a clip.")
    offsets = np.concatenate([[0], np.cumsum([len(c) for c in coded])]).astype(np.int64)
    tensors: dict[str, np.ndarray] = {"coded": np.frombuffer(b"".join(coded), np.uint8), "offsets": offsets, **extra}
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
    if len(tensors["offsets"]) == counts.sum() + 1:
        frames = _pictures(tensors["coded"], tensors["offsets"], kept, file, workers)
    else:
        frames = _movies(tensors["coded"], tensors["offsets"], [(i, rows[i].frames) for i in chosen], file, workers)
    arrays = {
        name: value if name.startswith(TABLE) else value[kept if len(value) == counts.sum() else chosen]
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
    if not all(name in tensors for name in _FRAMES) or len(tensors["offsets"]) not in (total + 1, len(rows) + 1):
        raise MediaError(f"{file} is not a pack of frames or is damaged: pack the data again.")
    return rows, tensors


def _pictures(
    coded: np.ndarray, offsets: np.ndarray, kept: np.ndarray, file: Path, workers: int | None
) -> np.ndarray:  # fmt: skip
    def one(number: int) -> np.ndarray:
        image = cv2.imdecode(coded[offsets[number] : offsets[number + 1]], cv2.IMREAD_COLOR)
        if image is None:
            raise MediaError(f"Frame {number} of {file} cannot be decoded: pack the data again.")
        return image[..., ::-1]

    def fill(place: int) -> None:
        frames[place] = _fitting(one(int(kept[place])), frames, file)

    frames = np.empty((len(kept), *one(int(kept[0])).shape), np.uint8)
    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        list(pool.map(fill, range(len(kept)), chunksize=64))
    return frames


def _movies(
    coded: np.ndarray, offsets: np.ndarray, clips: Sequence[tuple[int, int]], file: Path, workers: int | None
) -> np.ndarray:  # fmt: skip
    def one(number: int, count: int) -> list[np.ndarray]:
        import av

        try:
            with av.open(io.BytesIO(coded[offsets[number] : offsets[number + 1]].tobytes()), "r") as container:
                container.streams.video[0].thread_count = 1
                found = [f.to_ndarray(format="rgb24") for _, f in zip(range(count), container.decode(video=0))]
        except (av.error.FFmpegError, IndexError) as error:
            raise MediaError(f"Clip {number} of {file} cannot be decoded: pack the data again.") from error
        if len(found) < count:
            raise MediaError(f"Clip {number} of {file} has {len(found)} of {count} frames: pack the data again.")
        return found

    def fill(place: int) -> None:
        for offset, image in enumerate(one(*clips[place])):
            frames[starts[place] + offset] = _fitting(image, frames, file)

    starts = np.concatenate([[0], np.cumsum([count for _, count in clips])])
    frames = np.empty((starts[-1], *one(clips[0][0], 1)[0].shape), np.uint8)
    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        list(pool.map(fill, range(len(clips))))
    return frames


def _fitting(image: np.ndarray, frames: np.ndarray, file: Path) -> np.ndarray:
    if image.shape != frames.shape[1:]:
        raise MediaError(f"{file} mixes frames of several sizes: pack the data again with one size.")
    return image
