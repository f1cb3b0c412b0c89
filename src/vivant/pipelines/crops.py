"""Frames to face crops: the tracked window, steadied over time, for drivers (read once) and videos (read
again)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import cv2
import numpy as np

from vivant.controls.crop import Border, CropWindow, crop_face, crop_window, crop_with_window, warp_square
from vivant.controls.smoothing import OneEuroFilter
from vivant.core.clip import Clip
from vivant.core.crops import jumped
from vivant.core.errors import FaceError, MediaError
from vivant.core.face import Face, FaceCrop
from vivant.perception.tracking import follow
from vivant.pipelines.choose import check_size


def crop_of(frame: np.ndarray, face: Face, view: Any, size: int) -> FaceCrop:
    """Square crop of ``face`` with side ``size``; ``view``: the method's CropConfig for sources or
    drivers."""
    border = getattr(view, "border", None)
    return crop_face(frame, face, view.scale, view.shift_y, size, view.rotate, view.points, border)


def native_side(face: Face, config: Any) -> int:
    """Side in pixels of a crop that has as many pixels as the picture has in that square, even, within the
    configuration's ``smallest`` and ``largest``."""
    side = crop_window(
        face.landmarks, config.source_crop.scale, config.source_crop.shift_y, config.source_crop.points
    ).side
    return int(np.clip(2 * round(side / 2), config.smallest, config.largest))


def with_alpha(crops: list[FaceCrop], frame: np.ndarray, border: Border) -> list[FaceCrop]:
    """``crops`` of ``frame`` with the opacity of its people."""
    from vivant.perception.matte import MatteFinder

    alpha = MatteFinder().find(frame)
    return [replace(crop, alpha=_cut_alpha(alpha, crop, border)) for crop in crops]


def _cut_alpha(alpha: np.ndarray, crop: FaceCrop, border: Border) -> np.ndarray:
    return warp_square(alpha, cv2.invertAffineTransform(crop.to_frame), len(crop.image), border)


class SteadyWindow:
    """The window around one tracked face, without trembling.

    Landmark noise moves the box from frame to frame. Its centre, side and angle pass a One-Euro filter, which
    looks only back: resting windows are smoothed strongly, moving ones follow. A window that jumps, to another person
    or in another shot, is taken as it is: on its way there the filter would show nobody.
    """

    def __init__(self, view: Any, fps: float) -> None:
        self._view, self._fps = view, fps
        self.reset()

    def reset(self) -> None:
        """Forget the past, for example after frames without a face."""
        self._filter = OneEuroFilter(self._fps)
        self._unit = 0.0
        self._last: CropWindow | None = None

    def __call__(self, face: Face) -> CropWindow:
        """The window for the next frame's face."""
        window = crop_window(face.landmarks, self._view.scale, self._view.shift_y, self._view.points)
        if self._last is not None and jumped((self._last.centre, self._last.side), (window.centre, window.side)):
            self.reset()
        self._last = window
        self._unit = self._unit or window.side
        angle = (np.cos(window.angle), np.sin(window.angle))
        x, y, side, cosine, sine = self._filter(np.array([*window.centre, window.side, *angle]) / self._scale)
        return CropWindow(np.array([x, y]) * self._unit, float(side) * self._unit, float(np.arctan2(sine, cosine)))

    @property
    def _scale(self) -> np.ndarray:
        """Units in which the filter sees the numbers: the first window's side for lengths."""
        return np.array([self._unit] * 3 + [1.0, 1.0])


def followed(frames: Iterable[np.ndarray], choice: str | int = "largest") -> Iterator[tuple[np.ndarray, Face | None]]:
    """Every frame with the followed person's face, one frame in memory at a time (itertools.tee would keep
    57)."""
    last: list[np.ndarray] = []

    def noted() -> Iterator[np.ndarray]:
        for frame in frames:
            last[:] = [frame]
            yield frame

    for face in follow(noted(), choice):
        yield last[0], face


def cut(frame: np.ndarray, face: Face, window: CropWindow, view: Any, size: int) -> FaceCrop:
    """The crop of ``window``; what lies beyond the picture is filled as the method's nets were trained."""
    border: Border = "constant" if view.points == "contour203" else "replicate"
    return crop_with_window(frame, face.landmarks, window, size, view.rotate, border)


class DriverCrops:
    """Crops of one face along a driver, read once from front to back; None where the face is not seen.

    After reading: ``count`` frames seen, ``missing`` numbers of those without the face (from 0).
    """

    def __init__(self, frames: Iterable[np.ndarray], fps: float, view: Any, size: int, face: str | int, name: str):
        self._frames, self._face, self._name = frames, face, name
        self._view, self._size = view, size
        self._steady = SteadyWindow(view, fps)
        self.count = 0
        self.missing: list[int] = []

    def __iter__(self) -> Iterator[FaceCrop | None]:
        """Crops in order.

        Raises:
            MediaError: there are no frames.
            FaceError: no frame shows a face, or the first one is under 32 px.
        """
        for frame, face in followed(self._frames, self._face):
            self.count += 1
            if face is None:
                self.missing.append(self.count - 1)
                self._steady.reset()
                yield None
            else:
                if self.count - len(self.missing) == 1:
                    check_size(face, self._name, frame.shape[:2])
                yield cut(frame, face, self._steady(face), self._view, self._size)
        if self.count == 0:
            raise MediaError(f"There are no frames in {self._name}: give a file that plays.")
        if len(self.missing) == self.count:
            raise no_face(self.count, self._name)


def no_face(count: int | None, name: str) -> FaceError:
    """The error of a driver in which no frame of ``count`` shows a face."""
    return FaceError(
        f"No face was found in any of the {count} frames of {name}: use a driver whose face is visible and upright."
    )


class VideoCrops:
    """Crops of one tracked face of a source video, readable again and again.

    The faces are known (one entry a frame, None where not seen); windows are steadied once, here, and kept,
    frames are read anew on every pass, so memory holds landmarks but no pictures.
    """

    def __init__(self, clip: Clip, faces: list[Face | None], view: Any, size: int) -> None:
        self._clip, self._faces, self._view, self.side = clip, faces, view, size
        self._windows = _steady_windows(faces, SteadyWindow(view, float(clip.fps)))

    def __len__(self) -> int:
        return len(self._faces)

    def __iter__(self) -> Iterator[FaceCrop | None]:
        for frame, face, window in zip(self._clip.frames, self._faces, self._windows):
            if face is None or window is None:
                yield None
            else:
                yield cut(frame, face, window, self._view, self.side)

    def to_frames(self) -> Iterator[np.ndarray | None]:
        """Where each frame's crop lies: (2, 3), crop pixels to picture pixels; None without a face."""
        for window in self._windows:
            yield None if window is None else invert(window.to_crop(self.side, self._view.rotate))


def invert(similarity: np.ndarray) -> np.ndarray:
    """Inverse (2, 3) of a similarity (2, 3)."""
    linear = np.linalg.inv(similarity[:, :2])
    return np.column_stack([linear, -linear @ similarity[:, 2]])


def _steady_windows(faces: list[Face | None], steady: SteadyWindow) -> list[CropWindow | None]:
    """Steadied windows of a tracked face, None where it is not seen."""
    windows: list[CropWindow | None] = []
    for face in faces:
        if face is None:
            steady.reset()
        windows.append(None if face is None else steady(face))
    return windows
