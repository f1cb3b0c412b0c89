"""V-Kps (eye, eye and nose tip of every frame) from arrays, files, or the face in a video."""

from __future__ import annotations

import warnings
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from vivant.core.errors import ARRAY_ERRORS, ConfigError, MediaError
from vivant.pipelines.inputs import Media, as_clip, is_path, name_of
from vivant.pipelines.progress import held_frames

ARRAY_SUFFIXES = (".npy", ".safetensors", ".pth", ".pt")
_PICTURE = 512  # side of the pictures that released V-Kps files count their pixels in
_EYES = ((33, 133), (362, 263))  # corners of the eye on the left and on the right of the picture
_NOSE_TIP = 1
_HELD = Fraction(1, 5)  # seconds at the end in which the last V-Kps may stand


def read_keypoints(value: Media, fps: Fraction, config: Any) -> np.ndarray:
    """(F, 3, 2) float32 V-Kps in -1..1 of the source crop.

    ``value``: an array of that shape, a file with one (.npy, .safetensors, .pth), or a video, picture or clip whose
    face is followed; its head moves in the square that ``config.source_crop`` puts around its first face. Arrays with
    numbers beyond 2 are pixels of 512 x 512, as in the released files of V-Express.

    Raises:
        MediaError, WeightsError: the file cannot be read. FaceError: no face in the video.
        ConfigError: another shape, or numbers that are not finite.
    """
    name = name_of(value, "keypoints")
    if is_path(value) and Path(value).suffix.lower() in ARRAY_SUFFIXES:
        return _checked(_array(Path(value)), name)
    if isinstance(value, np.ndarray) and value.dtype != np.uint8:
        return _checked(value, name)
    return _followed(value, fps, config, name)


def fitted_keypoints(keypoints: np.ndarray, count: int, fps: Fraction, stretch: bool = False) -> np.ndarray:
    """(F, 3, 2) for ``count`` frames: cut to them, or the last frame held. One frame lasts as long as is wanted.

    ``stretch``: stretch shorter ones linearly, as the released V-Express does, whatever their rate was.

    Raises:
        ConfigError: they end more than 0.2 s before the clip and are not to be stretched.
    """
    known = len(keypoints)
    if known >= count:
        return keypoints[:count]
    if stretch:
        at = np.linspace(0, known - 1, count)
        whole = np.minimum(at.astype(int), max(known - 2, 0))
        part = (at - whole)[:, None, None]
        following = keypoints[np.minimum(whole + 1, known - 1)]
        return ((1 - part) * keypoints[whole] + part * following).astype(np.float32)
    if known > 1 and (count - known) / fps > _HELD:
        raise ConfigError(
            f"The V-Kps last {float(known / fps):.2f} s ({known} frames), but what is to be made lasts "
            f"{float(count / fps):.2f} s: give V-Kps as long as the speech, or one frame to keep the head still."
        )
    return np.concatenate([keypoints, np.repeat(keypoints[-1:], count - known, 0)])


def _array(path: Path) -> np.ndarray:
    if not path.is_file():
        raise MediaError(f"The keypoints {path} do not exist: check the path.")
    if path.suffix.lower() == ".npy":
        try:
            return np.asarray(np.load(path, allow_pickle=False))
        except ARRAY_ERRORS as error:
            raise MediaError(f"The keypoints {path} cannot be read: give a .npy file of numbers.") from error
    from vivant.weights.loading import load_state

    state = load_state(path)
    if len(state) != 1:
        raise ConfigError(f"The keypoints {path} hold {len(state)} arrays: give a file with one, (F, 3, 2).")
    return np.asarray(next(iter(state.values())).float().numpy())


def _checked(values: np.ndarray, name: str) -> np.ndarray:
    if values.ndim != 3 or values.shape[1:] != (3, 2) or len(values) == 0 or values.dtype.kind not in "fiu":
        raise ConfigError(f"V-Kps are (frames, 3, 2) numbers: eye, eye, nose; {name} is {values.shape}.")
    keypoints = values.astype(np.float32)
    if not np.isfinite(keypoints).all():
        raise ConfigError(f"{name} holds numbers that are not finite: make it again.")
    return keypoints * (2 / _PICTURE) - 1 if np.abs(keypoints).max() > 2 else keypoints


def _followed(value: Media, fps: Fraction, config: Any, name: str) -> np.ndarray:
    from vivant.controls.crop import crop_window
    from vivant.core.errors import FaceError
    from vivant.media.video import at_rate
    from vivant.perception.tracking import follow

    rows: list[np.ndarray] = []
    to_crop: np.ndarray | None = None
    leading = 0
    missing: list[int] = []
    for number, face in enumerate(follow(at_rate(as_clip(value, "keypoints"), fps).frames)):
        if face is None:
            missing.append(number)
            leading += not rows
            rows += rows[-1:]
            continue
        points = face.landmarks[:, :2]
        kept = np.stack([*(points[list(corners)].mean(0) for corners in _EYES), points[_NOSE_TIP]])
        if to_crop is None:
            view = config.source_crop
            window = crop_window(face.landmarks, view.scale, view.shift_y, view.points)
            to_crop = window.to_crop(2, view.rotate)
        rows.append(kept @ to_crop[:, :2].T + to_crop[:, 2] - 1)
    if not rows:
        raise FaceError(f"No face was found in any frame of {name}: V-Kps need a visible, upright face.")
    if missing:
        warnings.warn(held_frames(missing, leading + len(rows), name), stacklevel=2)
    return np.stack([rows[0]] * leading + rows).astype(np.float32)
