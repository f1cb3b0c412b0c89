"""Sound as sync nets hear it: 100 spectra a second, as 13 cepstral numbers (MFCC) or as log-mel energies.

The MFCCs are those of the package python_speech_features 0.6 with its defaults, which SyncNet was trained on (Chung and
Zisserman 2016, section 3.1): pre-emphasis 0.97, windows of 25 ms every 10 ms without taper, power spectrum of 512
points over 512, 26 triangular filters up to 8 kHz, natural logarithm, orthonormal DCT-II, lifter 22, the first number
replaced by the logarithm of the energy. Samples count as 16-bit integers. Sound comes block by block, so that memory
does not grow with length.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache

import numpy as np
from scipy.fft import dct

RATE = 16_000
"""Samples a second that these features hear."""
STEPS_PER_SECOND = 100
COEFFICIENTS = 13
LOG_MEL_BINS = 40
_WINDOW, _HOP, _FFT = 400, 160, 512
_PRE_EMPHASIS, _LIFTER, _FILTERS = 0.97, 22, 26
_EPS = float(np.finfo(float).eps)


def mfcc(samples: np.ndarray) -> np.ndarray:
    """(N,) mono in -1..1 at 16 kHz -> (T, 13) float32, T = 1 + ceil((N - 400) / 160), at least 1."""
    return np.concatenate(list(mfcc_blocks([samples])))


def log_mel(samples: np.ndarray) -> np.ndarray:
    """(N,) mono in -1..1 at 16 kHz -> (T, 40) float32: natural logarithm of mel energies, 0 for silence."""
    return np.concatenate(list(log_mel_blocks([samples])))


def mfcc_blocks(blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """As :func:`mfcc`, for sound in blocks (n,) that follow one another; together they give the same numbers."""
    lift = 1 + _LIFTER / 2 * np.sin(np.pi * np.arange(COEFFICIENTS) / _LIFTER)
    for power in _power_blocks(blocks):
        energies = np.maximum(power @ mel_filters(_FILTERS).T, _EPS)
        found = dct(np.log(energies), type=2, axis=1, norm="ortho")[:, :COEFFICIENTS] * lift
        found[:, 0] = np.log(np.maximum(power.sum(1), _EPS))
        yield found.astype(np.float32)


def log_mel_blocks(blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """As :func:`log_mel`, for sound in blocks (n,) that follow one another."""
    for power in _power_blocks(blocks):
        yield np.log1p(power @ mel_filters(LOG_MEL_BINS).T).astype(np.float32)


@cache
def mel_filters(count: int) -> np.ndarray:
    """(count, 257) triangles on the mel scale from 0 to 8 kHz, their corners on whole bins of the spectrum."""
    top = 2595 * np.log10(1 + RATE / 2 / 700)
    hertz = 700 * (10 ** (np.linspace(0, top, count + 2) / 2595) - 1)
    corners = np.floor((_FFT + 1) * hertz / RATE)
    at = np.arange(_FFT // 2 + 1)
    filters = np.zeros((count, len(at)))
    for row, (low, middle, high) in enumerate(zip(corners, corners[1:], corners[2:])):
        rising, falling = (at >= low) & (at < middle), (at >= middle) & (at < high)
        filters[row, rising] = (at[rising] - low) / (middle - low)
        filters[row, falling] = (high - at[falling]) / (high - middle)
    return filters


def _power_blocks(blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """(t, 257) power spectra; the last window is filled up with zeros, as in the reference."""
    rest, last, ready = np.zeros(0), None, False
    for block in blocks:
        samples = as_16_bit(block)
        if not len(samples):
            continue
        before = np.concatenate([[0.0 if last is None else last], samples[:-1]])
        last = samples[-1]
        rest = np.concatenate([rest, samples - _PRE_EMPHASIS * before])
        count = (len(rest) - _WINDOW) // _HOP + 1
        if count > 0:
            ready = True
            yield _power(rest[: (count - 1) * _HOP + _WINDOW])
            rest = rest[count * _HOP :]
    overlap = _WINDOW - _HOP if ready else 0
    if len(rest) > overlap or not ready:
        yield _power(np.pad(rest, (0, _WINDOW - len(rest))))


def _power(samples: np.ndarray) -> np.ndarray:
    windows = np.lib.stride_tricks.sliding_window_view(samples, _WINDOW)[::_HOP]
    return np.abs(np.fft.rfft(windows, _FFT)) ** 2 / _FFT


def as_16_bit(samples: np.ndarray) -> np.ndarray:
    """Samples in -1..1 as float64 that hold the whole numbers a 16-bit file would hold."""
    return np.clip(np.round(np.asarray(samples, np.float64) * 32768), -32768, 32767)
