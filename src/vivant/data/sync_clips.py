"""Lower faces and their sound on the training device: what the sync net learns from.

A sample is a segment of a clip: 29 frames, which hold 25 windows of five, and the 116 steps of sound that belong to
them. All frames are kept as bytes on the device and drawn by pure functions of (seed, step).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vivant.core.errors import ARRAY_ERRORS, ConfigError
from vivant.data.frames import Job, decode
from vivant.data.manifest import Row, read_manifest
from vivant.data.mix import shares_of

SEGMENT = 29
"""Frames of a sample."""
STEPS = 4
"""Steps of sound in a frame."""
_TOGETHER = 64  # clips decoded at once


class SyncClips:
    """C clips with N frames in all. ``starts``, ``mel_starts`` (C + 1,): first frame and step of sound of each, and N.

    Build with :meth:`load`, or from frames (N, H, W) uint8, the clips' rows, and for each the log-mel energies (T, 40)
    of its sound, T at least four times its frames less one.
    """

    def __init__(
        self, frames: Tensor, rows: Sequence[Row], mels: Sequence[np.ndarray], device: torch.device | str = "cpu"
    ) -> None:
        self.rows, self.device = list(rows), torch.device(device)
        lengths = np.array([row.frames for row in rows])
        self.starts = np.concatenate([[0], np.cumsum(lengths)])
        self._choices = lengths - SEGMENT  # the last window of a clip has one step of sound too few
        self._groups = {group: np.flatnonzero([row.group == group for row in rows]) for group in _names(rows)}
        self.mel_starts = np.cumsum([0, *(len(mel) for mel in mels)])
        self.frames = frames.to(self.device)
        self.mel = torch.from_numpy(np.concatenate(mels)).to(self.device)
        self._frame_start = torch.from_numpy(self.starts[:-1].astype(np.int64)).to(self.device)
        self._mel_start = torch.from_numpy(self.mel_starts[:-1].astype(np.int64)).to(self.device)
        self._frame_steps = torch.arange(SEGMENT, device=self.device)
        self._mel_steps = torch.arange(SEGMENT * STEPS, device=self.device)

    @classmethod
    def load(
        cls, folder: str | os.PathLike[str], device: torch.device | str = "cpu", split: str = "train",
        groups: Sequence[str] | None = None, seed: int = 0, workers: int | None = None,
    ) -> SyncClips:  # fmt: skip
        """Read the clips of ``split`` (and of ``groups``, if given) that are long enough.

        Raises:
            ConfigError: there are none, or a row's sound is too short. MediaError: a file is missing or damaged.
        """
        root = Path(folder)
        rows = [row for row in read_manifest(root) if row.split == split and (not groups or row.group in groups)]
        rows = [row for row in rows if row.frames > SEGMENT]
        if not rows:
            raise ConfigError(f"{root} has no clip of split '{split}' with more than {SEGMENT} frames in these groups.")
        mels = [_read_mel(root, row) for row in rows]
        parts = [_grey(root, rows[at : at + _TOGETHER], workers) for at in range(0, len(rows), _TOGETHER)]
        return cls(torch.from_numpy(np.concatenate(parts)), rows, mels, device)

    def draw(self, step: int, seed: int, batch: int, mix: dict[str, float], rank: int = 0, world: int = 1) -> Tensor:
        """Indices (batch, 2) int64 on the CPU: clip and first frame in it; see
        :class:`vivant.training.protocol.Samples`. No clip comes twice in a batch unless its group is too small.

        Raises:
            ConfigError: the mix names a group the data does not have.
        """
        rng = np.random.default_rng([seed, step])
        total = batch * world
        clips = np.concatenate([self._pick(group, count, rng) for group, count in self._counts(mix, total, rng)])
        clips = clips[rng.permutation(total)]
        first = (rng.random(total) * self._choices[clips]).astype(np.int64)
        index = np.stack([clips, first], axis=1)
        return torch.from_numpy(index[rank * batch : (rank + 1) * batch])

    def _counts(self, mix: dict[str, float], total: int, rng: np.random.Generator) -> list[tuple[str, int]]:
        """Samples of each group, by systematic sampling of the shares (by size if the mix is empty)."""
        shares = shares_of(mix, {name: len(clips) for name, clips in self._groups.items()})
        names = sorted(shares)
        edges = np.cumsum([0.0, *(shares[name] for name in names)])
        places = np.floor(edges / edges[-1] * total + rng.random()).astype(int)
        places[0], places[-1] = 0, total
        return [(name, int(count)) for name, count in zip(names, np.diff(places))]

    def _pick(self, group: str, count: int, rng: np.random.Generator) -> np.ndarray:
        clips = self._groups[group]
        rounds = [rng.permutation(clips) for _ in range(-(-count // len(clips)))]
        return np.concatenate([*rounds, clips[:0]])[:count]

    def gather(self, index: Tensor) -> dict[str, Tensor]:
        """``frames`` (B, 29, H, W) uint8 and ``mel`` (B, 116, 40) float16 for indices (B, 2), on the data's device."""
        clip, first = index.unbind(1)
        frames = (self._frame_start.index_select(0, clip) + first)[:, None] + self._frame_steps
        steps = (self._mel_start.index_select(0, clip) + STEPS * first)[:, None] + self._mel_steps
        return {
            "frames": self.frames.index_select(0, frames.flatten()).unflatten(0, frames.shape),
            "mel": self.mel.index_select(0, steps.flatten()).unflatten(0, steps.shape),
        }

    def describe(self, index: Tensor) -> list[str]:
        """Names such as ``clip_id[12]``, the first frame in brackets."""
        return [f"{self.rows[clip].id}[{first}]" for clip, first in index.cpu().tolist()]


def _names(rows: Sequence[Row]) -> list[str]:
    return sorted({row.group for row in rows})


def _read_mel(root: Path, row: Row) -> np.ndarray:
    path = root / row.labels
    try:
        with np.load(path) as file:
            mel: np.ndarray = file["mel"].astype(np.float16)
    except ARRAY_ERRORS as error:
        raise ConfigError(f"{path} holds no sound features ({error}): prepare the data again.") from error
    if mel.ndim != 2 or len(mel) < STEPS * row.frames - 1:
        raise ConfigError(f"{path} has {len(mel)} steps of sound for {row.frames} frames: prepare the data again.")
    return mel


def _grey(root: Path, rows: Sequence[Row], workers: int | None) -> np.ndarray:
    """(n, H, W) uint8 of all frames of ``rows``."""
    ends = np.cumsum([row.frames for row in rows])
    jobs = [Job(root / row.video, False, int(end) - row.frames, row.frames) for row, end in zip(rows, ends)]
    return np.ascontiguousarray(decode(jobs, rows[0].size, workers)[..., 1])
