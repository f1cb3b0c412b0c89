"""What goes in: the person's picture and the poses become tensors, shared by inference and training.

Axis letters: F frames, N keypoints, H W pixels.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from vivant.core.controls import Controls
from vivant.core.errors import ConfigError
from vivant.core.face import FaceCrop
from vivant.diffusion.clip_inputs import images_of
from vivant.methods.animate_anyone.config import Config, Options
from vivant.nn.pose_drawing import draw_pose


def person(source: FaceCrop, size: int) -> Tensor:
    """The crop as (1, 3, size, size) float32 in 0..1."""
    image = source.image
    if image.shape[0] != size:
        way = cv2.INTER_AREA if image.shape[0] > size else cv2.INTER_LANCZOS4
        image = cv2.resize(image, (size, size), interpolation=way)
    return images_of([image])


def poses(controls: Controls, config: Config) -> np.ndarray:
    """The keypoints (F, N, 3) that the net knows.

    Raises:
        ConfigError: no poses, fewer than frames, or none that shows a person.
    """
    if controls.pose is None:
        raise ConfigError("Animate Anyone is driven by poses: give a driving video of a person.")
    found = np.asarray(controls.pose, np.float32)
    if len(found) < controls.count:
        raise ConfigError(
            f"There are poses for {len(found)} frames, but {controls.count} are to be made: give a longer video."
        )
    found = found[: controls.count, : config.pose_points]
    if not (found[..., 2] > 0).any():
        raise ConfigError("No frame of the driver shows a person: choose a video in which one is seen.")
    return found


def drawing(points: np.ndarray, size: int, hands: bool = True, face: bool = True) -> np.ndarray:
    """One pose (N, 3) as (size, size, 3) uint8 RGB, drawn on the canvas that published nets know."""
    return draw_pose(points, (size, size), hands=hands, face=face)


def drawings(points: np.ndarray, size: int, options: Options, device: torch.device | str = "cpu") -> Tensor:
    """Poses (F, N, 3) as (F, 3, size, size) float32 in 0..1 on ``device``."""
    return images_of([drawing(frame, size, options.hands, options.face_points) for frame in points], device)


FACE_LINE = 0.55
"""The upper drawing of the face set shows nothing above this part of the height."""


def face_drawings(points: np.ndarray, size: int, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
    """Face points (F, K, 3) in -1..1, 68 of iBUG and two irises if K is 70, as the two drawings of the released face
    set: the whole face without its lower half, and the mouth moved to the picture's middle; (F, 3, size, size) each.
    Points of confidence 0 are not drawn."""
    upper, mouth = [], []
    for frame, seen in zip((points[..., :2] + 1) * (size / 2), points[..., 2] > 0):
        whole, lips = np.zeros((size, size, 3), np.uint8), np.zeros((size, size, 3), np.uint8)
        for number in np.flatnonzero(seen):
            colour = (255, 255, 0) if number >= 66 else (0, 255, 0)
            _dot(whole, frame[number], colour)
        whole[int(size * FACE_LINE) :] = 0
        for number in np.flatnonzero(seen[48:66]) + 48:
            _dot(lips, frame[number] - frame[seen].mean(0) + size // 2, (0, 255, 0))
        upper.append(whole)
        mouth.append(lips)
    return images_of(upper, device), images_of(mouth, device)


def _dot(canvas: np.ndarray, point: np.ndarray, colour: tuple[int, int, int]) -> None:
    cv2.circle(canvas, (int(point[0] + 0.5), int(point[1] + 0.5)), 1, colour, -1)
