"""Likeness as nets see it: LPIPS with its published weights, and our feature distance under its own name."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from vivant.metrics.metric import INFINITE, Metric
from vivant.metrics.probes.base import Case, Collector, Findings, Lab
from vivant.metrics.view import Block

_LPIPS = "distance of {} features with the published linear heads (v0.1), pictures at full size"
_OVER_TIME = "difference between the {} of neighbouring generated frames and that of the true ones, absolute"
METRICS = (
    Metric("lpips-alex", "LPIPS (AlexNet)", "", (0, INFINITE), "lower", _LPIPS.format("AlexNet"),
           "Zhang et al. 2018, equation 1", weights=("alexnet", "lpips-alex"), digits=4),
    Metric("lpips-vgg", "LPIPS (VGG-16)", "", (0, INFINITE), "lower", _LPIPS.format("VGG-16"),
           "Zhang et al. 2018, equation 1", weights=("vgg16", "lpips-vgg"), digits=4),
    Metric("feat-lite0", "feature distance lite0", "", (0, INFINITE), "lower",
           "squared difference of unit-length EfficientNet-Lite0 features at strides 2 to 16, averaged over places, "
           "added over levels; not LPIPS", "Zhang et al. 2018, equation 1 with weights 1; nets of our own choice",
           digits=4),
    Metric("tlp-alex", "tLP (LPIPS-AlexNet over time)", "", (0, INFINITE), "lower",
           _OVER_TIME.format("LPIPS (AlexNet)"), "Chu et al. 2020 (TecoGAN), section 5",
           weights=("alexnet", "lpips-alex"), digits=5),
    Metric("tfeat-lite0", "feature distance lite0 over time", "", (0, INFINITE), "lower",
           _OVER_TIME.format("feature distance lite0"), "as tLP, with our features", digits=5),
)  # fmt: skip
_METERS = {"lpips-alex": "alex", "lpips-vgg": "vgg", "tlp-alex": "alex", "feat-lite0": "lite0", "tfeat-lite0": "lite0"}
_OVER_TIME_OF = {"tlp-alex": "alex", "tfeat-lite0": "lite0"}


def lacking(lab: Lab, names: Mapping[str, Metric]) -> dict[str, str]:
    """The metrics whose published weights are not here, and what to get."""
    reasons = {name: lab.store.lacks(*metric.weights) for name, metric in names.items() if metric.weights}
    return {name: reason for name, reason in reasons.items() if reason}


def start(lab: Lab, names: Mapping[str, Metric], case: Case) -> Collector:
    """A collector for one clip."""
    return _Perceptual(lab, names)


def _meter(lab: Lab, kind: str) -> Any:
    if kind == "lite0":
        from vivant.metrics.nets import lite0

        return lab.net("lite0", partial(lite0.Lite0, lab.device))
    from vivant.metrics.nets.lpips import load_lpips

    return lab.net(f"lpips {kind}", partial(load_lpips, kind, lab.store, lab.device))  # type: ignore[arg-type]


def _distance(meter: Any, ours: Any, theirs: Any) -> np.ndarray:
    from vivant.metrics.nets.lite0 import distance

    found: np.ndarray = meter.distance(ours, theirs) if hasattr(meter, "distance") else distance(ours, theirs)
    return found


class _Perceptual:
    """Distances of made and true, and of each frame and the one before it, one picture after the other."""

    def __init__(self, lab: Lab, names: Mapping[str, Metric]) -> None:
        self._lab, self._names = lab, names
        self._kinds = sorted({_METERS[name] for name in names})
        self._pairs: dict[str, list[float]] = {kind: [] for kind in self._kinds}
        self._steps: dict[str, list[float]] = {kind: [] for kind in self._kinds}
        self._last: dict[str, tuple[Any, Any]] = {}

    def see(self, block: Block) -> None:
        if block.made is None or block.true is None:
            return
        for kind in self._kinds:
            meter = _meter(self._lab, kind)
            for first in range(0, len(block), self._lab.batch):
                part = slice(first, first + self._lab.batch)
                ours, theirs = meter.levels(block.made[part]), meter.levels(block.true[part])
                self._pairs[kind] += _distance(meter, ours, theirs).tolist()
                if kind in (_OVER_TIME_OF.get(name) for name in self._names):
                    self._step(kind, meter, ours, theirs)

    def _step(self, kind: str, meter: Any, ours: Any, theirs: Any) -> None:
        import torch

        before = self._last.get(kind)
        with torch.inference_mode():
            chains = [
                maps if before is None else [torch.cat([old, new]) for old, new in zip(old_maps, maps)]
                for maps, old_maps in zip((ours, theirs), before or (None, None))
            ]
            self._last[kind] = tuple([level[-1:].clone() for level in maps] for maps in (ours, theirs))  # type: ignore[assignment]
            if len(chains[0][0]) > 1:
                steps = [_distance(meter, [a[1:] for a in chain], [a[:-1] for a in chain]) for chain in chains]
                self._steps[kind] += np.abs(steps[0] - steps[1]).tolist()

    def finish(self) -> Findings:
        found = Findings()
        for name in self._names:
            over_time = name in _OVER_TIME_OF
            values = (self._steps if over_time else self._pairs)[_METERS[name]]
            if values:
                found.put("made", name, [float("nan"), *values] if over_time else values)
        return found
