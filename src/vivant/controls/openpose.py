"""Poses of one person over a clip: kept, smoothed, saved, told in a picture's coordinates, drawn when looked at."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, overload

import numpy as np

from vivant.core.errors import ConfigError, MediaError
from vivant.core.skeleton import PREFIXES
from vivant.nn.pose_drawing import CANVAS_SIDE, LEAST_CONFIDENCE, draw_pose
from vivant.nn.smoothing import kalman_smooth

__all__ = ["PoseDrawings", "PoseTrack", "draw_pose", "fill_gaps", "relative_to", "smooth_poses"]

SUFFIX = ".safetensors"
_KIND = "vivant pose track 1"
_PROCESS = 1e-5  # of the random walk, in squared torso lengths a frame; only its ratio to the noise matters


@dataclass(frozen=True)
class PoseTrack:
    """One person's keypoints over F frames.

    ``points``: (F, N, 3) float32 in the layout of :mod:`vivant.core.skeleton` (N is 18, 60 or 128): x right and y down
    in pixels of the picture, confidence in 0..1 (0: not seen). ``fps``: exact frames per second. ``size``: (H, W).
    """

    points: np.ndarray
    fps: Fraction
    size: tuple[int, int]

    def __post_init__(self) -> None:
        shape = np.shape(self.points)
        if len(shape) != 3 or shape[2] != 3 or shape[1] not in PREFIXES:
            known = ", ".join(str(count) for count in PREFIXES)
            raise ConfigError(f"A pose track is (F, N, 3) with N one of {known}, not {shape}: check the keypoints.")

    def __len__(self) -> int:
        return len(self.points)

    def smoothed(self, frames: float = 1.0, gap: float = 0.25) -> PoseTrack:
        """Without tremble: gaps up to ``gap`` seconds filled, then smoothed over about ``frames`` frames each way."""
        filled = fill_gaps(self.points, round(gap * float(self.fps)))
        return replace(self, points=smooth_poses(filled, frames))

    def in_picture(self, to_frame: np.ndarray | None = None, side: int | None = None) -> np.ndarray:
        """(F, N, 3) for ``Controls.pose``: x and y in -1..1 of a square crop, or of the whole picture without one.

        ``to_frame``: (2, 3), maps crop pixels to picture pixels, as in :class:`vivant.core.face.FaceCrop`; ``side``: of
        the crop in pixels.
        """
        return relative_to(self.points, self.size, to_frame, side)

    def drawings(self, size: tuple[int, int] | None = None, **how: Any) -> PoseDrawings:
        """The frames drawn as (H, W, 3), by default at the size of the picture; ``how``: as :func:`draw_pose`."""
        return PoseDrawings(self.in_picture(), size or self.size, **how)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write a ``.safetensors`` file: tensor ``points``, metadata ``fps`` as a fraction, ``height`` and ``width``.

        Raises:
            MediaError: the file cannot be written.
        """
        from safetensors.numpy import save_file

        from vivant.media.files import Staged

        about = {"kind": _KIND, "fps": str(self.fps), "height": str(self.size[0]), "width": str(self.size[1])}
        with Staged(path) as staged:
            save_file({"points": np.ascontiguousarray(self.points, np.float32)}, staged.temporary, about)
        return Path(path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> PoseTrack:
        """Read what :meth:`save` wrote.

        Raises:
            MediaError: missing, damaged, or no pose track.
        """
        from safetensors import SafetensorError, safe_open

        from vivant.media.files import existing_file

        found = existing_file(path)
        try:
            with safe_open(found, "np") as file:
                about, points = file.metadata() or {}, file.get_tensor("points")
            if about.get("kind") != _KIND or not np.isfinite(points).all():
                raise ValueError("not a pose track")
            return cls(points, Fraction(about["fps"]), (int(about["height"]), int(about["width"])))
        except (SafetensorError, ValueError, KeyError, ZeroDivisionError, ConfigError) as error:
            raise MediaError(f"'{path}' is not a saved pose track ({error}): extract the poses again.") from error


def relative_to(
    points: np.ndarray, size: tuple[int, int], to_frame: np.ndarray | None = None, side: int | None = None
) -> np.ndarray:
    """Points (..., N, 3) in pixels -> float32 with x and y in -1..1 of the picture of ``size`` (H, W), or of a crop.

    Raises:
        ConfigError: a crop was given without its side.
    """
    moved = np.array(points, np.float32)
    if to_frame is None:
        moved[..., :2] = points[..., :2] * (2 / np.array([size[1], size[0]])) - 1
        return moved
    if not side:
        raise ConfigError("Telling a pose in a crop needs the side of the crop in pixels: pass it.")
    back = np.linalg.inv(np.asarray(to_frame, np.float64)[:, :2])
    moved[..., :2] = (points[..., :2] - to_frame[:, 2]) @ back.T * (2 / side) - 1
    return moved


class PoseDrawings(Sequence[np.ndarray]):
    """F skeleton pictures (H, W, 3) uint8 RGB, each drawn when it is asked for; a slice is drawings again."""

    def __init__(
        self,
        points: np.ndarray,
        size: tuple[int, int],
        canvas_side: int | None = CANVAS_SIDE,
        hands: bool = True,
        face: bool = True,
        least_confidence: float = LEAST_CONFIDENCE,
    ) -> None:
        """``points``: (F, N, 3) with x and y in -1..1; the rest as :func:`draw_pose`."""
        self.points, self.size = points, size
        self._how = (canvas_side, hands, face, least_confidence)

    def __len__(self) -> int:
        return len(self.points)

    @overload
    def __getitem__(self, index: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, index: slice) -> PoseDrawings: ...
    def __getitem__(self, index: int | slice) -> np.ndarray | PoseDrawings:
        """One picture, or the drawings of a range of frames."""
        if isinstance(index, slice):
            return PoseDrawings(self.points[index], self.size, *self._how)
        return draw_pose(self.points[index], self.size, *self._how)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[index] for index in range(len(self)))


def fill_gaps(points: np.ndarray, longest: int) -> np.ndarray:
    """Points (F, N, 3) with every gap of at most ``longest`` frames (confidence 0) bridged in a straight line.

    A bridged point has the lesser confidence of the two ends. Gaps at the start and at the end stay.
    """
    filled = np.array(points, np.float32)
    for joint in range(filled.shape[1]):
        known = np.flatnonzero(points[:, joint, 2] > 0)
        for before, after in pairwise(known):
            if 1 < after - before <= longest + 1:
                share = (np.arange(before + 1, after) - before)[:, None] / (after - before)
                ends = points[[before, after], joint]
                filled[before + 1 : after, joint] = ends[0] + share * (ends[1] - ends[0])
                filled[before + 1 : after, joint, 2] = ends[:, 2].min()
    return filled


def smooth_poses(points: np.ndarray, frames: float = 1.0) -> np.ndarray:
    """Points (F, N, 3) smoothed in x and y over about ``frames`` frames each way, by the two-sided Kalman smoother.

    Every run of frames in which a point is seen is smoothed on its own, so a lost point is not dragged along.
    """
    smooth = np.array(points, np.float32)
    if frames <= 0 or len(points) < 2:
        return smooth
    seen = points[..., 2] > 0
    scale = _extent(points, seen)
    for joint in range(points.shape[1]):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], seen[:, joint].astype(np.int8), [0]])))
        for start, end in zip(edges[::2], edges[1::2]):
            run = points[start:end, joint, :2].astype(np.float64)
            origin = run[0] / scale  # the smoother starts at the first value; small numbers keep its sums exact
            smooth[start:end, joint, :2] = (
                kalman_smooth(run / scale - origin, frames**2 * _PROCESS, _PROCESS) + origin
            ) * scale
    return smooth


def _extent(points: np.ndarray, seen: np.ndarray) -> float:
    """A length in pixels of the order of the person, so that smoothing does not depend on the picture's size."""
    if not seen.any():
        return 1.0
    visible = points[..., :2][seen]
    return float(max(np.ptp(visible, axis=0).max(), 1e-6))
