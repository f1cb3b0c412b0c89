"""Does the picture hold still and keep its colours: flicker, drift of colour and sharpness over time."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from vivant.metrics.metric import INFINITE, Metric
from vivant.metrics.probes.base import Case, Collector, Findings, Lab, slope
from vivant.metrics.view import Block

GRID = 8
SHARPNESS = "series/sharpness"
"""Kept of each frame, for curves: the logarithm of the variance of the Laplacian of luma."""
METRICS = (
    Metric("flicker", "flicker", "% of range", (0, 100), "as the truth",
           "luma averaged in 8x8 parts of the picture; mean absolute second difference in time over 4: brightness that "
           "alternates by a counts a, steady change 0", "own", (), of_truth=True, digits=4),
    Metric("colour-drift", "drift of colour", "levels of 255 a second", (0, INFINITE), "as the truth",
           "length of the least-squares slope in time of the picture's mean RGB", "own", (), "clip", of_truth=True),
    Metric("sharpness-drift", "drift of sharpness", "% a second", (-INFINITE, INFINITE), "as the truth",
           "least-squares slope in time of the logarithm of the variance of the Laplacian of luma, in percent", "own",
           (), "clip", of_truth=True),
)  # fmt: skip


def lacking(lab: Lab, names: Mapping[str, Metric]) -> dict[str, str]:
    """Nothing is ever missing."""
    return {}


def start(lab: Lab, names: Mapping[str, Metric], case: Case) -> Collector:
    """A collector for one clip."""
    return _Steadiness(case)


class _Watch:
    """Small numbers of each picture of one clip."""

    def __init__(self) -> None:
        self.parts: list[np.ndarray] = []
        self.colours: list[np.ndarray] = []
        self.sharpness: list[float] = []

    def add(self, picture: np.ndarray) -> None:
        import cv2

        luma = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
        self.parts.append(cv2.resize(luma, (GRID, GRID), interpolation=cv2.INTER_AREA).ravel())
        self.colours.append(picture.reshape(-1, 3).mean(0))
        self.sharpness.append(float(np.log(cv2.Laplacian(luma, cv2.CV_32F).var() + 1e-6)))

    def flicker(self) -> np.ndarray:
        """(F,) percent, NaN for the first and last frame."""
        parts = np.asarray(self.parts, np.float64)
        series = np.full(len(parts), np.nan)
        if len(parts) > 2:
            series[1:-1] = 100 / 255 * np.abs(parts[:-2] - 2 * parts[1:-1] + parts[2:]).mean(1) / 4
        return series


class _Steadiness:
    def __init__(self, case: Case) -> None:
        self._case = case
        self._watches = {role: _Watch() for role in case.judged()}

    def see(self, block: Block) -> None:
        for role, watch in self._watches.items():
            for picture in block.of(role) or []:
                watch.add(picture)

    def finish(self) -> Findings:
        found = Findings()
        for role, watch in self._watches.items():
            if len(watch.parts) < 3:
                continue
            found.put(role, "flicker", watch.flicker())
            slopes = [slope(channel, self._case.fps) for channel in np.asarray(watch.colours).T]
            found.set(role, "colour-drift", float(np.linalg.norm(slopes)))
            found.set(role, "sharpness-drift", 100 * slope(watch.sharpness, self._case.fps))
            (found.series if role == "made" else found.truth_series)[SHARPNESS] = np.asarray(watch.sharpness)
        return found
