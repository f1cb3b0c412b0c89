"""Arrays of a data folder's frames: latents, pictures, what frozen nets say, face points, poses, speech.

Axis letters: N frames of all clips one after another, C latent channels, h w latent grid, H W pixels, P points.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from vivant.core.errors import ARRAY_ERRORS, ConfigError, MediaError
from vivant.core.facemesh import FACE_POINTS, TRAINING_POINTS
from vivant.data.manifest import Row

_ENCODED_AT_ONCE = 64


@torch.inference_mode()
def encode_all(frames: np.ndarray, codec: nn.Module, device: torch.device, size: int | None, flip: bool) -> Tensor:
    """Latents of all frames (N, H, W, 3) uint8, then those of their mirrored copies: (N or 2N, C, h, w) float16."""
    from torch.nn import functional as F

    kind, found = next(codec.parameters()).dtype, []
    for mirror in (False, True) if flip else (False,):
        for at in range(0, len(frames), _ENCODED_AT_ONCE):
            images = torch.from_numpy(np.ascontiguousarray(frames[at : at + _ENCODED_AT_ONCE])).to(device)
            images = images.permute(0, 3, 1, 2).to(kind) / 255
            if size is not None and images.shape[-1] != size:
                images = F.interpolate(images, size=(size, size), mode="bilinear", antialias=True)
            images = images.flip(-1) if mirror else images
            found.append(codec.encode(images).half())  # type: ignore[operator]
    return torch.cat(found).clone()


@torch.no_grad()
def shrink_all(frames: np.ndarray, size: int, device: torch.device) -> Tensor:
    """Frames (N, H, W, 3) uint8 as (N, 3, size, size) uint8 on the device, no second copy of them at any time."""
    from torch.nn import functional as F

    found = torch.empty(len(frames), 3, size, size, dtype=torch.uint8, device=device)
    for at in range(0, len(frames), _ENCODED_AT_ONCE):
        images = torch.from_numpy(np.ascontiguousarray(frames[at : at + _ENCODED_AT_ONCE])).to(device)
        images = images.permute(0, 3, 1, 2)
        if images.shape[-1] != size:
            images = F.interpolate(images.float(), size=(size, size), mode="bilinear", antialias=True)
            images = images.clamp(0, 255).round().to(torch.uint8)
        found[at : at + len(images)] = images
    return found


@torch.inference_mode()
def look_all(frames: np.ndarray, look: Callable[[Tensor], Tensor], device: torch.device) -> Tensor:
    """(N, D) float16 of all frames (N, H, W, 3) uint8."""
    found = []
    for at in range(0, len(frames), _ENCODED_AT_ONCE):
        images = torch.from_numpy(np.ascontiguousarray(frames[at : at + _ENCODED_AT_ONCE])).to(device)
        found.append(look(images.permute(0, 3, 1, 2).float() / 255).half())
    return torch.cat(found).clone()


def face_arrays(landmarks: Tensor, points: Sequence[int] = TRAINING_POINTS) -> dict[str, Tensor]:
    """V-Kps ``v_kps`` (..., 3, 2), the box of the mouth, twice as large as its lips, ``mouth`` (..., 4), and the
    :data:`FACE_POINTS` themselves, ``points`` (..., 13, 2), from landmarks (..., P, 3), the mesh's ``points`` (P,).

    Raises:
        ConfigError: one of :data:`FACE_POINTS` is not among them.
    """
    place = {int(point): row for row, point in enumerate(points)}
    missing = [point for point in FACE_POINTS if point not in place]
    if missing:
        raise ConfigError(f"The labels do not keep the landmarks {missing}: label the data with them.")
    rows = [place[point] for point in FACE_POINTS]
    eye, other, nose = (landmarks[..., part, :2].float().mean(-2) for part in (rows[:2], rows[2:4], rows[4:5]))
    lips = landmarks[..., rows[5:], :2].float()
    low, high = lips.amin(-2), lips.amax(-2)
    centre, half = (low + high) / 2, high - low
    return {
        "v_kps": torch.stack([eye, other, nose], -2),
        "mouth": torch.cat([centre - half, centre + half], -1),
        "points": landmarks[..., rows, :2].float(),
    }


def pair_window(raw: dict[str, Tensor], codec: nn.Module, size: int, device: torch.device) -> dict[str, Tensor]:
    """Source and driver of the pairs of pictures of :class:`vivant.data.dataset.FaceClips` as windows of one frame
    without sound: the arrays of :class:`DrivenWindows` but ``speech``, latents encoded now."""
    from torch.nn import functional as F

    found = face_arrays(raw["driver_landmarks"].to(device))
    for name, key in (("source", "reference_latents"), ("driver", "latents")):
        images = raw[name].to(device).float() / 255
        images = F.interpolate(images, size=(size, size), mode="bilinear", antialias=True)
        found[key] = codec.encode(images)  # type: ignore[operator]
        if name == "driver":
            found["picture"] = (images.clamp(0, 1) * 255).round().to(torch.uint8)
    zero = torch.zeros(len(found["latents"]), device=device)
    one = {name: value[:, None] for name, value in found.items() if name != "reference_latents"}
    return {**one, "reference_latents": found["reference_latents"], "heard": zero[:, None], "flip": zero}


def read_faces(root: Path, rows: Sequence[Row], device: torch.device) -> dict[str, Tensor]:
    """What :func:`face_arrays` makes of the labels of all clips."""
    from vivant.data.labels import read_labels

    labels = [read_labels(root / row.labels, row.frames) for row in rows]
    each = [face_arrays(torch.from_numpy(item.landmarks), item.points.tolist()) for item in labels]
    return {name: torch.cat([found[name] for found in each]).to(device) for name in each[0]}


def draw_all(poses: np.ndarray, draw: Callable[[np.ndarray], np.ndarray], flip: bool) -> Tensor:
    """Drawings (N or 2N, 3, S, S) uint8 of poses (N, P, 3), then of the mirrored ones."""
    from concurrent.futures import ThreadPoolExecutor

    from vivant.core.skeleton import MIRROR

    if flip:
        other = poses[:, list(MIRROR[: poses.shape[1]])] * np.array([-1, 1, 1], np.float32)
        poses = np.concatenate([poses, other])
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        found = list(pool.map(draw, poses))
    return torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2).contiguous()


def read_poses(root: Path, rows: Sequence[Row]) -> np.ndarray:
    """Body keypoints (N, P, 3) of all clips: ``pose`` of the labels, or ``body`` that a curation kept beside them.

    Raises:
        MediaError: clips without poses.
    """
    found = []
    for row in rows:
        try:
            pose = _array(root / row.labels, "pose")
            if pose is None and row.extra:
                pose = _array(root / row.extra, "body")
        except ARRAY_ERRORS as error:
            raise MediaError(f"Labels of {row.id} in {root} cannot be read ({error}): label the clip again.") from error
        if pose is None:
            raise MediaError(
                f"The labels {root / row.labels} hold no poses: make them so, or curate the clips with --body."
            )
        pose = pose.astype(np.float32)
        if pose.shape[0] != row.frames or pose.ndim != 3 or pose.shape[2] != 3:
            raise MediaError(f"The labels {root / row.labels} hold poses of shape {pose.shape}: label the clip again.")
        found.append(pose)
    return np.concatenate(found)


def _array(path: Path, name: str) -> np.ndarray | None:
    with np.load(path, allow_pickle=False) as file:
        return file[name] if name in file.files else None


def read_heard(root: Path, rows: Sequence[Row], encoder: str, numbers: int, device: torch.device) -> dict[str, Tensor]:
    """``speech`` (N, T, D) float16 and ``heard`` (N,), 0 for frames of clips without sound."""
    from fractions import Fraction

    from vivant.controls.speech import read_speech
    from vivant.core.speech import SPEECH_FEATURES
    from vivant.media.audio import FileAudio

    steps, width = SPEECH_FEATURES[encoder]
    numbers = min(numbers, width)
    total = sum(row.frames for row in rows)
    speech, heard, at = torch.zeros(total, steps, numbers, dtype=torch.float16), torch.zeros(total), 0
    for row in rows:
        path = root / row.media
        if FileAudio.open(path) is not None:
            fps = Fraction(row.fps).limit_denominator(1001)
            found = read_speech(path, fps, (encoder,), row.frames, None, str(device)).features[encoder][: row.frames]
            values = torch.from_numpy(np.asarray(found, np.float32)[..., -numbers:])
            speech[at : at + len(values)], heard[at : at + len(values)] = values.half(), 1
        at += row.frames
    return {"speech": speech.to(device), "heard": heard.to(device)}
