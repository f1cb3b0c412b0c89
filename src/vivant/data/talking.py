"""Speaking faces out of a pack, for methods that draw a frame from the frames before and the sound around it."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from vivant.core.errors import ConfigError
from vivant.data.device import to_device
from vivant.data.mix import draw_members, group_members
from vivant.data.pack import TABLE, Pack, read_pack


class TalkingFrames:
    """Frames with their predecessors, an identity frame and sound (:class:`vivant.training.protocol.Samples`).

    The pack brings, a frame each, ``mouth`` (4,) boxes in pixels and the features of the encoder, (T, D) floating or
    int8 in units of ``table.<encoder>``. ``motion``: predecessors that are gathered; ``reach``: frames of sound on
    each side; ``identity``: "random" is another frame of the clip, "first" its first.
    """

    def __init__(
        self,
        pack: Pack,
        device: torch.device | str = "cpu",
        encoder: str = "whisper-tiny-en",
        motion: int = 2,
        reach: int = 2,
        identity: str = "random",
    ) -> None:
        for name in ("mouth", encoder):
            if name not in pack.arrays:
                raise ConfigError(f"The pack brings no '{name}', it has {sorted(pack.arrays)}: pack the data again.")
        if identity not in ("random", "first"):
            raise ConfigError(f"There is no identity choice '{identity}': use random or first.")
        if motion < 0 or reach < 0:
            raise ConfigError("The numbers of motion frames and neighbours must be 0 or more.")
        self.rows, self.device, self.motion, self.reach = pack.rows, torch.device(device), motion, reach
        self._random = identity == "random"
        self.frames = to_device(pack.frames, self.device)
        self._sound = to_device(pack.arrays[encoder], self.device)
        unit = pack.arrays.get(TABLE + encoder, np.ones(1, np.float32))
        self._unit = to_device(np.asarray(unit, np.float32), self.device)
        self._mouth = to_device(pack.arrays["mouth"].astype(np.float32), self.device)
        self.starts, self._clip = pack.starts, pack.clip_of
        self._back = torch.arange(motion, 0, -1, device=self.device)
        self._around = torch.arange(-reach, reach + 1, device=self.device)
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
        **options: object,
    ) -> TalkingFrames:
        """Read a pack; ``options`` as in the class.

        Raises:
            MediaError: the pack is missing or damaged. ConfigError: nothing of that split, or an unknown option.
        """
        pack = read_pack(folder, split, groups, workers)
        try:
            return cls(pack, device, **options)  # type: ignore[arg-type]
        except TypeError as error:
            raise ConfigError(f"The recipe's samples have an unknown option ({error}).") from error

    def draw(self, step: int, seed: int, batch: int, mix: dict[str, float], rank: int = 0, world: int = 1) -> Tensor:
        """Indices (batch, 4) int64 on the CPU: frame, identity frame, first frame of the clip, last frame of the clip.

        Raises:
            ConfigError: the mix names a group the data does not have.
        """
        rng = np.random.default_rng([seed, step])
        total = batch * world
        frame = draw_members(self._groups, mix, total, rng)
        clip = self._clip[frame]
        first, last = self.starts[clip], self.starts[clip + 1] - 1
        other = first + (rng.random(total) * (last - first)).astype(np.int64)  # any frame but the drawn one
        other = np.where(other >= frame, other + 1, other)
        identity = np.minimum(other, last) if self._random else first
        index = np.stack([frame, identity, first, last], 1)[rng.permutation(total)]
        return torch.from_numpy(index[rank * batch : (rank + 1) * batch])

    def gather(self, index: Tensor) -> dict[str, Tensor]:
        """Samples for indices (B, 4) on the data's device, with index selection only.

        ``frame``, ``identity`` (B, 3, S, S) uint8; ``motion`` (B, M, 3, S, S) uint8, the frames before, oldest first,
        the identity frame where the clip had not begun; ``audio`` (B, 2R + 1, T, D) float32, the frame's own in the
        middle, clamped to the clip; ``mouth``, ``identity_mouth`` (B, 4).
        """
        frame, identity, first, last = index.unbind(1)
        before = frame[:, None] - self._back
        before = torch.where(before >= first[:, None], before, identity[:, None])
        around = torch.minimum(torch.maximum(frame[:, None] + self._around, first[:, None]), last[:, None])
        sound = self._sound.index_select(0, around.flatten()).unflatten(0, around.shape)
        return {
            "frame": self._pictures(frame),
            "identity": self._pictures(identity),
            "motion": self._pictures(before.flatten()).unflatten(0, before.shape),
            "audio": sound.float() * self._unit,
            "mouth": self._mouth.index_select(0, frame),
            "identity_mouth": self._mouth.index_select(0, identity),
        }

    def _pictures(self, index: Tensor) -> Tensor:
        return self.frames.index_select(0, index).permute(0, 3, 1, 2)

    def describe(self, index: Tensor) -> list[str]:
        """Names such as ``clip_id[7<-3]``, frame and identity frame."""
        names = []
        for frame, identity, first, _ in index.cpu().tolist():
            names.append(f"{self.rows[self._clip[frame]].id}[{frame - first}<-{identity - first}]")
        return names
