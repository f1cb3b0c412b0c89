"""What all probes share: what they are given, what they give back.

A probe is a module with ``METRICS``; ``lacking(lab, names)``, the metrics it cannot measure in this run and why (a
weights file or a package is missing); and ``start(lab, names, case)``, which returns a :class:`Collector` for one
clip. Nets are loaded once for each process and kept in the :class:`Lab`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Protocol

import numpy as np

from vivant.metrics.nets.published import Store
from vivant.metrics.statistics import Moments
from vivant.metrics.subject import Subject
from vivant.metrics.view import Block, View


@dataclass
class Lab:
    """Where measuring happens. ``device``: of the nets of probes (faces are found on the CPU); ``batch``: pictures a
    net sees at once; ``store``: where published weights are; ``speech``: the recogniser for WER, such as
    "pocketsphinx" or "whisper:FOLDER".
    """

    device: str = "cpu"
    batch: int = 16
    threads: int = 1
    store: Store = field(default_factory=Store)
    speech: str = "pocketsphinx"
    _nets: dict[str, Any] = field(default_factory=dict, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        """Nets stay behind when a lab goes to another process, which loads its own."""
        return self.__dict__ | {"_nets": {}}

    def net(self, name: str, build: Callable[[], Any]) -> Any:
        """The net called ``name``, built when it is first asked for.

        On a GPU, shortened multiplications (TF32) are switched off for the process: they change the third digit.
        """
        if name not in self._nets:
            if self.device.startswith("cuda"):
                import torch

                torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
            self._nets[name] = build()
        return self._nets[name]


@dataclass(frozen=True)
class Case:
    """The clip a collector is started for: ``fps`` after the stride."""

    subject: Subject
    view: View
    fps: Fraction

    @property
    def goal(self) -> str | None:
        """The role of the clip whose motion should be seen: the true one, else the driver."""
        if self.subject.true is not None:
            return "true"
        return "driver" if self.subject.driver is not None else None

    def judged(self) -> tuple[str, ...]:
        """The roles of the clips that metrics of one video look at."""
        return tuple(role for role in ("made", "true") if getattr(self.subject, role) is not None)


@dataclass
class Findings:
    """What one probe found in one clip. Missing numbers are NaN.

    ``values``: of the generated clip; ``truth``: the same measure of the true one; ``series`` and ``truth_series``:
    (F,) of each frame, whose mean is the value unless ``values`` says another; ``moments``: for correlation and gain;
    ``features``: {set metric's features: {"made" or "true": (N, D) float32}}; ``missing``: {metric: why it could not
    be measured on this clip}.
    """

    values: dict[str, float] = field(default_factory=dict)
    truth: dict[str, float] = field(default_factory=dict)
    series: dict[str, np.ndarray] = field(default_factory=dict)
    truth_series: dict[str, np.ndarray] = field(default_factory=dict)
    moments: dict[str, Moments] = field(default_factory=dict)
    features: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def add(self, other: Findings) -> None:
        """Take over what another probe found."""
        for name in self.__dataclass_fields__:
            getattr(self, name).update(getattr(other, name))

    def put(self, role: str, name: str, series: Sequence[float] | np.ndarray) -> None:
        """A series of the generated ("made") or true clip, with its mean as the value."""
        values = np.asarray(series, np.float64)
        of_made = role == "made"
        (self.series if of_made else self.truth_series)[name] = values
        self.set(role, name, mean(values))

    def set(self, role: str, name: str, value: float) -> None:
        """The value of the generated ("made") or true clip."""
        (self.values if role == "made" else self.truth)[name] = float(value)


class Collector(Protocol):
    """Sees the blocks of one clip in order, then says what it found."""

    def see(self, block: Block) -> None:
        """The next block."""

    def finish(self) -> Findings:
        """What was found."""


def mean(values: np.ndarray) -> float:
    """Mean of the values that are numbers, NaN if there are none."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def only(found: Findings, names: Mapping[str, Any]) -> Findings:
    """``found`` without metrics that were not asked for."""
    for part in (found.values, found.truth, found.series, found.truth_series, found.missing):
        for name in [name for name in part if name not in names]:
            del part[name]
    return found


def slope(series: Sequence[float] | np.ndarray, fps: Fraction) -> float:
    """Least-squares slope a second of a series (F,), frames that are not numbers left out; NaN below three frames."""
    values = np.asarray(series, np.float64)
    times = np.arange(len(values)) / float(fps)
    known = np.isfinite(values)
    if known.sum() < 3:
        return float("nan")
    times, values = times[known] - times[known].mean(), values[known]
    return float(times @ values / (times @ times))
