"""From clips to numbers: every metric over all clips, with intervals, and by group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vivant.metrics.frechet import set_estimate
from vivant.metrics.measure import ClipResult
from vivant.metrics.metric import Metric
from vivant.metrics.probes.features import set_distance
from vivant.metrics.results import ResultFolder
from vivant.metrics.statistics import Estimate, bootstrap, correlation_of, gain_of, mean_of, moment_rows
from vivant.metrics.subject import Subject
from vivant.metrics.suite import Run

Measured = Sequence[tuple[Subject, ClipResult]]


@dataclass(frozen=True)
class Row:
    """One metric over clips: ``made`` of the generated clips, ``truth`` of the true ones when it looks at one video;
    ``values``: of each clip by id, empty for sets."""

    metric: Metric
    made: Estimate
    truth: Estimate | None
    values: dict[str, float]

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        known = np.array([value for value in self.values.values() if np.isfinite(value)])
        found: dict[str, Any] = _plain(self.made) | {"unit": self.metric.unit, "better": self.metric.better}
        if len(known):
            found |= {"median": float(np.median(known)), "sd": float(known.std(ddof=1)) if len(known) > 1 else None}
        return found | ({"truth": _plain(self.truth)} if self.truth else {})


@dataclass(frozen=True)
class Summary:
    """All metrics over some clips. ``clips``, ``frames``, ``lonely``: of the generated ones."""

    rows: list[Row]
    clips: int
    frames: int
    lonely: int

    def row(self, name: str) -> Row | None:
        """The row of one metric."""
        return next((row for row in self.rows if row.metric.name == name), None)


def _plain(estimate: Estimate) -> dict[str, Any]:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high, "clips": estimate.clips}


def summarise(run: Run, measured: Measured | None = None) -> Summary:
    """Every metric of the run over all measured clips, or over some of them.

    Distances of large sets take minutes and every table wants them, so a run keeps what was summarised.
    """
    mine = run.measured() if measured is None else list(measured)
    key = tuple(subject.id for subject, _ in mine)
    if key not in run.known:
        run.known[key] = _summary(run, mine)
    found: Summary = run.known[key]
    return found


def _summary(run: Run, mine: Measured) -> Summary:
    folder = ResultFolder(run.out)
    rows = [_row(metric, mine, folder) for metric in run.plan.metrics.values()]
    kept = [row for row in rows if row is not None]
    made = [result for subject, result in mine if subject.made is not None]
    return Summary(kept, len(made), sum(result.frames for result in made), sum(result.lonely for result in made))


def by_group(run: Run) -> dict[str, Summary]:
    """The same for each group, if there are several; true clips of no group, as portraits are, belong to each."""
    groups = sorted({result.group for result in run.results if result.group})
    if len(groups) < 2:
        return {}
    both = run.measured()
    shared = [pair for pair in both if not pair[1].group and pair[0].made is None]
    return {group: summarise(run, [pair for pair in both if pair[1].group == group] + shared) for group in groups}


def _row(metric: Metric, measured: Measured, folder: ResultFolder) -> Row | None:
    """None when no clip has a value."""
    if metric.level == "set":
        return _set_row(metric, measured, folder)
    results = [result for subject, result in measured if subject.made is not None]
    values = {result.id: result.findings.values.get(metric.name, float("nan")) for result in results}
    made = _estimate(metric, results, list(values.values()))
    truth = None
    if metric.of_truth:
        theirs = [result.findings.truth.get(metric.name, float("nan")) for _, result in measured]
        known = [value for value in theirs if np.isfinite(value)]
        truth = bootstrap(_column(known), mean_of) if known else None
    if not np.isfinite(made.value) and truth is None:
        return None
    return Row(metric, made, truth, values)


def _estimate(metric: Metric, results: Sequence[ClipResult], values: Sequence[float]) -> Estimate:
    if metric.statistic == "mean":
        known = [value for value in values if np.isfinite(value)]
        return bootstrap(_column(known), mean_of)
    series = metric.name.removesuffix("-correlation").removesuffix("-gain")
    parts = [result.findings.moments[series] for result in results if series in result.findings.moments]
    parts = [part for part in parts if part.count > 1]  # a clip without a face is none of the clips
    return bootstrap(moment_rows(parts), correlation_of if metric.statistic == "correlation" else gain_of)


def _column(values: Sequence[float]) -> np.ndarray:
    return np.array(values, np.float64).reshape(-1, 1)


def _set_row(metric: Metric, measured: Measured, folder: ResultFolder) -> Row | None:
    kind, distance = set_distance(metric.name)
    sides = []
    for role in ("made", "true"):
        found = [folder.features(subject, kind, role) for subject, _ in measured]
        sides.append([part for part in found if part is not None])
    made = _within(set_estimate(sides[0], sides[1], distance), metric.span)
    return Row(metric, made, None, {}) if np.isfinite(made.value) else None


def _within(estimate: Estimate, span: tuple[float, float]) -> Estimate:
    """The interval cut to what the metric can be: value ± 1.96 errors knows nothing of a distance's 0."""
    low, high = np.clip([estimate.low, estimate.high], *span)
    return replace(estimate, low=float(low), high=float(high))
