"""Motion of a face over time: the batch that the algebra works on, and the template that is kept in a file.

A template is the driver without its picture: about 300 numbers a frame, so a driver can be used again, sent to
somebody, or replaced by another generator of motion, without showing who moved.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vivant.core.errors import ConfigError, WeightsError
from vivant.methods.live_portrait.algebra import transform_keypoints

FORMAT = "vivant-motion"

Smoother = Callable[[np.ndarray, float], np.ndarray]
"""Values (F, D) and an observation variance -> smoothed values (F, D)."""
CausalFilter = Callable[[np.ndarray], np.ndarray]
"""The values (D,) of one frame -> filtered values (D,), remembering earlier frames."""

_AT_ONCE = 1024  # frames whose keypoints are computed together
_MOVING = ("exp", "rotation", "scale", "translation")


@dataclass(frozen=True)
class Motion:
    """B faces as the motion extractor sees them, all float32, keypoints in crop units -1..1 (x right, y down).

    ``exp``: (B, K, 3) expression, added after the rotation. ``rotation``: (B, 3, 3), multiplies row vectors from the
    right. ``scale``: (B, 1). ``translation``: (B, 3), z is not used. ``canonical``: (B, K, 3) keypoints of the
    identity. ``eyes``: (B, 2) opening ratio of the eye on the left and on the right of the picture. ``lip``: (B, 1)
    opening ratio of the lips. B may be 1 to stand for any number of frames.
    """

    exp: Tensor
    rotation: Tensor
    scale: Tensor
    translation: Tensor
    canonical: Tensor
    eyes: Tensor
    lip: Tensor

    def keypoints(self) -> Tensor:
        """Transformed keypoints x = s (x_c R + exp) + t (paper, equation 2), (B, K, 3)."""
        return transform_keypoints(self.canonical, self.rotation, self.exp, self.scale, self.translation)

    def filtered(self, causal: CausalFilter) -> Motion:
        """One frame (B = 1) through ``causal`` over exp, rotation, scale and translation."""
        flat = torch.cat([getattr(self, name).reshape(-1) for name in _MOVING]).cpu().numpy()
        arrays = _unflatten(np.asarray(causal(flat))[None], self.exp.shape[1])
        return replace(self, **{n: torch.from_numpy(v).to(self.exp.device) for n, v in arrays.items()})

    def rows(self, first: int, end: int) -> Motion:
        """Some of the B faces."""
        return Motion(*(getattr(self, f.name)[first:end] for f in fields(self)))

    def to(self, device: torch.device | str) -> Motion:
        """The same motion on ``device``."""
        return Motion(*(getattr(self, f.name).to(device) for f in fields(self)))


@dataclass(frozen=True)
class MotionTemplate:
    """The motion of one clip, F frames, every array float32 (K keypoints; meanings as in :class:`Motion`).

    ``fps``: exact frames per second. ``space``: motion space it was made in ("published" or "lite"); keypoints of one
    mean nothing in the other. ``keypoints``: (F, K, 3) transformed keypoints of the driver itself. ``missing``: numbers
    of frames without a face; they repeat the nearest earlier frame. ``canonical``, ``keypoints``, ``eyes`` and ``lip``
    are NaN where an imported file did not hold them.
    """

    fps: Fraction
    space: str
    exp: np.ndarray
    rotation: np.ndarray
    scale: np.ndarray
    translation: np.ndarray
    canonical: np.ndarray
    keypoints: np.ndarray
    eyes: np.ndarray
    lip: np.ndarray
    missing: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if len(self.exp) == 0:
            raise WeightsError("A motion template needs at least one frame, and this one has none.")
        count, points = self.exp.shape[:2]
        for name, shape in _shapes(count, points).items():
            if getattr(self, name).shape != shape:
                got = getattr(self, name).shape
                raise WeightsError(f"Motion template: '{name}' has shape {got} instead of {shape}: make it again.")
        for name in _MOVING:
            if not np.isfinite(getattr(self, name)).all():
                raise WeightsError(f"Motion template: '{name}' holds values that are not finite: make it again.")
        if not 1 <= self.fps <= 1000:
            raise WeightsError(f"Motion template: {self.fps} frames per second make no sense: make it again.")

    def __len__(self) -> int:
        return len(self.exp)

    def motion(self, rows: Sequence[int] | None = None) -> Motion:
        """The frames numbered ``rows`` (None is all) as tensors on the CPU."""
        names = ("exp", "rotation", "scale", "translation", "canonical", "eyes", "lip")
        chosen = slice(None) if rows is None else list(rows)
        return Motion(*(torch.from_numpy(np.array(getattr(self, n)[chosen], np.float32)) for n in names))

    def smoothed(self, smooth: Smoother, variance: float) -> MotionTemplate:
        """A smoother copy: ``smooth(values (F, D), variance)`` over exp, rotation, scale and translation.

        The smoothed rotation matrices are projected back onto rotations, which the released code leaves out.
        """
        arrays: dict[str, Any] = {
            name: smooth(getattr(self, name).reshape(len(self), -1), variance).reshape(getattr(self, name).shape)
            for name in _MOVING
        }
        arrays["rotation"] = nearest_rotation(arrays["rotation"])
        arrays = {name: array.astype(np.float32, copy=False) for name, array in arrays.items()}
        keypoints = np.empty_like(self.keypoints)
        smoothed = replace(self, keypoints=keypoints, **arrays)
        for first in range(0, len(self), _AT_ONCE):
            rows = range(first, min(first + _AT_ONCE, len(self)))
            keypoints[rows.start : rows.stop] = smoothed.motion(rows).keypoints().numpy()
        return smoothed

    def save(self, path: str | Path) -> None:
        """Write a safetensors file; an interrupted write leaves nothing behind.

        Raises:
            WeightsError: the file cannot be written.
        """
        from safetensors.numpy import save

        arrays = {n: np.ascontiguousarray(getattr(self, n), np.float32) for n in _shapes(1, 1)}
        note = {"format": FORMAT, "version": "1", "space": self.space, "fps": str(self.fps)}
        data = save(arrays, {**note, "missing": json.dumps(self.missing)})
        try:
            _write_whole(Path(path), data)
        except OSError as error:
            why = error.strerror or error
            raise WeightsError(f"The motion cannot be saved as {path} ({why}): choose another place.") from error

    @classmethod
    def load(cls, path: str | Path) -> MotionTemplate:
        """Read a file that :meth:`save` wrote.

        Raises:
            WeightsError: the file is missing, damaged or not a motion template.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(str(path), framework="numpy") as file:
                note = file.metadata() or {}
                if note.get("format") != FORMAT:
                    raise WeightsError(f"{path} is not saved motion: make some with vivant animate --save-motion.")
                arrays = {name: file.get_tensor(name) for name in _shapes(1, 1)}
            missing = tuple(int(n) for n in json.loads(note["missing"]))
            return cls(fps=Fraction(note["fps"]), space=note["space"], missing=missing, **arrays)
        except (OSError, SafetensorError, KeyError, ValueError, ZeroDivisionError) as error:
            raise WeightsError(f"{path} cannot be read as a motion template: {error}.") from error

    @classmethod
    def import_pickle(cls, path: str | Path, space: str = "published") -> MotionTemplate:
        """Read a template that the released code wrote (.pkl), without running anything the file may contain.

        Raises:
            WeightsError: the file contains code, is damaged, or holds something else.
        """
        from vivant.methods.live_portrait.released_motion import read_released

        return read_released(Path(path), space)


class MotionRows:
    """Motion collected batch by batch in blocks of :data:`_AT_ONCE` frames.

    Kept as the small tensors that come in, a long clip would hold three times the memory that its numbers need: they
    lie between buffers that are freed, and break the holes up.
    """

    def __init__(self) -> None:
        self._blocks: list[np.ndarray] = []
        self._count = 0
        self._points = 0

    def add(self, motion: Motion) -> None:
        """The next B frames, on the CPU."""
        self._points = motion.exp.shape[1]
        parts = {**{f.name: getattr(motion, f.name) for f in fields(motion)}, "keypoints": motion.keypoints()}
        rows = np.concatenate([parts[n].reshape(len(motion.exp), -1).numpy() for n in _shapes(1, 1)], axis=1)
        for row in rows:
            if self._count % _AT_ONCE == 0:
                self._blocks.append(np.empty((_AT_ONCE, len(row)), np.float32))
            self._blocks[-1][self._count % _AT_ONCE] = row
            self._count += 1

    def template(self, seen: np.ndarray, fps: Fraction, space: str) -> MotionTemplate:
        """All frames where ``seen`` (F,) bool is true, the others holding the one before, at the start the first."""
        rows = np.maximum(np.cumsum(seen) - 1, 0)
        arrays: dict[str, Any] = {}
        first = 0
        for name, shape in _shapes(len(seen), self._points).items():
            width = int(np.prod(shape[1:]))
            whole = np.concatenate([block[:, first : first + width] for block in self._blocks])[: self._count]
            arrays[name] = (whole if seen.all() else whole[rows]).reshape(shape)
            first += width
        missing = tuple(int(number) for number in np.flatnonzero(~seen))
        return MotionTemplate(fps=fps, space=space, missing=missing, **arrays)


def _write_whole(target: Path, data: bytes) -> None:
    """Write ``data`` under a temporary name and rename it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _unflatten(flat: np.ndarray, points: int) -> dict[str, np.ndarray]:
    """(F, 3K + 13) rows of exp, rotation, scale, translation -> the four float32 arrays, rotations proper again."""
    exp, rotation, scale, translation = np.split(flat, np.cumsum([3 * points, 9, 1]), axis=1)
    return {
        "exp": exp.reshape(-1, points, 3).astype(np.float32),
        "rotation": nearest_rotation(rotation.reshape(-1, 3, 3)).astype(np.float32),
        "scale": scale.astype(np.float32),
        "translation": translation.astype(np.float32),
    }


def nearest_rotation(matrices: np.ndarray) -> np.ndarray:
    """(F, 3, 3) any matrices -> the rotations nearest to them in the Frobenius norm (orthogonal Procrustes)."""
    u, _, vt = np.linalg.svd(np.asarray(matrices, np.float64))
    u[..., :, 2] *= np.linalg.det(u @ vt)[..., None]
    return np.asarray(u @ vt)


def _shapes(count: int, points: int) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every array of a template of ``count`` frames and ``points`` keypoints."""
    volume = (count, points, 3)
    return {
        "exp": volume, "rotation": (count, 3, 3), "scale": (count, 1), "translation": (count, 3),
        "canonical": volume, "keypoints": volume, "eyes": (count, 2), "lip": (count, 1),
    }  # fmt: skip


def check_space(template: MotionTemplate, space: str, points: int) -> None:
    """Refuse a template of another motion space.

    Raises:
        ConfigError: the template's keypoints mean something else than the model's.
    """
    if template.space != space or template.exp.shape[1] != points:
        raise ConfigError(
            f"This motion was made in the space '{template.space}' with {template.exp.shape[1]} keypoints, and the "
            f"model moves '{space}' with {points}: extract the motion again with this model."
        )
