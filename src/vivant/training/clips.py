"""A data folder as windows of latents: decoded, heard and encoded once, before the first step.

:class:`TalkingWindows` (V-Express) and :class:`PersonWindows` (Animate Anyone) are what a method's ``SAMPLES`` name; a
recipe's ``samples`` are their options.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from vivant.core.errors import ConfigError, MediaError
from vivant.core.facemesh import TRAINING_POINTS
from vivant.data.frames import Job, decode
from vivant.data.manifest import Row, read_manifest
from vivant.data.windows import ClipWindows, WindowClip
from vivant.diffusion.codec import load_codec

FACE_POINTS = (33, 133, 362, 263, 1, 61, 291, 0, 17, 40, 270, 91, 321)
"""Mesh landmarks that V-Kps (corners of both eyes, nose tip) and the mouth's box are made of."""
_ENCODED_AT_ONCE = 64


@dataclass(frozen=True)
class ClipNeeds:
    """What a method wants to know of the frames.

    ``length``: frames of a window. ``encoder``: name of a speech encoder and how many of its last numbers are kept, or
    None. ``face``: V-Kps and the mouth's box from the landmarks. ``draw``: body keypoints (P, 3), ``pose`` of the
    labels, -> drawing (S, S, 3) uint8, or None; only the first ``points`` of them are drawn. ``look``: pictures
    (B, 3, H, W) in 0..1 -> (B, D) numbers of a frozen net, or None. ``size``: side of the pictures that are encoded,
    None as they are. ``flip``: mirrored copies, too.
    """

    length: int
    encoder: tuple[str, int] | None = None
    face: bool = False
    draw: Callable[[np.ndarray], np.ndarray] | None = None
    points: int = 60
    look: Callable[[Tensor], Tensor] | None = None
    size: int | None = None
    flip: bool = True


def load_clip_windows(
    folder: str | os.PathLike[str],
    codec: nn.Module,
    needs: ClipNeeds,
    device: torch.device,
    split: str = "train",
    groups: Sequence[str] | None = None,
    workers: int | None = None,
) -> ClipWindows:
    """Read the clips of a folder (``docs/training.md``) that are long enough for a window.

    Raises:
        MediaError: a file is missing or damaged. ConfigError: no clip of that split, or several sizes.
    """
    root = Path(folder)
    rows = [
        row
        for row in read_manifest(root)
        if row.split == split
        and row.kind == "clip"
        and row.frames >= needs.length
        and (not groups or row.group in groups)
    ]
    if not rows:
        raise ConfigError(f"{root} has no clips of {needs.length} frames or more of the split '{split}'.")
    if len({row.size for row in rows}) > 1:
        raise ConfigError(f"{root} mixes frames of several sizes: prepare the data again with one size.")
    offsets = np.concatenate([[0], np.cumsum([row.frames for row in rows])])
    jobs = [Job(root / row.media, False, int(o), row.frames) for row, o in zip(rows, offsets)]
    frames = decode(jobs, rows[0].size, workers)
    arrays = {"latents": encode_all(frames, codec, device, needs.size, needs.flip)}
    mirrored = ["latents"] if needs.flip else []
    if needs.look is not None:
        arrays["look"] = look_all(frames, needs.look, device)
    del frames
    if needs.face:
        arrays |= _faces(root, rows, device)
    if needs.draw is not None:
        arrays["drawing"] = _drawn(_poses(root, rows)[:, : needs.points], needs.draw, needs.flip).to(device)
        mirrored += ["drawing"] if needs.flip else []
    if needs.encoder is not None:
        arrays |= _heard(root, rows, *needs.encoder, device)
    clips = [WindowClip(row.id, row.group, row.frames) for row in rows]
    return ClipWindows(clips, arrays, needs.length, mirrored)


class TalkingWindows(ClipWindows):
    """Windows of speaking faces: latents, V-Kps, the mouth's box, speech."""

    @classmethod
    def load(
        cls,
        folder: str | os.PathLike[str],
        device: torch.device | str = "cpu",
        split: str = "train",
        groups: Sequence[str] | None = None,
        seed: int = 0,
        workers: int | None = None,
        *,
        length: int = 12,
        codec: str = "lite",
        size: int | None = None,
        encoder: str = "whisper-tiny-en",
        numbers: int = 384,
        flip: bool = True,
    ) -> ClipWindows:
        """Read a folder; ``codec``: "lite", "tiny", or a folder of Stable Diffusion's ("sd" for the hub's).

        Raises:
            MediaError, ConfigError, WeightsError: as :func:`load_clip_windows`.
        """
        needs = ClipNeeds(length, (encoder, numbers), face=True, size=size, flip=flip)
        place = torch.device(device)
        return load_clip_windows(folder, load_codec(codec, seed=0).to(place), needs, place, split, groups, workers)


class PersonWindows(ClipWindows):
    """Windows of moving people: latents, drawn poses, and what a frozen picture encoder says of each frame."""

    @classmethod
    def load(
        cls,
        folder: str | os.PathLike[str],
        device: torch.device | str = "cpu",
        split: str = "train",
        groups: Sequence[str] | None = None,
        seed: int = 0,
        workers: int | None = None,
        *,
        length: int = 12,
        codec: str = "lite",
        size: int = 256,
        image: str = "lite0",
        blocks: int = 16,
        points: int = 60,
        flip: bool = True,
    ) -> ClipWindows:
        """Read a folder; ``codec`` as in :class:`TalkingWindows`; ``image``: "lite0", "clip" (of the hub), or a
        folder with CLIP's weights; ``points``: keypoints
        that are drawn, as many as the configuration's ``pose_points``.

        Raises:
            MediaError, ConfigError, WeightsError: as :func:`load_clip_windows`.
        """
        from vivant.diffusion.picture_encoders import fill_picture_encoder
        from vivant.nn.picture_encoder import picture_encoder
        from vivant.nn.pose_drawing import draw_pose

        place = torch.device(device)
        look = picture_encoder("lite0" if image == "lite0" else "clip", blocks).eval().requires_grad_(False)
        fill_picture_encoder(look, None if image in ("lite0", "clip") else image)
        needs = ClipNeeds(
            length, draw=partial(draw_pose, size=(size, size)), points=points, look=look.to(place), size=size, flip=flip
        )
        return load_clip_windows(folder, load_codec(codec, seed=0).to(place), needs, place, split, groups, workers)


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


@torch.inference_mode()
def look_all(frames: np.ndarray, look: Callable[[Tensor], Tensor], device: torch.device) -> Tensor:
    """(N, D) float16 of all frames (N, H, W, 3) uint8."""
    found = []
    for at in range(0, len(frames), _ENCODED_AT_ONCE):
        images = torch.from_numpy(np.ascontiguousarray(frames[at : at + _ENCODED_AT_ONCE])).to(device)
        found.append(look(images.permute(0, 3, 1, 2).float() / 255).half())
    return torch.cat(found).clone()


def face_arrays(landmarks: Tensor, points: Sequence[int] = TRAINING_POINTS) -> dict[str, Tensor]:
    """V-Kps ``v_kps`` (..., 3, 2) and the box of the mouth, twice as large as its lips, ``mouth`` (..., 4), from
    landmarks (..., P, 3), which are the mesh's ``points`` (P,).

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
    return {"v_kps": torch.stack([eye, other, nose], -2), "mouth": torch.cat([centre - half, centre + half], -1)}


def _faces(root: Path, rows: Sequence[Row], device: torch.device) -> dict[str, Tensor]:
    from vivant.data.labels import read_labels

    labels = [read_labels(root / row.labels, row.frames) for row in rows]
    each = [face_arrays(torch.from_numpy(item.landmarks), item.points.tolist()) for item in labels]
    return {name: torch.cat([found[name] for found in each]).to(device) for name in each[0]}


def _drawn(poses: np.ndarray, draw: Callable[[np.ndarray], np.ndarray], flip: bool) -> Tensor:
    """Drawings (N or 2N, 3, S, S) uint8 of poses (N, P, 3), then of the mirrored ones."""
    from concurrent.futures import ThreadPoolExecutor

    from vivant.core.skeleton import MIRROR

    if flip:
        other = poses[:, list(MIRROR[: poses.shape[1]])] * np.array([-1, 1, 1], np.float32)
        poses = np.concatenate([poses, other])
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        found = list(pool.map(draw, poses))
    return torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2).contiguous()


def _poses(root: Path, rows: Sequence[Row]) -> np.ndarray:
    found = []
    for row in rows:
        try:
            with np.load(root / row.labels, allow_pickle=False) as labels:
                pose = labels["pose"].astype(np.float32)
        except (OSError, KeyError, ValueError) as error:
            raise MediaError(
                f"The labels {root / row.labels} hold no poses ({error}): label the clip again."
            ) from error
        if pose.shape[0] != row.frames or pose.ndim != 3 or pose.shape[2] != 3:
            raise MediaError(f"The labels {root / row.labels} hold poses of shape {pose.shape}: label the clip again.")
        found.append(pose)
    return np.concatenate(found)


def _heard(root: Path, rows: Sequence[Row], encoder: str, numbers: int, device: torch.device) -> dict[str, Tensor]:
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
