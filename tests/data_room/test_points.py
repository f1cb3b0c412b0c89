from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import SIZE, labels

from vivant.core.errors import ConfigError
from vivant.data.dataset import FaceClips
from vivant.data.manifest import Row


def rows(count: int) -> list[Row]:
    return [Row(f"c{i}", "p", "train", "clip", "rig", 2, 25.0, SIZE, "x.npz", video="x.mp4") for i in range(count)]


def test_the_mean_shape_is_the_mean_of_the_neutral_shapes() -> None:
    kept = [replace(labels(2, 4, seed), points=np.array([1, 33, 61, 263])) for seed in (1, 2)]
    clips = FaceClips(torch.zeros(4, SIZE, SIZE, 3, dtype=torch.uint8), rows(2), kept)
    expected = (kept[0].neutral[[3, 0]].astype(np.float32) + kept[1].neutral[[3, 0]]) / 2
    np.testing.assert_allclose(clips.mean_shape([263, 1]), expected, atol=1e-6)
    with pytest.raises(ConfigError, match=r"do not keep the landmarks \[9\]"):
        clips.mean_shape([9])


def test_clips_with_different_landmarks_do_not_mix() -> None:
    kept = [labels(2, 4), replace(labels(2, 4), points=np.array([1, 2, 3, 9]))]
    with pytest.raises(ConfigError, match="different landmarks"):
        FaceClips(torch.zeros(4, SIZE, SIZE, 3, dtype=torch.uint8), rows(2), kept)
