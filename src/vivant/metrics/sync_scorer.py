"""Sync scores of videos: follow the face, cut it out, hear the sound, embed both, compare.

A clip is read twice (faces, then crops) and in pieces, so memory grows by a few hundred bytes a frame only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vivant.core.clip import Audio, Clip
from vivant.core.errors import ConfigError, MediaError
from vivant.media.audio import FileAudio, audio_blocks, stream_audio
from vivant.media.video import at_rate
from vivant.metrics.sync import (
    FPS,
    SAMPLES_PER_FRAME,
    STEPS_PER_FRAME,
    WINDOW,
    SyncResult,
    shifted_distances,
    sound_range,
    sync_result,
    window_count,
)
from vivant.metrics.sync_crops import Track, find_speaker, lower_faces, published_faces
from vivant.perception.mfcc import RATE, log_mel_blocks, mfcc_blocks

KINDS = ("lite", "published")
_STEPS = 20  # of sound in a window
_CHUNK = 50  # windows embedded at once
_SMALL_BATCH = 10  # windows of the published net at once: 3 MB of pixels each


@dataclass(frozen=True)
class SyncScorer:
    """A sync net with the crop and the sound features it was trained on.

    ``confidence_name``, ``distance_name``: how its numbers are called wherever they are printed. ``protocol``: what
    they depend on, in one line. Built by :func:`sync_scorer`.
    """

    kind: str
    confidence_name: str
    distance_name: str
    protocol: str
    weights: str
    crops: Callable[[Iterable[np.ndarray], Track], Iterator[np.ndarray]]
    features: Callable[[Iterable[np.ndarray]], Iterator[np.ndarray]]
    embed_video: Callable[[list[np.ndarray]], Tensor]
    embed_sound: Callable[[np.ndarray], Tensor]

    def score(self, clip: Clip, audio: Audio | None = None, track: Track | None = None) -> SyncResult:
        """How well the lips of ``clip`` fit its sound, or ``audio``.

        Args:
            clip: at any rate; brought to 25 frames a second by holding and leaving out frames. Its frames are read
                twice (once with ``track``).
            audio: sound whose time 0 is the first frame; None takes the clip's own.
            track: the face to look at, in the clip at 25 frames a second; None takes the one seen longest.

        Raises:
            MediaError: no sound, or less than six frames with sound.
            FaceError: no face.
        """
        audio = audio or clip.audio
        if audio is None:
            raise MediaError("The video has no sound to compare its lips with: give one that has, or an audio file.")
        clip = at_rate(clip, FPS)
        track = track or find_speaker(clip.frames)
        features, samples = self._hear(audio, track)
        total = window_count(len(track), samples)
        if total < 1:
            raise MediaError(
                f"The face is seen for {len(track)} frames and heard for {samples / RATE:.2f} s: "
                f"a sync score needs {WINDOW + 1} frames with sound or more."
            )
        return sync_result(self._distances(self.crops(clip.frames, track), features, total))

    def _hear(self, audio: Audio, track: Track) -> tuple[np.ndarray, int]:
        """Features (T, bins) of the sound during ``track``, and how many samples there are."""
        count = 0

        def counted() -> Iterator[np.ndarray]:
            nonlocal count
            for block in _span(mono_blocks(audio), track.start * SAMPLES_PER_FRAME, len(track) * SAMPLES_PER_FRAME):
                count += len(block)
                yield block

        parts = list(self.features(counted()))
        return np.concatenate(parts), count

    def _distances(self, crops: Iterator[np.ndarray], features: np.ndarray, total: int) -> np.ndarray:
        """(total, 31) distances, piece by piece."""
        parts, held = [], list(islice(crops, WINDOW - 1))
        for before in range(0, total, _CHUNK):
            count = min(_CHUNK, total - before)
            held = [*held[-(WINDOW - 1) :], *islice(crops, count)]
            first, last = sound_range(before, count, total)
            heard = features[first * STEPS_PER_FRAME : (last - 1) * STEPS_PER_FRAME + _STEPS]
            with torch.inference_mode():
                video, sound = self.embed_video(held), self.embed_sound(heard)
                parts.append(shifted_distances(video, sound, before, total).cpu().numpy())
        return np.concatenate(parts)


def mono_blocks(audio: Audio) -> Iterator[np.ndarray]:
    """(n,) float32 at 16 kHz, all channels mixed."""
    if isinstance(audio, FileAudio):
        return (block[:, 0] for block in stream_audio(audio.path, RATE, mono=True))
    return (block.mean(axis=1) for block in audio_blocks(audio, RATE))


def _span(blocks: Iterable[np.ndarray], start: int, count: int) -> Iterator[np.ndarray]:
    """The samples ``start`` .. ``start + count`` of a stream of blocks."""
    at = 0
    for block in blocks:
        inside = block[max(0, start - at) : max(0, start + count - at)]
        if len(inside):
            yield inside
        at += len(block)
        if at >= start + count:
            return


def sync_scorer(kind: str = "lite", weights: str | Path | None = None, device: str = "cpu") -> SyncScorer:
    """A scorer with its net on ``device``.

    Args:
        kind: ``lite`` (ours, bundled) or ``published`` (SyncNet, fetched from the hub).
        weights: a file instead of the bundled or fetched one.
        device: where the net runs.

    Raises:
        ConfigError: an unknown kind.
        WeightsError: the weights are missing, damaged or another model's.
    """
    if kind == "lite":
        return _lite(weights, device)
    if kind == "published":
        return _published(weights, device)
    raise ConfigError(f"There is no sync scorer '{kind}': use one of {', '.join(KINDS)}.")


def _lite(weights: str | Path | None, device: str) -> SyncScorer:
    from vivant.perception.sync_lite import load_sync_lite

    net, info = load_sync_lite(weights)
    net.to(device)

    def embed_video(crops: list[np.ndarray]) -> Tensor:
        return net.embed_video(torch.from_numpy(np.stack(crops)).to(device)[None].float() / 255)[0]

    def embed_sound(features: np.ndarray) -> Tensor:
        return net.embed_sound(torch.from_numpy(features).to(device)[None])[0]

    protocol = "Vivant's own sync net (lite), 25 fps, 16 kHz log-mel, lower faces of 96 px, offsets within 15"
    return SyncScorer(
        "lite", "sync-c-lite", "sync-d-lite", protocol, _hash(info.files), lower_faces, log_mel_blocks,
        embed_video, embed_sound,
    )  # fmt: skip


def _published(weights: str | Path | None, device: str) -> SyncScorer:
    from vivant.perception.syncnet import load_syncnet

    net, info = load_syncnet(weights)
    net.to(device)

    def embed_video(crops: list[np.ndarray]) -> Tensor:
        frames = torch.from_numpy(np.stack(crops)).permute(3, 0, 1, 2)  # (3, F, 224, 224)
        windows = frames.unfold(1, WINDOW, 1).permute(1, 0, 4, 2, 3)
        return torch.cat([net.embed_video(part.to(device).float()) for part in windows.split(_SMALL_BATCH)])

    def embed_sound(features: np.ndarray) -> Tensor:
        windows = torch.from_numpy(features).unfold(0, _STEPS, STEPS_PER_FRAME)[:, None]  # (n, 1, 13, 20)
        return net.embed_sound(windows.to(device))

    protocol = (
        "SyncNet (syncnet_v2), 25 fps, 16 kHz MFCC, faces of 224 px by Vivant's landmarks instead of S3FD's boxes, "
        "offsets within 15"
    )
    return SyncScorer(
        "published", "sync-c", "sync-d", protocol, _hash(info.files), published_faces, mfcc_blocks,
        embed_video, embed_sound,
    )  # fmt: skip


def _hash(files: dict[str, str]) -> str:
    return " ".join(sorted(files.values()))
