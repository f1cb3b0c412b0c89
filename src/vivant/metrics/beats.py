"""Beats of motion and onsets of sound, and how well they fall together."""

from __future__ import annotations

import numpy as np

WIDTH = 0.12
"""Seconds: the width of the alignment's bell."""
SMOOTHING = 0.08
"""Seconds: the Gaussian that smooths the speed before its minima are taken."""
MELS, WINDOW, HOP = 40, 400, 160


def motion_beats(speed: np.ndarray, fps: float) -> np.ndarray:
    """Times in seconds of the local minima of a speed (F,), smoothed; gaps (NaN) are bridged by straight lines."""
    from scipy.ndimage import gaussian_filter1d
    from scipy.signal import argrelmin

    known = np.flatnonzero(np.isfinite(speed))
    if len(known) < 5:
        return np.empty(0)
    whole = np.interp(np.arange(len(speed)), known, np.asarray(speed)[known])
    smooth = gaussian_filter1d(whole, SMOOTHING * fps)
    beats: np.ndarray = (argrelmin(smooth)[0] + 0.5) / fps  # a speed belongs to the middle between two frames
    return beats


def onsets(samples: np.ndarray, rate: int) -> np.ndarray:
    """Times in seconds of onsets in mono samples (N,): peaks of the summed rise of the log-mel spectrum.

    Windows of 25 ms every 10 ms at 16 kHz, 40 mel bands; a peak rises half a standard deviation above the mean and
    stands 150 ms from the next one.
    """
    from scipy.signal import find_peaks, stft

    if len(samples) < 4 * WINDOW:
        return np.empty(0)
    _, times, spectrum = stft(samples, rate, nperseg=WINDOW, noverlap=WINDOW - HOP, boundary=None, padded=False)
    level = np.log10(_mel_bank(spectrum.shape[0], rate) @ np.square(np.abs(spectrum)) + 1e-8)
    rise = np.concatenate([[0.0], np.maximum(np.diff(level, axis=1), 0).sum(0)])
    if rise.std() < 1e-9:
        return np.empty(0)
    peaks, _ = find_peaks(rise, height=rise.mean() + 0.5 * rise.std(), distance=round(0.15 * rate / HOP))
    found: np.ndarray = times[peaks]
    return found


def _mel_bank(bins: int, rate: int) -> np.ndarray:
    """(MELS, bins) triangles evenly spaced on the mel scale (2595 log10(1 + f / 700)) up to half the rate."""
    top = 2595 * np.log10(1 + rate / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, MELS + 2) / 2595) - 1)
    frequencies = np.linspace(0, rate / 2, bins)
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (frequencies - low) / (middle - low), (high - frequencies) / (high - middle)
    bank: np.ndarray = np.maximum(np.minimum(rising, falling), 0)
    return bank


def beat_alignment(beats: np.ndarray, onset_times: np.ndarray) -> float:
    """Mean over motion beats of exp(-t² / 2 s²), t to the nearest onset, s = 0.12 s; 0..1.

    Siyao et al., "Bailando", CVPR 2022, equation 12. NaN without a beat or without an onset.
    """
    if not len(beats) or not len(onset_times):
        return float("nan")
    nearest = np.abs(beats[:, None] - onset_times[None]).min(1)
    return float(np.exp(-np.square(nearest) / (2 * WIDTH**2)).mean())
