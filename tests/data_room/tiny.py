"""A tiny folder of training data: moving gradients with made-up labels."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from vivant.data.labels import Labels, write_labels
from vivant.data.manifest import Row, write_manifest

SIZE = 32


def frame(number: int) -> np.ndarray:
    """(SIZE, SIZE, 3): its grey level tells its number."""
    return np.full((SIZE, SIZE, 3), 20 + 8 * number, np.uint8)


def labels(frames: int, points: int = 478, seed: int = 0) -> Labels:
    rng = np.random.default_rng(seed)
    return Labels(
        landmarks=rng.normal(0, 0.3, (frames, points, 3)).astype(np.float16),
        rotation=np.linspace(-0.4, 0.4, frames, dtype=np.float32)[:, None] * np.ones((1, 3), np.float32),
        scale=np.full(frames, 1.2, np.float32),
        translation=np.zeros((frames, 2), np.float32),
        neutral=rng.normal(0, 0.3, (points, 3)).astype(np.float16),
        weight=np.ones(points, np.float32),
        points=np.arange(points),
    )


def write_video(path: Path, frames: int) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(25), options={"crf": "0"})
        stream.width = stream.height = SIZE
        stream.pix_fmt = "yuv444p"
        for number in range(frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame(number), format="rgb24")))
        container.mux(stream.encode())


def write_folder(root: Path, clips: int = 3, frames: int = 6, stills: int = 2) -> list[Row]:
    rows = []
    (root / "clips").mkdir(parents=True)
    for number in range(clips):
        name = f"clip{number}"
        write_video(root / "clips" / f"{name}.mp4", frames)
        write_labels(root / "clips" / f"{name}.npz", labels(frames, seed=number))
        split, group = ("val" if number == clips - 1 else "train"), ("rig" if number % 2 == 0 else "grid")
        rows.append(Row(name, f"p{number}", split, "clip", group, frames, 25.0, SIZE, f"clips/{name}.npz",
                        video=f"clips/{name}.mp4"))  # fmt: skip
    for number in range(stills):
        name = f"still{number}"
        cv2.imwrite(str(root / "clips" / f"{name}.png"), frame(20 + number))
        write_labels(root / "clips" / f"{name}.npz", labels(1, seed=50 + number))
        rows.append(Row(name, name, "train", "still", "still", 1, 25.0, SIZE, f"clips/{name}.npz",
                        image=f"clips/{name}.png"))  # fmt: skip
    write_manifest(root, rows)
    return rows
