"""Features of frames and of windows, from which sets of clips are compared: FID, KID, FVD, and ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from vivant.metrics.frechet import Distance, frechet_distance, kernel_distance
from vivant.metrics.metric import INFINITE, Metric
from vivant.metrics.probes.base import Case, Collector, Findings, Lab
from vivant.metrics.view import Block

_FID = "Frechet distance of {} of all frames of both sets"
_KID = "squared maximum mean discrepancy, cubic kernel, all pairs, of {} of all frames"
_FVD = "Frechet distance of {} of all windows of 16 frames that do not overlap"
_INCEPTION = "2048 InceptionV3 features (pytorch-fid's file; bilinear to 299x299 without antialiasing)"
_LITE0 = "320 EfficientNet-Lite0 features (224x224, antialiased)"
_I3D = "400 I3D logits (Kinetics-400; 224x224)"
_WINDOWS = "336 numbers (mean, spread and mean change over time of 112 EfficientNet-Lite0 features)"
METRICS = (
    Metric("fid", "FID", "", (0, INFINITE), "lower", _FID.format(_INCEPTION), "Heusel et al. 2017", ("set",), "set",
           weights=("inception-fid",), statistic="distance", digits=2),
    Metric("kid", "KID", "", (-INFINITE, INFINITE), "lower", _KID.format(_INCEPTION), "Binkowski et al. 2018", ("set",),
           "set", weights=("inception-fid",), statistic="distance", digits=5),
    Metric("fvd", "FVD", "", (0, INFINITE), "lower",
           _FVD.format(_I3D) + "; TorchScript and pytorch-i3d files differ, the report names the file",
           "Unterthiner et al. 2018", ("set",), "set", weights=("i3d-kinetics",), statistic="distance", digits=2),
    Metric("fid-lite0", "Frechet distance lite0, frames", "", (0, INFINITE), "lower",
           _FID.format(_LITE0) + "; not FID", "Heusel et al. 2017 with our features", ("set",), "set",
           statistic="distance", digits=3),
    Metric("kid-lite0", "kernel distance lite0, frames", "", (-INFINITE, INFINITE), "lower",
           _KID.format(_LITE0) + "; not KID", "Binkowski et al. 2018 with our features", ("set",), "set",
           statistic="distance", digits=5),
    Metric("fvd-lite0", "Frechet distance lite0, windows", "", (0, INFINITE), "lower",
           _FVD.format(_WINDOWS) + "; not FVD", "Unterthiner et al. 2018 with our features", ("set",), "set",
           statistic="distance", digits=3),
)  # fmt: skip
OF = {
    "fid": ("inception", frechet_distance), "kid": ("inception", kernel_distance), "fvd": ("i3d", frechet_distance),
    "fid-lite0": ("lite0", frechet_distance), "kid-lite0": ("lite0", kernel_distance),
    "fvd-lite0": ("lite0-windows", frechet_distance),
}  # fmt: skip
"""Of each set metric: the features it compares, and how."""
WINDOW = 16


def set_distance(name: str) -> tuple[str, Distance]:
    """Which features the metric ``name`` compares, and by which distance."""
    return OF[name]


def lacking(lab: Lab, names: Mapping[str, Metric]) -> dict[str, str]:
    """The metrics whose published weights are not here, and what to get."""
    reasons = {name: lab.store.lacks(*metric.weights) for name, metric in names.items() if metric.weights}
    return {name: reason for name, reason in reasons.items() if reason}


def start(lab: Lab, names: Mapping[str, Metric], case: Case) -> Collector:
    """A collector for one clip."""
    return _Features(lab, {OF[name][0] for name in names}, case)


class _Features:
    def __init__(self, lab: Lab, kinds: set[str], case: Case) -> None:
        self._lab, self._kinds, self._case = lab, kinds, case
        self._rows: dict[tuple[str, str], list[np.ndarray]] = {}

    def see(self, block: Block) -> None:
        for role in self._case.judged():
            pictures = block.of(role) or []
            for first in range(0, len(pictures), self._lab.batch):
                self._frames(role, pictures[first : first + self._lab.batch])
            if "i3d" in self._kinds and len(pictures) == WINDOW:
                self._keep("i3d", role, self._i3d()(pictures))

    def _frames(self, role: str, pictures: Sequence[np.ndarray]) -> None:
        if self._kinds & {"lite0", "lite0-windows"}:
            from vivant.metrics.nets.lite0 import Lite0

            pooled, timed = self._lab.net("lite0", partial(Lite0, self._lab.device)).describe(pictures)
            self._keep("lite0", role, pooled)
            self._keep("timed", role, timed)
        if "inception" in self._kinds:
            self._keep("inception", role, self._inception()(pictures))

    def _keep(self, kind: str, role: str, rows: np.ndarray) -> None:
        self._rows.setdefault((kind, role), []).append(rows)

    def _inception(self) -> Any:
        from vivant.metrics.nets.loaders import load_inception

        return self._lab.net("inception", partial(load_inception, self._lab.store, self._lab.device))

    def _i3d(self) -> Any:
        from vivant.metrics.nets.loaders import load_i3d

        return self._lab.net("i3d", partial(load_i3d, self._lab.store, self._lab.device))

    def finish(self) -> Findings:
        found = Findings()
        for (kind, role), rows in self._rows.items():
            values = np.concatenate(rows)
            if kind == "timed":
                if "lite0-windows" not in self._kinds:
                    continue
                from vivant.metrics.nets.lite0 import window_features

                kind, values = "lite0-windows", window_features(values)
            if kind in self._kinds:
                found.features.setdefault(kind, {})[role] = values
        if self._case.subject.made is not None:
            self._tell_short(found)
        return found

    def _tell_short(self, found: Findings) -> None:
        """A clip without a whole window gives nothing to the video metrics."""
        for name, kind in (("fvd", "i3d"), ("fvd-lite0", "lite0-windows")):
            if kind in self._kinds and not len(found.features.get(kind, {}).get("made", ())):
                found.missing[name] = f"it is shorter than {WINDOW} frames"
