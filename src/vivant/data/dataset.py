"""Clips of faces that live on the training device, drawn by pure functions of (seed, step).

All frames are decoded once and kept as uint8 on the device. A step needs only integers from the host, so the
whole step can be captured as a graph, and a resumed run draws exactly what the first one would have drawn.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vivant.core.errors import ConfigError
from vivant.data.device import to_device
from vivant.data.frames import Job, decode
from vivant.data.labels import Labels, interest, read_labels
from vivant.data.manifest import Row
from vivant.data.mix import shares_of
from vivant.data.shards import read_data

FAR_SHARE = 0.3
"""Share of pairs whose source is, of eight candidate frames, the one with the head turned furthest away."""
_CANDIDATES = 8


@dataclass(frozen=True)
class _Group:
    """Frames of one group: ``frames`` (n,) their numbers, ``chance`` (n,) cumulative probability."""

    frames: np.ndarray
    chance: np.ndarray


class FaceClips:
    """Frames and labels (:class:`vivant.data.labels.Labels`) of many clips, N frames of C clips.

    Build with :meth:`load`, or directly from frames (N,H,W,3) uint8, the clips' rows and their labels in
    the same order. ``points`` (P,): which of the 478 landmarks the labels keep, the same in all clips.
    """

    def __init__(
        self,
        frames: Tensor,
        rows: Sequence[Row],
        labels: Sequence[Labels],
        device: torch.device | str = "cpu",
    ) -> None:
        if any(not np.array_equal(item.points, labels[0].points) for item in labels):
            raise ConfigError("The clips keep different landmarks: label all of them with the same list.")
        self.points = labels[0].points
        self.rows = list(rows)
        self.device = torch.device(device)
        self.frames = to_device(frames, self.device)
        lengths = np.array([len(item) for item in labels])
        self.starts = np.concatenate([[0], np.cumsum(lengths)])
        self._clip = np.repeat(np.arange(len(lengths)), lengths)
        self._rotation = np.concatenate([item.rotation for item in labels])
        weights = np.concatenate([interest(item.landmarks, item.points) for item in labels])
        self._groups = self._make_groups(weights)
        self._takes = self._find_takes()
        cat, stack = np.concatenate, np.stack
        self._frame_labels = {
            name: torch.from_numpy(cat([getattr(item, name) for item in labels])).to(self.device)
            for name in ("landmarks", "rotation", "scale", "translation")
        }
        self._clip_labels = {
            name: torch.from_numpy(stack([getattr(item, name) for item in labels])).to(self.device)
            for name in ("neutral", "weight")
        }
        self._still = torch.tensor([float(row.kind == "still") for row in self.rows], device=self.device)

    @classmethod
    def load(
        cls,
        folder: str | os.PathLike[str],
        device: torch.device | str = "cpu",
        split: str = "train",
        groups: Sequence[str] | None = None,
        poses_per_still: int = 0,
        seed: int = 0,
        workers: int | None = None,
    ) -> FaceClips:
        """Read a folder with a manifest, or with shards. With ``poses_per_still`` every still also gets that many
        rendered head poses (:func:`vivant.data.still_motion.render_stills`), else its pairs are the same picture
        twice.

        Raises:
            MediaError: a file is missing or damaged. ConfigError: nothing of that split, or several sizes.
        """
        root = Path(folder)
        samples = [
            sample for sample in read_data(root)
            if sample.row.split == split and (groups is None or sample.row.group in groups)
        ]  # fmt: skip
        rows = [sample.row for sample in samples]
        if not rows:
            raise ConfigError(f"{root} has no rows of the split '{split}' in the groups {groups or 'all'}.")
        if len({row.size for row in rows}) > 1:
            raise ConfigError(f"{root} mixes frames of several sizes: prepare the data again with one size.")
        labels = [read_labels(sample.labels, sample.row.frames) for sample in samples]
        offsets = np.concatenate([[0], np.cumsum([row.frames for row in rows])])
        jobs = [Job(s.media, s.row.kind == "still", int(o), s.row.frames) for s, o in zip(samples, offsets)]
        frames = torch.from_numpy(decode(jobs, rows[0].size, workers))
        if poses_per_still and any(row.kind == "still" for row in rows):
            from vivant.data.still_motion import add_poses

            frames, labels = add_poses(frames, rows, labels, poses_per_still, seed, torch.device(device))
        return cls(frames, rows, labels, device)

    def __len__(self) -> int:
        return len(self._clip)

    def _make_groups(self, weights: np.ndarray) -> dict[str, _Group]:
        names = np.array([row.group for row in self.rows])[self._clip]
        groups = {}
        for name in sorted(set(names)):
            frames = np.flatnonzero(names == name)
            chance = np.cumsum(weights[frames], dtype=np.float64)
            groups[str(name)] = _Group(frames, chance / chance[-1])
        return groups

    @property
    def groups(self) -> dict[str, int]:
        """Number of frames of each group."""
        return {name: len(group.frames) for name, group in self._groups.items()}

    def mean_shape(self, landmarks: Sequence[int]) -> Tensor:
        """Mean over the clips of the neutral positions (K,3) of these landmarks, float32 on the data's device.

        Raises:
            ConfigError: the labels do not keep one of them.
        """
        rows = {int(point): row for row, point in enumerate(self.points)}
        missing = [point for point in landmarks if point not in rows]
        if missing:
            raise ConfigError(f"The labels do not keep the landmarks {missing}: label the data with them.")
        picked = torch.tensor([rows[point] for point in landmarks], device=self.device)
        return self._clip_labels["neutral"].index_select(1, picked).float().mean(0)

    def _shares(self, mix: dict[str, float]) -> tuple[list[str], np.ndarray]:
        shares = shares_of(mix, self.groups)
        names = sorted(shares)
        values = np.array([shares[name] for name in names])
        return names, np.cumsum(values / values.sum())

    def draw(self, step: int, seed: int, batch: int, mix: dict[str, float], rank: int = 0, world: int = 1) -> Tensor:
        """Indices (batch, 3) int64 on the CPU: source frame, driver frame, clip; see
        :class:`vivant.training.protocol.Samples`.

        The driver is drawn by interest, the source from the same clip. Shares of the mix are met by
        systematic sampling: exactly over many steps, to one sample within a step.

        Raises:
            ConfigError: the mix names a group the data does not have.
        """
        rng = np.random.default_rng([seed, step])
        total = batch * world
        names, edges = self._shares(mix)
        spots = (np.arange(total) + rng.random()) / total
        which = np.minimum(np.searchsorted(edges, spots, side="right"), len(names) - 1)
        draws = rng.random(total)
        driver = np.empty(total, np.int64)
        for number, name in enumerate(names):
            group = self._groups[name]
            mine = which == number
            found = np.searchsorted(group.chance, draws[mine], side="right")
            driver[mine] = group.frames[np.minimum(found, len(group.frames) - 1)]
        index = np.stack([self._sources(driver, rng), driver, self._clip[driver]], 1)
        index = index[rng.permutation(total)]
        return torch.from_numpy(index[rank * batch : (rank + 1) * batch])

    def _sources(self, driver: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A source frame from the clip of each driver frame, sometimes the one turned furthest away."""
        clip = self._clip[driver]
        start, length = self.starts[clip], self.starts[clip + 1] - self.starts[clip]
        options = start[:, None] + (rng.random((len(driver), _CANDIDATES)) * length[:, None]).astype(np.int64)
        turn = np.abs(self._rotation[options] - self._rotation[driver][:, None]).sum(-1)
        far = rng.random(len(driver)) < FAR_SHARE
        choice = np.where(far, turn.argmax(1), 0)
        source = options[np.arange(len(driver)), choice]
        return source.astype(np.int64)

    def partners(self, index: Tensor, seed: int) -> Tensor:
        """The same moments on somebody else: indices (B,3) as :meth:`draw` gives -> (B,3) of the same frames of another
        clip of the same take, drawn at random; where a take has only one clip, the samples themselves.

        With them a model learns cross-identity motion from exact pairs: frames t of both clips differ by the person
        alone.
        """
        rng = np.random.default_rng([seed, 1])
        rows = index.cpu().numpy()
        result = rows.copy()
        for number, (source, driver, clip) in enumerate(rows):
            others = [c for c in self._takes.get(self.rows[clip].take, ()) if c != clip]
            if others:
                other = others[int(rng.integers(len(others)))]
                shift = int(self.starts[other] - self.starts[clip])
                result[number] = source + shift, driver + shift, other
        return torch.from_numpy(result)

    def _find_takes(self) -> dict[str, list[int]]:
        """Clips by take, without those whose frames do not correspond."""
        takes: dict[str, list[int]] = {}
        for clip, row in enumerate(self.rows):
            if row.take:
                takes.setdefault(row.take, []).append(clip)
        return {
            take: [c for c in clips if self.rows[c].frames == self.rows[clips[0]].frames]
            for take, clips in takes.items()
        }

    def gather(self, index: Tensor) -> dict[str, Tensor]:
        """Samples for indices (B,3) on the data's device, with index selection only.

        ``source``, ``driver``: images (B,3,H,W) uint8, channels last in memory; ``source_*`` and
        ``driver_*`` with ``landmarks`` (B,P,3), ``rotation`` (B,3), ``scale`` (B,), ``translation`` (B,2)
        as float32; ``neutral`` (B,P,3) and ``weight`` (B,P) of the person; ``still`` (B,) 1 where the clip
        is a still.
        """
        raw: dict[str, Tensor] = {}
        for column, name in enumerate(("source", "driver")):
            picked = index[:, column]
            raw[name] = self.frames.index_select(0, picked).permute(0, 3, 1, 2)
            for key, values in self._frame_labels.items():
                raw[f"{name}_{key}"] = values.index_select(0, picked).float()
        for key, values in self._clip_labels.items():
            raw[key] = values.index_select(0, index[:, 2]).float()
        raw["still"] = self._still.index_select(0, index[:, 2])
        return raw

    def describe(self, index: Tensor) -> list[str]:
        """Names such as ``clip_id[3->17]``, source and driver as frame numbers in the clip."""
        names = []
        for source, driver, clip in index.cpu().tolist():
            start = int(self.starts[clip])
            names.append(f"{self.rows[clip].id}[{source - start}->{driver - start}]")
        return names
