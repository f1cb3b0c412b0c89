"""Log-mel energies as Whisper takes them (arXiv 2212.04356, section 2.2), in torch alone.

Axis letters: B batch, N samples at 16 kHz, M mel bands, S steps of 10 ms. Step s is the Fourier window of 25 ms whose
middle is sample 160 s.
"""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

RATE = 16_000
WINDOW, HOP, BANDS = 400, 160, 80
FLOOR = 1e-10


def mel_energies(samples: Tensor) -> Tensor:
    """log10 of the mel energies, at least -10.

    Args:
        samples: (B, N) float32 in -1..1, N of at least 1.

    Returns:
        (B, M, S) with M = 80 and S = ceil(N / 160).
    """
    steps = -(-samples.shape[-1] // HOP)
    edge = WINDOW // 2
    wanted = max(samples.shape[-1], (steps - 1) * HOP + 1, edge + 1)  # a mirror needs more samples than it shows
    padded = F.pad(F.pad(samples, (0, wanted - samples.shape[-1]))[:, None], (edge, edge), "reflect")[:, 0]
    window = torch.hann_window(WINDOW, device=samples.device)
    spectrum = torch.stft(padded, WINDOW, HOP, window=window, center=False, return_complex=True)[..., :steps]
    bands = mel_filters().to(samples.device) @ spectrum.abs().square()
    return bands.clamp(min=FLOOR).log10()


def whisper_mel(samples: Tensor) -> Tensor:
    """(B, N) samples -> (B, 80, S) as Whisper was trained on: at most 8 decades below the loudest, about -1..1."""
    energies = mel_energies(samples)
    loudest = energies.amax(dim=(1, 2), keepdim=True)
    return (torch.maximum(energies, loudest - 8.0) + 4.0) / 4.0


@functools.cache
def mel_filters() -> Tensor:
    """(80, 201) triangular filters with centres even on Slaney's mel scale from 0 to 8000 Hz, each of unit area."""
    centres = _from_mel(np.linspace(_to_mel(0.0), _to_mel(RATE / 2), BANDS + 2))
    bins = np.linspace(0, RATE / 2, WINDOW // 2 + 1)
    rising = (bins[None] - centres[:-2, None]) / np.diff(centres)[:-1, None]
    falling = (centres[2:, None] - bins[None]) / np.diff(centres)[1:, None]
    triangles = np.maximum(0, np.minimum(rising, falling))
    area = 2.0 / (centres[2:] - centres[:-2])
    return torch.from_numpy((triangles * area[:, None]).astype(np.float32))


_LINEAR_END, _LINEAR_STEP, _LOG_STEP = 1000.0, 200.0 / 3, np.log(6.4) / 27


def _to_mel(hertz: float) -> float:
    """Slaney's scale: linear up to 1 kHz, logarithmic above."""
    if hertz < _LINEAR_END:
        return hertz / _LINEAR_STEP
    return float(_LINEAR_END / _LINEAR_STEP + np.log(hertz / _LINEAR_END) / _LOG_STEP)


def _from_mel(mel: np.ndarray) -> np.ndarray:
    linear = mel * _LINEAR_STEP
    curved = _LINEAR_END * np.exp(_LOG_STEP * (mel - _LINEAR_END / _LINEAR_STEP))
    return np.asarray(np.where(linear < _LINEAR_END, linear, curved))
