"""Portrait and speech as tensors, for the methods that make clips.

Axis letters: F frames, T feature vectors of a frame, S feature vectors that one frame hears, D numbers of a vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import cv2
import numpy as np
import torch
from torch import Tensor

from vivant.core.controls import Controls
from vivant.core.errors import ConfigError
from vivant.core.face import FaceCrop


def portrait(source: FaceCrop, size: int) -> Tensor:
    """The crop as (1, 3, size, size) float32 in 0..1."""
    image = source.image
    if image.shape[0] != size:
        smaller = image.shape[0] > size
        image = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)
    return images_of([image])


def images_of(pictures: Sequence[np.ndarray], device: torch.device | str = "cpu") -> Tensor:
    """F pictures (H, W, 3) uint8 as (F, 3, H, W) float32 in 0..1 on ``device``; they go there as bytes."""
    moved = torch.from_numpy(np.stack(pictures)).to(device)
    return moved.permute(0, 3, 1, 2).float() / 255


def heard_windows(
    features: np.ndarray, first: int, stop: int, count: int, reach: int, numbers: int,
    ends: Literal["zero", "repeat"] = "zero",
) -> Tensor:  # fmt: skip
    """What the frames ``first``..``stop`` - 1 hear: (stop - first, S, D) float32, S = T (2 reach + 1).

    Args:
        features: (F, T, numbers or more) of the whole clip, sliced along the frames only; the last numbers count.
        first: first frame.
        stop: frame behind the last one.
        count: F.
        reach: frames before and behind that are heard, too.
        numbers: D.
        ends: beyond both ends of the clip stands silence ("zero"), or its first and last frame ("repeat").
    """
    low, high = max(0, first - reach), min(count, stop + reach)
    rows = np.asarray(features[low:high], np.float32)[..., -numbers:]
    before, behind = low - (first - reach), (stop + reach) - high
    rows = np.pad(rows, ((before, behind), (0, 0), (0, 0)), mode="constant" if ends == "zero" else "edge")
    span = 2 * reach + 1
    heard = np.stack([rows[i : i + span].reshape(-1, rows.shape[-1]) for i in range(stop - first)])
    return torch.from_numpy(heard)


def speech_features(controls: Controls, encoder: str) -> np.ndarray | None:
    """The features (F, T, D) of the encoder that a method listens to, or None without speech.

    Raises:
        ConfigError: the speech was not heard by that encoder, or does not fit the clip.
    """
    if controls.speech is None:
        return None
    found = controls.speech.features.get(encoder)
    if found is None:
        raise ConfigError(f"The speech has no features of the encoder '{encoder}': read it with that encoder.")
    if len(found) < controls.count:
        raise ConfigError(
            f"The speech lasts {len(found)} frames, but {controls.count} are to be made: give longer speech."
        )
    return found
