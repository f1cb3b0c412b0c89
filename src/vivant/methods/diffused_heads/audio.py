"""Sound to one embedding a frame, and the embeddings of neighbouring frames (paper section 3.3).

Three encoders: the published one hears samples, window after window, and remembers (a recurrent net, TorchScript); the
others project what a general speech encoder says during the frame.

Axis letters: B batch, F frames, T steps of a frame, D numbers of a step, W width of an embedding, R frames of reach.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vivant.core.errors import ConfigError
from vivant.core.speech import SPEECH_FEATURES, SPEECH_RATE, Speech
from vivant.methods.diffused_heads.config import Config

WINDOW = 3200
"""Samples that the window encoder hears at once, 0.2 s."""
_BEFORE = 1280  # samples of a window before its frame begins
_UNITS = 256
_BLOCK = 250  # frames whose features are computed at once
FEATURES: dict[str, tuple[int, int]] = {"mel": SPEECH_FEATURES["mel"], "whisper-tiny-en": (2, 384)}
"""(T, D) of what is used of each encoder: all of the mel energies, the last block of Whisper tiny.en."""


class FeatureProjection(nn.Module):
    """What an encoder says during a frame, normalised and projected by two layers."""

    def __init__(self, steps: int, numbers: int, width: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.LayerNorm(steps * numbers), nn.Linear(steps * numbers, 2 * width), nn.SiLU(), nn.Linear(2 * width, width)
        )

    def forward(self, features: Tensor) -> Tensor:
        """(..., T, D) to (..., W)."""
        return self.net(features.flatten(-2))


class _Convolutions(nn.Module):
    """Five convolutions with batch norm and ReLU, then one over what is left, with tanh."""

    def __init__(self, code: int) -> None:
        super().__init__()
        sizes = [(1, 16, 80, 16, 32), (16, 32, 4, 2, 1), (32, 64, 4, 2, 1), (64, 128, 4, 2, 1), (128, 256, 10, 5, 3)]
        self.cl = nn.ModuleList(nn.Conv1d(a, b, k, s, p) for a, b, k, s, p in sizes)
        self.cl.append(nn.Conv1d(256, code, 5))
        self.activations = nn.ModuleList(nn.Sequential(nn.BatchNorm1d(b), nn.ReLU()) for _, b, *_ in sizes)

    def forward(self, x: Tensor) -> Tensor:
        for convolution, activation in zip(self.cl, self.activations):
            x = activation(convolution(x))
        return torch.tanh(self.cl[-1](x))[..., 0]


class WindowEncoder(nn.Module):
    """A window of 0.2 s and the memory of the windows before to an embedding, and the new memory.

    The design of speech-driven animation (Vougioukas et al. 2019, arXiv:1906.06337), from which the published encoder
    comes; called as the published TorchScript file is.
    """

    def __init__(self, code: int = _UNITS) -> None:
        super().__init__()
        self.encoder = _Convolutions(code)
        self.rnn = nn.GRU(code, _UNITS, 2, batch_first=True)

    def forward(self, window: Tensor, lengths: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Samples (B, 1, 3200), ``lengths`` [3200] (not used) and memory (2, B, 256) to the embedding (B, 256), the
        lengths and the new memory."""
        found, state = self.rnn(self.encoder(window)[:, None], state)
        return found[:, 0], lengths, state


def build_encoder(config: Config) -> nn.Module:
    """The encoder of a configuration with random weights.

    Raises:
        ConfigError: the window encoder answers with 256 numbers and no others.
    """
    if config.encoder == "window":
        if config.audio_width != _UNITS:
            raise ConfigError(f"The window encoder gives {_UNITS} numbers a frame, not {config.audio_width}.")
        return WindowEncoder()
    return FeatureProjection(*FEATURES[config.encoder], config.audio_width)


def check_speech(config: Config, speech: Speech | None, count: int) -> Speech:
    """The speech, if it brings what the configuration listens to for ``count`` frames.

    Raises:
        ConfigError: there is none, it lacks the features, or it is shorter.
    """
    if speech is None:
        raise ConfigError("Diffused Heads needs sound: give it with -a, for example -a speech.wav.")
    missing = [name for name in config.speech_encoders if name not in speech.features]
    if missing:
        raise ConfigError(f"The sound was not heard by '{missing[0]}', which this preset listens to.")
    if len(speech) < count:
        raise ConfigError(f"The sound fills {len(speech)} of {count} frames: give longer sound or fewer frames.")
    return speech


@torch.inference_mode()
def embeddings(
    encoder: nn.Module, config: Config, speech: Speech, count: int, device: torch.device
) -> Iterator[Tensor]:
    """One embedding (W,) for each of ``count`` frames, computed in blocks as they are asked for."""
    if config.encoder == "window":
        yield from _windowed(encoder, speech.samples, speech.fps, count, device)
        return
    track, width = speech.features[config.encoder], FEATURES[config.encoder][1]
    for start in range(0, count, _BLOCK):
        block = np.asarray(track[start : min(count, start + _BLOCK)])[..., -width:]
        yield from encoder(torch.from_numpy(np.ascontiguousarray(block)).to(device)).float()


def _windowed(
    encoder: nn.Module, samples: np.ndarray, fps: Fraction, count: int, device: torch.device
) -> Iterator[Tensor]:
    """Window i begins 1280 samples before frame i, at 25 frames a second at sample 640 i - 1280; silence around the
    sound. The memory starts at zero and goes from window to window."""
    state = torch.zeros(2, 1, _UNITS, device=device)
    lengths = torch.tensor([WINDOW], device=device)
    for frame in range(count):
        start = int(frame * SPEECH_RATE / fps) - _BEFORE
        window = np.zeros(WINDOW, np.float32)
        low, high = max(0, start), max(0, min(len(samples), start + WINDOW))
        if high > low:
            window[low - start : high - start] = samples[low:high]
        found, _, state = encoder(torch.from_numpy(window)[None, None].to(device), lengths, state)
        yield found.flatten().float()


def neighbours(rows: Iterator[Any], reach: int) -> Iterator[list[Any]]:
    """For every row the 2R + 1 rows around it in the order of time; at the ends the first and last are repeated.

    At frame 0 with R = 2 these are 0, 0, 0, 1, 2, as in the published sampler. R rows are read ahead.
    """
    held: deque[Any] = deque(maxlen=2 * reach + 1)
    read = given = 0
    for row in rows:
        held.extend([row] * (1 if held else reach + 1))
        read += 1
        if read > reach:
            given += 1
            yield list(held)
    seen = read
    while given < seen:
        held.append(held[-1])
        read += 1
        if read > reach:
            given += 1
            yield list(held)
