"""Windows of neighbouring frames of clips, with everything known of each frame, on the training device.

Nothing is decoded or encoded while training: a step needs only integers from the host, so it can be captured as a
graph, and a resumed run draws exactly what the first one would have drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vivant.core.errors import ConfigError
from vivant.data.mix import shares_of, systematic


@dataclass(frozen=True)
class WindowClip:
    """One clip: ``frames`` of them follow one another in the arrays. ``group``: the name that a mix uses."""

    id: str
    group: str
    frames: int


class ClipWindows:
    """Windows of ``length`` frames, each with a reference frame of the same clip.

    ``arrays``: by name (N, ...), one row a frame. ``mirrored``: names whose arrays hold twice N rows, the second half
    those of the mirrored pictures; half of the windows are mirrored then. Clips shorter than a window are left out.
    """

    def __init__(
        self, clips: Sequence[WindowClip], arrays: Mapping[str, Tensor], length: int, mirrored: Sequence[str] = ()
    ) -> None:
        self.clips, self.arrays, self.length, self.mirrored = list(clips), dict(arrays), length, tuple(mirrored)
        self.starts = np.concatenate([[0], np.cumsum([clip.frames for clip in clips])]).astype(np.int64)
        self.total = int(self.starts[-1])
        for name, values in arrays.items():
            wanted = 2 * self.total if name in mirrored else self.total
            if len(values) != wanted:
                raise ConfigError(f"The array '{name}' has {len(values)} rows where {wanted} are needed.")
        self._groups: dict[str, np.ndarray] = {}
        for number, clip in enumerate(clips):
            if clip.frames >= length:
                known = self._groups.get(clip.group, np.empty(0, np.int64))
                self._groups[clip.group] = np.append(known, number)
        if not self._groups:
            raise ConfigError(f"No clip has the {length} frames of a window: give longer clips.")
        self._offsets = torch.arange(length, device=next(iter(arrays.values())).device)

    def __len__(self) -> int:
        return self.total

    @property
    def groups(self) -> dict[str, int]:
        """Number of usable clips of each group."""
        return {name: len(found) for name, found in self._groups.items()}

    def draw(self, step: int, seed: int, batch: int, mix: dict[str, float], rank: int = 0, world: int = 1) -> Tensor:
        """Indices (batch, 4) int64 on the CPU: reference frame, first frame, clip, mirrored or not; see
        :class:`vivant.training.protocol.Samples`.

        Raises:
            ConfigError: the mix names a group the data does not have.
        """
        rng, total = np.random.default_rng([seed, step]), batch * world
        names, which = systematic(shares_of(mix, self.groups), total, rng)
        draws = rng.random((total, 4))
        rows = [self._window(self._groups[names[w]], draw) for w, draw in zip(which, draws)]
        index = np.array(rows, np.int64)[rng.permutation(total)]
        return torch.from_numpy(index[rank * batch : (rank + 1) * batch])

    def _window(self, clips: np.ndarray, draw: np.ndarray) -> tuple[int, int, int, int]:
        clip = int(clips[int(draw[0] * len(clips))])
        start, frames = int(self.starts[clip]), self.clips[clip].frames
        first = start + int(draw[1] * (frames - self.length + 1))
        reference = start + int(draw[2] * frames)
        return reference, first, clip, int(bool(self.mirrored) and draw[3] < 0.5)

    def gather(self, index: Tensor) -> dict[str, Tensor]:
        """Samples for indices (B, 4), by index selection only: each array by its name (B, length, ...), of the
        reference frame as ``reference_<name>`` (B, ...), and ``flip`` (B,) float, 1 where mirrored."""
        reference, first, _, flip = index.unbind(1)
        frames = (first[:, None] + self._offsets).flatten()
        found = {"flip": flip.float()}
        for name, values in self.arrays.items():
            shift = flip * self.total if name in self.mirrored else torch.zeros_like(flip)
            rows = frames + shift.repeat_interleave(self.length)
            found[name] = values.index_select(0, rows).unflatten(0, (-1, self.length))
            found[f"reference_{name}"] = values.index_select(0, reference + shift)
        return found

    def describe(self, index: Tensor) -> list[str]:
        """Names such as ``clip_id[3->17]``: reference and first frame as numbers in the clip."""
        names = []
        for reference, first, clip, flip in index.cpu().tolist():
            start = int(self.starts[clip])
            names.append(f"{self.clips[clip].id}[{reference - start}->{first - start}]{' mirrored' if flip else ''}")
        return names
