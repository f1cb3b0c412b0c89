"""A data folder as windows of latents: decoded, heard and encoded once, before the first step.

:class:`TalkingWindows` (V-Express), :class:`DrivenWindows` (MegActor-Sigma) and :class:`PersonWindows` (Animate Anyone)
are what a method's ``SAMPLES`` name; a recipe's ``samples`` are their options.
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

from vivant.core.attributes import parse_attributes
from vivant.core.errors import ConfigError
from vivant.core.skeleton import PREFIXES
from vivant.core.speech import SPEECH_FEATURES
from vivant.data.frames import Job, decode
from vivant.data.manifest import read_manifest
from vivant.data.windows import ClipWindows, WindowClip
from vivant.diffusion.codec import check_size, load_codec
from vivant.training.clip_arrays import draw_all, encode_all, look_all, read_faces, read_heard, read_poses, shrink_all


@dataclass(frozen=True)
class ClipNeeds:
    """What a method wants to know of the frames.

    ``length``: frames of a window. ``encoder``: name of a speech encoder and how many of its last numbers are kept, or
    None. ``face``: V-Kps and the mouth's box from the landmarks. ``draw``: body keypoints (P, 3), ``pose`` of the
    labels, -> drawing (S, S, 3) uint8, or None; only the first ``points`` of them are drawn. ``look``: pictures
    (B, 3, H, W) in 0..1 -> (B, D) numbers of a frozen net, or None. ``size``: side of the pictures that are encoded,
    None as they are. ``flip``: mirrored copies, too. ``pictures``: side of the frames kept as pictures,
    None for none. ``attributes``: names of labelled attributes that the manifest tells of clips.
    """

    length: int
    encoder: tuple[str, int] | None = None
    face: bool = False
    draw: Callable[[np.ndarray], np.ndarray] | None = None
    points: int = 60
    look: Callable[[Tensor], Tensor] | None = None
    size: int | None = None
    flip: bool = True
    pictures: int | None = None
    attributes: tuple[str, ...] = ()


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
        MediaError: a file is missing or damaged. ConfigError: no clip of that split, several sizes, one that does
            not divide by the codec's factor, or attributes that no clip is labelled with.
    """
    _check_needs(needs)
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
    if needs.attributes and not any(row.attributes for row in rows):
        raise ConfigError(
            f"No clip in {root} is labelled with attributes ({', '.join(needs.attributes)}): write them into the "
            "manifest's 'attributes', or leave them out of the recipe's samples."
        )
    offsets = np.concatenate([[0], np.cumsum([row.frames for row in rows])])
    side = needs.size or rows[0].size
    check_size(codec, side, side)  # type: ignore[arg-type]
    jobs = [Job(root / row.media, False, int(o), row.frames) for row, o in zip(rows, offsets)]
    frames = decode(jobs, rows[0].size, workers)
    arrays = {"latents": encode_all(frames, codec, device, needs.size, needs.flip)}
    mirrored = ["latents"] if needs.flip else []
    if needs.look is not None:
        arrays["look"] = look_all(frames, needs.look, device)
    if needs.pictures is not None:
        arrays["picture"] = shrink_all(frames, needs.pictures, device)
    del frames
    if needs.face:
        arrays |= read_faces(root, rows, device)
    if needs.draw is not None:
        arrays["drawing"] = draw_all(read_poses(root, rows)[:, : needs.points], needs.draw, needs.flip).to(device)
        mirrored += ["drawing"] if needs.flip else []
    if needs.encoder is not None:
        arrays |= read_heard(root, rows, *needs.encoder, device)
    if needs.attributes:
        values = [parse_attributes(row.attributes, needs.attributes, f"Clip '{row.id}' in {root}") for row in rows]
        each = torch.tensor([row.frames for row in rows])
        arrays["attributes"] = torch.tensor(values).repeat_interleave(each, 0).to(device)
    clips = [WindowClip(row.id, row.group, row.frames) for row in rows]
    return ClipWindows(clips, arrays, needs.length, mirrored)


def _check_needs(needs: ClipNeeds) -> None:
    """Raises ConfigError for what no data can give."""
    least = {"length": needs.length, "size": needs.size, "numbers": needs.encoder and needs.encoder[1]}
    for name, value in least.items():
        if value is not None and value < 1:
            raise ConfigError(f"The recipe's samples have {name} {value}: give 1 or more.")
    if needs.encoder is not None and needs.encoder[0] not in SPEECH_FEATURES:
        raise ConfigError(
            f"There is no speech encoder '{needs.encoder[0]}' for the samples: use one of {', '.join(SPEECH_FEATURES)}."
        )
    if needs.draw is not None and needs.points not in PREFIXES:
        raise ConfigError(f"Poses of {needs.points} points are not drawn: give points as one of {PREFIXES}.")


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
        attributes: Sequence[str] = (),
    ) -> ClipWindows:
        """Read a folder; ``codec``: "lite", "tiny", or a folder of Stable Diffusion's ("sd" for the hub's);
        ``attributes``: names of the labels to read.

        Raises:
            MediaError, ConfigError, WeightsError: as :func:`load_clip_windows`.
        """
        needs = ClipNeeds(
            length, (encoder, numbers), face=True, size=size, flip=flip, attributes=tuple(attributes)
        )  # fmt: skip
        place = torch.device(device)
        return load_clip_windows(folder, load_codec(codec, seed=0).to(place), needs, place, split, groups, workers)


class DrivenWindows(ClipWindows):
    """Windows of speaking faces as :class:`TalkingWindows`, and the pictures that can drive, with their face points."""

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
        length: int = 16,
        codec: str = "sd",
        size: int = 512,
        encoder: str = "whisper-tiny-en",
        numbers: int = 1920,
        flip: bool = True,
    ) -> ClipWindows:
        """Read a folder; ``codec`` as in :class:`TalkingWindows`; ``size``: side of the pictures that are encoded and
        of those that drive.

        Raises:
            MediaError, ConfigError, WeightsError: as :func:`load_clip_windows`.
        """
        needs = ClipNeeds(length, (encoder, numbers), face=True, size=size, flip=flip, pictures=size)
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
