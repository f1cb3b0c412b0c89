"""How alike clothes are: tools/clothes.py."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from clothes import crop, likeness

from vivant.data.manifest import Row, write_manifest
from vivant.media.writer import VideoWriter


def standing(x: float) -> np.ndarray:
    """(128, 3) a body whose shoulders, hips and knees stand around ``x``."""
    pose = np.zeros((128, 3), np.float32)
    pose[[2, 5], 1], pose[[8, 11], 1], pose[[9, 12], 1] = -0.4, 0.1, 0.5
    pose[[2, 8, 9], 0], pose[[5, 11, 12], 0] = x - 0.2, x + 0.2
    return pose


def test_the_box_holds_the_clothes_and_stays_in_the_picture() -> None:
    frame = np.zeros((128, 128, 3), np.uint8)
    frame[38:97, 51:78] = 200
    inside = crop(frame, standing(0.0))
    assert inside.shape == (160, 160, 3) and inside.mean() > 90
    assert crop(frame, standing(0.95)).shape == (160, 160, 3)
    assert crop(frame, standing(3.0)).shape == (160, 160, 3)  # a body that has left the picture


def test_equal_clothes_are_alike_and_others_are_not(tmp_path: Path) -> None:
    people, rng = tmp_path / "people", np.random.default_rng(0)
    coat = rng.integers(0, 255, (16, 16, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    (people / "clips").mkdir(parents=True)

    def write(path: Path, shade: np.ndarray) -> None:
        with VideoWriter(path, 25.0, quality=8) as writer:
            for _ in range(8):
                writer.write(shade)

    write(people / "clips" / "a.mp4", coat)
    np.savez(people / "clips" / "a.npz", pose=np.stack([standing(0.0)] * 8))
    row = Row("a", "a", "test", "clip", "people", 8, 25.0, 128, "clips/a.npz", video="clips/a.mp4")
    write_manifest(people, [row])
    found = {}
    for name, made in (("same", coat), ("other", 255 - coat)):
        for folder in ("clips", "generated"):
            (tmp_path / name / folder).mkdir(parents=True)
        write(tmp_path / name / "generated" / "a-1.mp4", made)
        (tmp_path / name / "clips" / "a-1.json").write_text(json.dumps({"id": "a"}))
        found[name] = likeness(people, tmp_path / name)
    assert found["same"]["ssim"][0] > 0.99 and found["same"]["feat-lite0"][0] == pytest.approx(0, abs=1e-3)
    assert found["other"]["ssim"][0] < 0.5 and found["other"]["feat-lite0"][0] > 0.3
