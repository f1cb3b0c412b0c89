"""Motion of faces with the sound they speak, without pictures: what methods learn from that make motion of speech.

A folder holds ``motion.safetensors``: N frames of C clips at 25 a second, one after another. ``numbers`` (N, 42)
float16 rows of ``vivant.core.face_motion``; ``sound`` (N, T, H) int8 in units of ``sound_unit`` (H,), what is kept of
the features of a speech encoder by ``heard_mean`` (D,) and ``heard_basis`` (D, H); ``voiced`` (N,) uint8 in 1/255;
``shapes`` (C, S) of the faces; ``rigid_rows``, ``rigid_points`` of the template that they were told by; in the header
``clips``, a JSON list of id, person, group, split, frames, and ``encoder``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vivant.core.errors import ConfigError, MediaError
from vivant.data.device import to_device
from vivant.data.mix import draw_members, group_members

PACK = "motion.safetensors"
_FRAME_ARRAYS = ("numbers", "sound", "voiced")
_OTHERS = ("shapes", "sound_unit", "heard_mean", "heard_basis", "rigid_rows", "rigid_points")


@dataclass(frozen=True)
class MotionClip:
    """One clip. ``group``: names of one beginning, before a ``-``, have one style of motion."""

    id: str
    person: str
    group: str
    split: str
    frames: int


def write_motions(
    path: Path, clips: Sequence[MotionClip], arrays: Mapping[str, np.ndarray], encoder: str, notes: Mapping[str, str]
) -> Path:
    """Write a pack; it appears whole or not at all. ``notes``: more text for the header, such as licence and credit."""
    from safetensors.numpy import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    told = {"clips": json.dumps([asdict(clip) for clip in clips]), "encoder": encoder, **notes}
    save_file({name: np.ascontiguousarray(arrays[name]) for name in (*_FRAME_ARRAYS, *_OTHERS)}, part, told)
    os.replace(part, path)
    return path


class FaceMotions:
    """Windows of clips (:class:`vivant.training.protocol.Samples`).

    ``length``: frames of a window; shorter clips are left out. ``styles``: beginning of a group's name -> number of its
    style of motion.
    """

    def __init__(
        self,
        clips: Sequence[MotionClip],
        arrays: Mapping[str, np.ndarray],
        device: torch.device | str = "cpu",
        length: int = 64,
        styles: Mapping[str, int] | None = None,
    ) -> None:
        starts = np.concatenate([[0], np.cumsum([clip.frames for clip in clips])])
        kept = [number for number, clip in enumerate(clips) if clip.frames >= length]
        if not kept:
            raise ConfigError(f"The data has no clip of {length} frames or more: pack longer clips.")
        self.clips, self.length, self.device = [clips[k] for k in kept], length, torch.device(device)
        self._starts = starts[:-1][kept]
        self._choices = np.array([clip.frames for clip in self.clips]) - length + 1
        self._groups = group_members([clip.group for clip in self.clips])
        order = styles if styles is not None else {}
        self._style = np.array([order.get(clip.group.partition("-")[0], 0) for clip in self.clips], np.int64)
        self._shape_rows = np.array(kept, np.int64)
        self.arrays = {name: arrays[name] for name in _OTHERS}
        self.numbers = to_device(arrays["numbers"], self.device)
        self._sound = to_device(arrays["sound"], self.device)
        self._voiced = to_device(arrays["voiced"], self.device)
        self._unit = to_device(arrays["sound_unit"].astype(np.float32), self.device)
        self._shapes = to_device(arrays["shapes"].astype(np.float32), self.device)
        self._steps = torch.arange(length, device=self.device)

    @classmethod
    def load(
        cls,
        folder: str | os.PathLike[str],
        device: torch.device | str = "cpu",
        split: str = "train",
        groups: Sequence[str] | None = None,
        seed: int = 0,
        workers: int | None = None,
        **options: object,
    ) -> FaceMotions:
        """Read a pack; ``options`` as in the class.

        Raises:
            MediaError: the pack is missing or damaged. ConfigError: nothing of that split, or an unknown option.
        """
        clips, arrays = read_motions(Path(folder))
        starts = np.concatenate([[0], np.cumsum([clip.frames for clip in clips])])
        chosen = [k for k, c in enumerate(clips) if c.split == split and (not groups or c.group in groups)]
        if not chosen:
            raise ConfigError(f"{folder} has no clip of the split '{split}' in these groups: it has other clips.")
        rows = np.concatenate([np.arange(starts[k], starts[k + 1]) for k in chosen])
        part = {**arrays, **{name: arrays[name][rows] for name in _FRAME_ARRAYS}, "shapes": arrays["shapes"][chosen]}
        try:
            return cls([clips[k] for k in chosen], part, device, **options)  # type: ignore[arg-type]
        except TypeError as error:
            raise ConfigError(f"The recipe's samples have an unknown option ({error}).") from error

    def draw(self, step: int, seed: int, batch: int, mix: dict[str, float], rank: int = 0, world: int = 1) -> Tensor:
        """Indices (batch, 4) int64 on the CPU: clip, first frame, row of its shape, style.

        Raises:
            ConfigError: the mix names a group the data does not have.
        """
        rng = np.random.default_rng([seed, step])
        clip = draw_members(self._groups, mix, batch * world, rng)
        first = self._starts[clip] + (rng.random(len(clip)) * self._choices[clip]).astype(np.int64)
        index = np.stack([clip, first, self._shape_rows[clip], self._style[clip]], 1)[rng.permutation(len(clip))]
        return torch.from_numpy(index[rank * batch : (rank + 1) * batch])

    def gather(self, index: Tensor) -> dict[str, Tensor]:
        """Windows for indices (B, 4), with index selection only: ``numbers`` (B, N, 42), ``sound`` (B, N, T H),
        ``voiced`` (B, N) in 0..1, ``shape`` (B, S), all float32, ``style`` (B,) int64."""
        _, first, shape, style = index.unbind(1)
        rows = (first[:, None] + self._steps).flatten()

        def windows(values: Tensor) -> Tensor:
            return values.index_select(0, rows).unflatten(0, (len(index), self.length)).float()

        return {
            "numbers": windows(self.numbers),
            "sound": (windows(self._sound) * self._unit).flatten(2),
            "voiced": windows(self._voiced) / 255,
            "shape": self._shapes.index_select(0, shape),
            "style": style,
        }

    def describe(self, index: Tensor) -> list[str]:
        """Names such as ``clip_id[12]``, the first frame in brackets."""
        rows = index.cpu().tolist()
        return [f"{self.clips[clip].id}[{first - self._starts[clip]}]" for clip, first, _, _ in rows]


def read_motions(folder: Path) -> tuple[list[MotionClip], dict[str, np.ndarray]]:
    """Clips and arrays of a pack.

    Raises:
        MediaError: missing or damaged.
    """
    from safetensors import SafetensorError, safe_open

    path = folder / PACK if folder.is_dir() else folder
    try:
        with safe_open(str(path), framework="numpy") as file:
            clips = [MotionClip(**row) for row in json.loads((file.metadata() or {})["clips"])]
            arrays = {name: file.get_tensor(name) for name in (*_FRAME_ARRAYS, *_OTHERS)}
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise MediaError(f"{path} is no pack of motion or is damaged ({error}): pack the data again.") from error
    total = sum(clip.frames for clip in clips)
    if any(len(arrays[name]) != total for name in _FRAME_ARRAYS) or len(arrays["shapes"]) != len(clips):
        raise MediaError(f"{path} does not hold what its header says: pack the data again.")
    return clips, arrays
