"""From a prediction of windows to the frames of a clip: what reference-net methods share behind their nets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vivant.core.errors import ConfigError
from vivant.diffusion.codec import decode_stream
from vivant.diffusion.samplers import Sampling
from vivant.diffusion.schedule import SCHEDULES, Schedule, linear
from vivant.diffusion.windows import PredictWindows, Windows, denoise_stream, frame_noise


def latent_schedule(name: str) -> Schedule:
    """Stable Diffusion's betas, "linear" or "scaled-linear", or "cosine", with zero terminal SNR; or "pixart", the
    straight line from 1e-4 to 0.02 without it.

    Raises:
        ConfigError: there is no such schedule.
    """
    if name == "pixart":
        return linear(dtype=torch.float32)
    if name not in SCHEDULES:
        raise ConfigError(f"There is no noise schedule '{name}': use one of {', '.join([*SCHEDULES, 'pixart'])}.")
    ends = {} if name == "cosine" else {"start": 0.00085, "end": 0.012}
    return SCHEDULES[name](**ends, dtype=torch.float32).zero_snr()  # type: ignore[operator]


@dataclass(frozen=True)
class ClipPlan:
    """How a clip of ``count`` frames is drawn: latents of ``shape`` (C, h, w), times, windows, how many at once.

    ``whole_noise``: draw the noise of all frames at once, as released pipelines do, so that seeds mean the same;
    needs memory for the clip's latents. ``truncate``: cut off fractions of colours, as they do.
    """

    count: int
    shape: tuple[int, int, int]
    sampling: Sampling
    windows: Windows
    batch: int = 1
    seed: int = 0
    whole_noise: bool = False
    truncate: bool = False

    def noise(self, device: torch.device) -> Iterator[Tensor]:
        """Frames (C, h, w) of noise."""
        if not self.whole_noise:
            return frame_noise(self.shape, self.seed, device)
        generator = torch.Generator().manual_seed(self.seed)
        whole = torch.randn(self.shape[0], self.count, *self.shape[1:], generator=generator)
        return iter(whole.transpose(0, 1).to(device))


def make_frames(predict: PredictWindows, codec: Any, plan: ClipPlan, device: torch.device) -> Iterator[np.ndarray]:
    """Frames (H, W, 3) uint8 RGB in order, each as soon as it is done.

    Raises:
        ConfigError: no frames are asked for, or the GPU's memory does not suffice.
    """
    if plan.count < 1:
        raise ConfigError("There are no frames to make: what drives lasts 0 s; give something longer.")
    latents = denoise_stream(
        predict, plan.noise(device), plan.count, plan.sampling, plan.windows, plan.batch, plan.seed
    )
    return _explained(decode_stream(codec, latents, truncate=plan.truncate))


def _explained(frames: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Frames, with a full memory told as a sentence."""
    try:
        yield from frames
    except torch.cuda.OutOfMemoryError as error:
        raise ConfigError(
            "The GPU's memory does not suffice: lower --batch-size or --window, or use --dtype fp16 or bf16."
        ) from error
