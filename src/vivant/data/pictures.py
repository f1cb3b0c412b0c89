"""Single pictures out of a pack, for nets that learn from pictures alone."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from vivant.data.device import to_device
from vivant.data.mix import draw_members, group_members
from vivant.data.pack import Pack, read_pack


class PackedPictures:
    """All frames of a pack as samples (:class:`vivant.training.protocol.Samples`), each frame of a group as likely."""

    def __init__(self, pack: Pack, device: torch.device | str = "cpu") -> None:
        self.rows, self.device = pack.rows, torch.device(device)
        self.frames = to_device(pack.frames, self.device)
        self._clip, self._starts = pack.clip_of, pack.starts
        self._groups = group_members(np.array([row.group for row in pack.rows])[self._clip])

    @classmethod
    def load(
        cls,
        folder: str | os.PathLike[str],
        device: torch.device | str = "cpu",
        split: str = "train",
        groups: Sequence[str] | None = None,
        seed: int = 0,
        workers: int | None = None,
    ) -> PackedPictures:
        """Read a pack. Raises MediaError or ConfigError as :func:`vivant.data.pack.read_pack`."""
        return cls(read_pack(folder, split, groups, workers), device)

    def draw(self, step: int, seed: int, batch: int, mix: dict[str, float], rank: int = 0, world: int = 1) -> Tensor:
        """Frame numbers (batch, 1) int64 on the CPU.

        Raises:
            ConfigError: the mix names a group the data does not have.
        """
        rng = np.random.default_rng([seed, step])
        index = draw_members(self._groups, mix, batch * world, rng)
        index = index[rng.permutation(batch * world)][:, None]
        return torch.from_numpy(index[rank * batch : (rank + 1) * batch])

    def gather(self, index: Tensor) -> dict[str, Tensor]:
        """``image`` (B, 3, H, W) uint8 for numbers (B, 1) on the data's device, with index selection only."""
        return {"image": self.frames.index_select(0, index[:, 0]).permute(0, 3, 1, 2)}

    def describe(self, index: Tensor) -> list[str]:
        """Names such as ``clip_id[3]``."""
        numbers = index[:, 0].cpu().tolist()
        return [f"{self.rows[self._clip[n]].id}[{n - self._starts[self._clip[n]]}]" for n in numbers]
