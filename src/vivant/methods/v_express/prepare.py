"""What goes in: portrait and controls become tensors, shared by inference and training.

Axis letters: F frames, S feature vectors that one frame hears, D numbers of a vector, H W pixels.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from vivant.core.attributes import parse_attributes
from vivant.core.controls import Controls
from vivant.core.errors import ConfigError
from vivant.core.face import FaceCrop
from vivant.diffusion.clip_inputs import heard_windows, images_of
from vivant.methods.v_express.config import AudioConfig, Options
from vivant.nn.v_kps import draw_v_kps, draw_v_kps_smooth, face_points, retarget


def keypoints(source: FaceCrop, controls: Controls, options: Options) -> np.ndarray:
    """V-Kps of the F frames, retargeted to the portrait: (F, 3, 2) float32 in -1..1 of the source crop.

    Without V-Kps among the controls the head stays as it is in the portrait.

    Raises:
        ConfigError: fewer V-Kps than frames.
    """
    own = face_points(source.landmarks) * (2 / source.image.shape[0]) - 1
    if controls.keypoints is None:
        return np.repeat(own[None], controls.count, 0).astype(np.float32)
    if len(controls.keypoints) < controls.count:
        raise ConfigError(
            f"There are V-Kps for {len(controls.keypoints)} frames, but {controls.count} are to be made: give V-Kps "
            "that last as long as the speech."
        )
    driving = np.asarray(controls.keypoints[: controls.count])
    # the released code scales about the corner of the picture, so parity needs coordinates that start there
    shift = 1.0 if options.upstream else 0.0
    return retarget(driving + shift, own + shift, options.retarget, options.upstream, options.retarget_gain) - shift


def drawings(points: np.ndarray, size: int, smooth: bool = False, device: torch.device | str = "cpu") -> Tensor:
    """V-Kps (F, 3, 2) in -1..1 as (F, 3, size, size) float32 in 0..1 on ``device``; lines as thick as in 512 x 512.

    ``smooth``: with soft edges, as our own weights are trained; published ones know whole pixels.
    """
    if smooth:
        return draw_v_kps_smooth(torch.from_numpy(points), size, size / 512).to(device)
    pixels = (points + 1) * (size / 2)
    return images_of([draw_v_kps(frame, (size, size), size / 512) for frame in pixels], device)


def speech_windows(features: np.ndarray, first: int, stop: int, count: int, audio: AudioConfig) -> Tensor:
    """What the frames ``first``..``stop`` - 1 hear: (stop - first, S, D) float32; silence is zero beyond both ends."""
    return heard_windows(features, first, stop, count, audio.reach, audio.inputs)


def attribute_values(text: str, names: tuple[str, ...]) -> Tensor | None:
    """``"happy=0.8,intensity=1"`` as (1, A) values in 0..1 in the order of ``names``; None if there are no names.

    Raises:
        ConfigError: a name that the net does not know, or a value that is no number in 0..1.
    """
    values = parse_attributes(text, names)
    return torch.tensor([values]) if names else None
