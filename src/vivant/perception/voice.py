"""Is somebody speaking: the voice activity net of Silero (MIT) in torch, one probability for every 32 ms.

Music, noise and hum are told from voices, which a threshold of loudness cannot do (measured in docs/speech.md).
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from vivant.weights.assets import asset
from vivant.weights.loading import load_strict

CHUNK = 512  # samples at 16 kHz that one probability stands for
_CONTEXT = 64  # samples before a chunk that the net sees as well
_HIDDEN = 128
_AT_ONCE = 1024  # chunks computed together

State = tuple[Tensor, Tensor]


class VoiceNet(nn.Module):
    """Fourier magnitudes, four convolutions, an LSTM over the chunks, one probability; keys of the published file."""

    def __init__(self) -> None:
        super().__init__()
        self.stft_conv = nn.Conv1d(1, 258, 256, stride=128, bias=False)
        self.conv1 = nn.Conv1d(129, 128, 3, padding=1)
        self.conv2 = nn.Conv1d(128, 64, 3, stride=2, padding=1)
        self.conv3 = nn.Conv1d(64, 64, 3, stride=2, padding=1)
        self.conv4 = nn.Conv1d(64, 128, 3, padding=1)
        self.lstm_cell = nn.LSTMCell(_HIDDEN, _HIDDEN)
        self.final_conv = nn.Conv1d(_HIDDEN, 1, 1)

    def forward(self, chunks: Tensor, state: State) -> tuple[Tensor, State]:
        """Probabilities of neighbouring chunks.

        Args:
            chunks: (S, 576) S chunks, each with the 64 samples before it.
            state: the LSTM's (1, 128) twice, zeros at the beginning.

        Returns:
            (S,) in 0..1, and the state after the last chunk.
        """
        x = self.stft_conv(F.pad(chunks[:, None], (0, _CONTEXT), "reflect"))
        x = (x[:, :129].square() + x[:, 129:].square()).sqrt()
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            x = F.relu(conv(x))
        hidden = []
        for row in x[..., 0].split(1):
            state = self.lstm_cell(row, state)
            hidden.append(state[0])
        x = self.final_conv(F.relu(torch.cat(hidden))[..., None])
        return torch.sigmoid(x)[:, 0, 0], state


class VoiceDetector:
    """Listens to one sound from front to back, in blocks of any length."""

    def __init__(self) -> None:
        self._net = _net()
        self.reset()

    def reset(self) -> None:
        """Forget what was heard."""
        self._state: State = (torch.zeros(1, _HIDDEN), torch.zeros(1, _HIDDEN))
        self._waiting = np.zeros(_CONTEXT, np.float32)

    @torch.inference_mode()
    def feed(self, samples: np.ndarray, last: bool = False) -> np.ndarray:
        """Probabilities (S,) float32 in 0..1 of the chunks of 512 samples that became complete.

        ``samples``: (n,) float32 at 16 kHz that follow those before. ``last``: complete the last chunk with silence.
        """
        rows = np.concatenate([self._waiting, samples.astype(np.float32, copy=False)])
        if last:
            rows = np.pad(rows, (0, -(len(rows) - _CONTEXT) % CHUNK))
        count = (len(rows) - _CONTEXT) // CHUNK
        self._waiting = rows[count * CHUNK :].copy()
        found = [np.zeros(0, np.float32)]
        for start in range(0, count, _AT_ONCE):
            part = range(start, min(start + _AT_ONCE, count))
            chunks = np.stack([rows[k * CHUNK : (k + 1) * CHUNK + _CONTEXT] for k in part])
            values, self._state = self._net(torch.from_numpy(chunks), self._state)
            found.append(values.numpy())
        return np.concatenate(found)


@cache
def _net() -> VoiceNet:
    net = VoiceNet()
    name = "speech/silero_vad_16k.safetensors"
    load_strict(net, load_file(asset(name)), name)
    return net.eval().requires_grad_(False)
