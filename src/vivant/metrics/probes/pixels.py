"""Likeness pixel by pixel: PSNR (correct, and as one published code computes it), SSIM, L1."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from vivant.metrics.image import PSNR_CAP, capped_psnr, l1, ssim
from vivant.metrics.metric import Metric
from vivant.metrics.probes.base import Case, Collector, Findings, Lab
from vivant.metrics.view import Block

METRICS = (
    Metric(
        "psnr", "PSNR", "dB", (0, PSNR_CAP), "higher",
        "10 log10(255² / MSE), MSE over pixels and RGB of one frame; capped at 100 dB a frame; mean over frames",
        "usual definition", digits=2,
    ),
    Metric(
        "psnr-wrapped", "PSNR with 8-bit overflow", "dB", (0, PSNR_CAP), "higher",
        "as PSNR, but difference and square wrap modulo 256, as in the code behind many published tables of dance "
        "videos: only to compare with those", "DisCo's evaluation code, as later papers report it", digits=2,
    ),
    Metric(
        "ssim", "SSIM", "", (-1, 1), "higher",
        "Gaussian window 11x11, sigma 1.5, biased covariance, valid pixels, mean of the RGB channels, full resolution",
        "Wang et al. 2004, equations 13 and 14", digits=4,
    ),
    Metric("l1", "L1", "", (0, 1), "lower", "mean absolute difference over pixels and RGB, range scaled to 1",
           "usual definition", digits=4),
)  # fmt: skip


def wrapped_psnr(image: np.ndarray, reference: np.ndarray) -> float:
    """PSNR in dB of uint8 pictures whose difference and its square overflow, capped; higher is better."""
    difference = image - reference  # wraps modulo 256
    error = float((difference * difference).mean())
    return PSNR_CAP if error == 0 else min(float(10 * np.log10(255**2 / error)), PSNR_CAP)


_MEASURES = {"psnr": capped_psnr, "psnr-wrapped": wrapped_psnr, "ssim": ssim, "l1": l1}


def lacking(lab: Lab, names: Mapping[str, Metric]) -> dict[str, str]:
    """Nothing is ever missing."""
    return {}


def start(lab: Lab, names: Mapping[str, Metric], case: Case) -> Collector:
    """A collector for one clip."""
    return _Pixels([name for name in _MEASURES if name in names])


class _Pixels:
    def __init__(self, names: list[str]) -> None:
        self._series: dict[str, list[float]] = {name: [] for name in names}

    def see(self, block: Block) -> None:
        if block.made is None or block.true is None:
            return
        for name, values in self._series.items():
            values += [_MEASURES[name](made, true) for made, true in zip(block.made, block.true)]

    def finish(self) -> Findings:
        found = Findings()
        for name, values in self._series.items():
            if values:
                found.put("made", name, values)
        return found
