"""Runs side by side: only clips that all have, and paired differences with their intervals."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vivant.core.errors import MediaError
from vivant.metrics.metric import Metric, all_metrics
from vivant.metrics.statistics import Estimate, bootstrap, mean_of
from vivant.metrics.tables import arrow, best_of, cell, escape, latex_cell, plain_cell


@dataclass(frozen=True)
class KeptRun:
    """An earlier run: ``values``: {clip: {metric: value}}; ``sets``: {metric: value} of sets; ``view``: how it read;
    ``made_with``: {metric: its version, weights files and recogniser}; ``measured``: ids of all that it read."""

    values: dict[str, dict[str, float | None]]
    sets: dict[str, float | None]
    view: dict[str, Any]
    made_with: dict[str, list[Any]] = field(default_factory=dict)
    measured: frozenset[str] = frozenset()


def read_run(folder: Path) -> KeptRun:
    """The run in ``folder``.

    Raises:
        MediaError: there is none.
    """
    try:
        report = json.loads((folder / "results.json").read_text(encoding="utf-8"))
        rows = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((folder / "clips").glob("*.json"))]
        mine = {row["id"]: row for row in rows if row["settings"] == report["fingerprint"] and "made" in row["given"]}
        # clips that an earlier run in this folder measured and the last one did not are no part of its numbers
        kept = {name: row["values"] for name, row in mine.items() if name in report.get("measured", mine)}
        metrics, settings = report["metrics"], report["settings"]
        view, made_with = settings["view"], _made_with(settings)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise MediaError(f"There is no finished run in '{folder}': run vivant evaluate first.") from error
    known = all_metrics()
    sets = {name: row["value"] for name, row in metrics.items() if name in known and known[name].level == "set"}
    return KeptRun(kept, sets, view, made_with, frozenset(report.get("measured", kept)))


def _made_with(settings: Mapping[str, Any]) -> dict[str, list[Any]]:
    """What fixes each metric of a run besides the view."""
    weights, known = settings.get("weights", {}), all_metrics()
    return {
        name: [
            version,
            *([weights.get(file) for file in known[name].weights] if name in known else []),
            *([settings.get("speech")] if name == "wer" else []),
        ]
        for name, version in settings["metrics"].items()
    }


def not_alike(runs: Mapping[str, KeptRun]) -> list[str]:
    """Metrics that the runs measured with different versions, weights files or recognisers: they do not compare."""
    kinds = [run.made_with for run in runs.values()]
    common = [name for name in kinds[0] if all(name in kind for kind in kinds)]
    return [name for name in common if any(kind[name] != kinds[0][name] for kind in kinds)]


def one_set(runs: Mapping[str, KeptRun]) -> bool:
    """Whether all runs read the same clips: distances of other sets do not compare, they even depend on the number."""
    return len({run.measured for run in runs.values()}) == 1


def differences(runs: Mapping[str, KeptRun]) -> dict[str, Any]:
    """{metric: {run: {"value", "clips", and "difference" from the first run with its interval}}}."""
    found: dict[str, Any] = {}
    first = next(iter(runs))
    for metric in _metrics(runs):
        row: dict[str, Any] = {}
        for name, run in runs.items():
            row[name] = {"value": _value(metric, run, _common(runs))}
            if metric.level != "set" and name != first:
                apart = _apart(metric.name, runs[first], run, _common(runs))
                row[name]["difference"] = {"value": apart.value, "low": apart.low, "high": apart.high}
                row[name]["clips"] = apart.clips
        found[metric.name] = row
    return found


def _common(runs: Mapping[str, KeptRun]) -> list[str]:
    """Clips that every run has.

    Raises:
        MediaError: there is none, or the runs read clips in different ways.
    """
    sets = [set(run.values) for run in runs.values()]
    common = sorted(set.intersection(*sets))
    if not common:
        raise MediaError("The runs have no clip in common: compare runs of the same clips.")
    if any(run.view != next(iter(runs.values())).view for run in runs.values()):
        raise MediaError("The runs read clips in different ways (rate, frames, size, alignment): measure again.")
    return common


def _metrics(runs: Mapping[str, KeptRun]) -> list[Metric]:
    clips, strange = _common(runs), not_alike(runs)
    found = []
    for metric in all_metrics().values():
        values = [_value(metric, run, clips) for run in runs.values()]
        if metric.level == "set" and not one_set(runs):
            continue
        if metric.name not in strange and all(np.isfinite(value) for value in values):
            found.append(metric)
    return found


def _numbers(name: str, run: KeptRun, clips: list[str]) -> np.ndarray:
    values = [run.values[clip].get(name) for clip in clips]
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _value(metric: Metric, run: KeptRun, clips: list[str]) -> float:
    """Mean over common clips (also of correlations and gains, so that clips can be paired); of sets, the run's own."""
    if metric.level == "set":
        value = run.sets.get(metric.name)
        return float("nan") if value is None else value
    values = _numbers(metric.name, run, clips)
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def _apart(name: str, first: KeptRun, other: KeptRun, clips: list[str]) -> Estimate:
    """The mean difference of clips that both have a value for, with its bootstrap interval."""
    apart = _numbers(name, other, clips) - _numbers(name, first, clips)
    return bootstrap(apart[np.isfinite(apart)].reshape(-1, 1), mean_of)


def compare_markdown(runs: Mapping[str, KeptRun]) -> str:
    """Rows are metrics, columns runs; every run but the first with its paired difference and 95 % interval."""
    table = differences(runs)
    names = list(runs)
    lines = [f"| metric | better | {' | '.join(map(plain_cell, names))} |", "|---" * (len(names) + 2) + "|"]
    for key, row in table.items():
        metric = all_metrics()[key]
        best = best_of(metric, {name: row[name]["value"] for name in names})
        cells = [_cell(metric, row[name], name in best) for name in names]
        lines.append(f"| {metric.heading} | {metric.better} | {' | '.join(cells)} |")
    told = (
        f"{len(_common(runs))} clips that all runs have. In parentheses: mean difference from {names[0]}, clip by "
        "clip, with its 95 % bootstrap interval. Bold: best."
    )
    if any(run.sets for run in runs.values()):
        told += (
            " Distances of sets are each run's own."
            if one_set(runs)
            else " Distances of sets are left out, because the runs read different clips."
        )
    if any(all_metrics()[name].statistic in ("correlation", "gain") for name in table):
        told += " Correlations and gains are means over clips here, not pooled over frames as in each run's own table."
    strange = [f"`{name}`" for name in not_alike(runs)]
    if strange:
        told += f" Left out, measured with different versions, weights or recognisers: {', '.join(strange)}."
    return "\n".join(lines) + f"\n\n{told}\n"


def _cell(metric: Metric, found: Mapping[str, Any], best: bool) -> str:
    text = f"{found['value']:.{metric.digits}f}"
    text = f"**{text}**" if best else text
    apart = found.get("difference")
    if apart is None:
        return text
    return f"{text} ({cell(Estimate(apart['value'], apart['low'], apart['high'], 0), metric.digits)})"


def compare_tex(runs: Mapping[str, KeptRun]) -> str:
    """The same without differences, as a booktabs table."""
    table, names = differences(runs), list(runs)
    lines = [r"\begin{tabular}{l" + "c" * len(names) + "}", r"\toprule"]
    lines += [" & ".join(["Metric", *(escape(name) for name in names)]) + r" \\", r"\midrule"]
    for key, row in table.items():
        metric = all_metrics()[key]
        best = best_of(metric, {name: row[name]["value"] for name in names})
        nan = float("nan")
        cells = [latex_cell(Estimate(row[name]["value"], nan, nan, 0), metric.digits) for name in names]
        cells = [rf"\textbf{{{text}}}" if name in best else text for name, text in zip(names, cells)]
        lines.append(" & ".join([escape(metric.heading) + arrow(metric), *cells]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"
