"""What is known of a synthesised clip, in one ``.npz`` beside it.

F frames of S x S pixels; E expression units, named in ``expression_names``.

| array | shape, type | meaning |
|---|---|---|
| ``pose`` | (F, 6) float32 | motion relative to the still as in ``RigMotion``: yaw, pitch, roll in degrees, shift right and down in cm, log scale; the same for all clips of a take |
| ``pose_absolute`` | (F, 6) float32 | the head's own angles, shift and scale |
| ``expression`` | (F, E) float16 | units relative to the still; clips of a take differ by what shuts a talking mouth and by smiles the still shows already |
| ``expression_absolute`` | (F, E) float16 | as drawn |
| ``gaze`` | (F, 2) float32 | turn of the eyes right and down in radians, relative to the still |
| ``landmarks`` | (F, 478, 3) int16 | face mesh in 1/64 pixel, x right and y down from the middle of the first pixel, z away |
| ``regions`` | (F, S/2, S/2) uint8 | 0 background, 1 body, 2 skin, 3 lips, 4 mouth, 5 eyes |
| ``depth`` | (F, S/4, S/4) float16 | distance from the camera in cm, nan on the background |
| ``phones``, ``phone_times`` | (N,) str, (N, 2) float32 | IPA and start, end in seconds, where somebody speaks |
"""  # noqa: E501

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vivant.core.errors import ARRAY_ERRORS, MediaError
from vivant.rig.motion import EXPRESSION_NAMES, RigMotion
from vivant.rig.render import Rendered
from vivant.tts.spoken import Phone

SUBPIXELS = 64
REGIONS_EVERY, DEPTH_EVERY = 2, 4


@dataclass
class Collected:
    """The truth of the frames rendered so far; the pictures themselves are not kept."""

    landmarks: list[np.ndarray]
    regions: list[np.ndarray]
    depth: list[np.ndarray]
    pose: list[np.ndarray]
    expression: list[np.ndarray]

    @classmethod
    def empty(cls) -> Collected:
        """Nothing yet."""
        return cls([], [], [], [], [])

    def add(self, frame: Rendered) -> None:
        """One more frame."""
        side = len(frame.image)
        pick = slice(REGIONS_EVERY // 2, None, REGIONS_EVERY)
        coarse = slice(DEPTH_EVERY // 2, None, DEPTH_EVERY)
        limit = np.iinfo(np.int16).max / SUBPIXELS
        self.landmarks.append(np.round(np.clip(frame.landmarks, -limit, limit) * SUBPIXELS).astype(np.int16))
        self.regions.append(frame.regions[pick, pick][: side // 2, : side // 2].copy())
        self.depth.append(frame.depth[coarse, coarse].astype(np.float16))
        self.pose.append(frame.pose)
        self.expression.append(frame.expression)

    def arrays(self, motion: RigMotion, phones: Sequence[Phone]) -> dict[str, np.ndarray]:
        """All arrays of the file."""
        return {
            "pose": motion.pose.astype(np.float32),
            "pose_absolute": np.stack(self.pose).astype(np.float32),
            "expression": motion.expression.astype(np.float16),
            "expression_absolute": np.stack(self.expression).astype(np.float16),
            "expression_names": np.array(EXPRESSION_NAMES),
            "gaze": motion.gaze.astype(np.float32),
            "landmarks": np.stack(self.landmarks),
            "regions": np.stack(self.regions),
            "depth": np.stack(self.depth),
            "phones": np.array([p.symbol for p in phones], dtype=np.str_),
            "phone_times": np.array([(p.start, p.end) for p in phones], np.float32).reshape(-1, 2),
        }


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """A compressed ``.npz`` that appears whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as stream:
            np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]  # names and arrays
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def read_truth(path: Path | str) -> dict[str, np.ndarray]:
    """The arrays of a truth file; ``landmarks`` as float32 pixels.

    Raises:
        MediaError: missing or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as data:
            arrays = {name: data[name] for name in data.files}
        arrays["landmarks"] = arrays["landmarks"].astype(np.float32) / SUBPIXELS
    except ARRAY_ERRORS as error:
        raise MediaError(f"{path} is no truth of a clip ({error}): synthesise the clip again.") from error
    return arrays
