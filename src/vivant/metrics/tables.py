"""Results as JSON, Markdown and LaTeX."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vivant.metrics.metric import Metric
from vivant.metrics.statistics import Estimate
from vivant.metrics.suite import Run
from vivant.metrics.summary import Summary, by_group, summarise
from vivant.metrics.view import view_text

FORMAT = 1
NOTES = (
    "Brackets: 95 % interval, by bootstrap over clips (1000 rounds, whole clips drawn); for distances of sets by the "
    "delete-a-group jackknife over clips. Correlation and gain are pooled over all frames after taking each clip's "
    "mean away. Frames without a face are left out of geometry and identity and counted as such. Faces are found by "
    "one tracker in all clips."
)


def report_json(run: Run, title: str, about: Mapping[str, Any]) -> dict[str, Any]:
    """Everything a run found, for machines."""
    from vivant.metrics.timing import machine

    summary = summarise(run)
    rate = 60 * run.fresh / run.seconds if run.fresh and run.seconds else None
    return {
        "format": FORMAT,
        "title": title,
        "about": dict(about),
        "settings": run.plan.settings(),
        "fingerprint": run.plan.fingerprint(),
        "machine": machine(run.plan.lab.device),
        "clips": summary.clips,
        "frames": summary.frames,
        "frames_without_partner": summary.lonely,
        "metrics": _metrics(summary),
        "groups": {group: _metrics(part) | {"clips": part.clips} for group, part in by_group(run).items()},
        "absent": absent_metrics(run, summary),
        "missing": missing_counts(run),
        "failed": run.failed,
        "damaged": {result.id: result.damage for result in run.results if result.damage},
        "measured": [result.id for result in run.results],
        "throughput": {"clips": run.fresh, "seconds": run.seconds, "workers": run.workers, "clips_per_minute": rate},
    }


def _metrics(summary: Summary) -> dict[str, Any]:
    return {row.metric.name: row.as_json() for row in summary.rows}


def missing_counts(run: Run) -> dict[str, dict[str, int]]:
    """{metric: {why it could not be measured: on how many clips}}."""
    found: dict[str, dict[str, int]] = {}
    for result in run.results:
        for name, reason in result.findings.missing.items():
            if name in run.plan.metrics:
                reasons = found.setdefault(name, {})
                reasons[reason] = reasons.get(reason, 0) + 1
    return found


def absent_metrics(run: Run, summary: Summary) -> dict[str, str]:
    """{metric without a value: why}, but for those that :func:`missing_counts` tells about."""
    told = missing_counts(run)
    found = dict(run.plan.absent)
    for name, metric in run.plan.metrics.items():
        if summary.row(name) is None and name not in told:
            found[name] = _FEW if metric.level == "set" else _NOWHERE
    return found


_FEW = "Each side needs two frames or windows with features, or more."
_NOWHERE = "No clip gave a value: it shows no face, is too short, or what is measured does not occur."


def summary_markdown(summary: Summary) -> str:
    """Rows are metrics: value with its interval, the true clips' own value, number of clips."""
    lines = ["| metric | better | generated | true clips | clips |", "|---|---|---|---|---|"]
    for row in summary.rows:
        metric = row.metric
        truth = cell(row.truth, metric.digits) if row.truth else ""
        made = cell(row.made, metric.digits)
        lines.append(f"| {metric.heading} | {metric.better} | {made} | {truth} | {row.made.clips} |")
    return "\n".join(lines) + "\n"


def report_markdown(run: Run, title: str, about: Mapping[str, Any]) -> str:
    """The page of a run."""
    summary = summarise(run)
    told = ", ".join(f"{name} {value}" for name, value in about.items() if value not in (None, "", []))
    lines = [f"# {title}", "", *([told + ".", ""] if told else [])]
    lines += [
        f"{_clips(summary.clips)}, {summary.frames} frames; {view_text(run.plan.view)}.",
        "",
        summary_markdown(summary),
    ]
    for group, part in by_group(run).items():
        lines += [f"## {group}", "", summary_markdown(part)]
    lines += [NOTES, ""]
    lines += [f"Weights {name}: {file}." for name, file in run.plan.settings()["weights"].items()]
    if summary.lonely:
        lines.append(f"{summary.lonely} frames have no partner, because clips differ in length; they are not scored.")
    reasons: dict[str, list[str]] = {}
    for name, reason in absent_metrics(run, summary).items():
        reasons.setdefault(reason, []).append(f"`{name}`")
    lines += [f"Not measured: {', '.join(names)}. {reason}" for reason, names in reasons.items()]
    for name, counts in missing_counts(run).items():
        lines += [f"`{name}` is missing for {_clips(count)}: {reason}." for reason, count in counts.items()]
    lines += [f"Measured as far as it goes: {one.id}: {one.damage}" for one in run.results if one.damage]
    lines += [f"Left out: {name}: {reason}" for name, reason in run.failed.items()]
    return "\n\n".join(_blocks(lines)).rstrip() + "\n"


def _clips(count: int) -> str:
    return f"{count} clip{'' if count == 1 else 's'}"


def _blocks(lines: Sequence[str]) -> list[str]:
    return [line.rstrip("\n") for line in lines if line]


def cell(estimate: Estimate, digits: int, interval: bool = True) -> str:
    """``value [low, high]``, or a dash when it is undefined."""
    if not np.isfinite(estimate.value):
        return "-"
    text = f"{estimate.value:.{digits}f}"
    if interval and np.isfinite(estimate.low):
        text += f" [{estimate.low:.{digits}f}, {estimate.high:.{digits}f}]"
    return re.sub(r"-(0\.0+)(?!\d)", r"\1", text)


def latex_table(columns: Mapping[str, Summary], caption: str = "") -> str:
    """A booktabs table: rows are metrics, columns systems, the best of each row in bold; one system alone has its
    intervals and the true clips' own values beside it."""
    alone = len(columns) == 1
    only = next(iter(columns.values())) if alone else None
    truth = only is not None and any(row.truth for row in only.rows)
    heads = ["Metric", *(escape(name) for name in columns), *(["true clips"] if truth else [])]
    lines = [r"\begin{tabular}{l" + "c" * (len(heads) - 1) + "}", r"\toprule", " & ".join(heads) + r" \\", r"\midrule"]
    for metric in _in_order(columns):
        found = {name: summary.row(metric.name) for name, summary in columns.items()}
        best = best_of(metric, {name: row.made.value for name, row in found.items() if row})
        cells = []
        for name, row in found.items():
            text = latex_cell(row.made if row else None, metric.digits, interval=alone)
            cells.append(rf"\textbf{{{text}}}" if name in best and not alone else text)
            cells += [latex_cell(row.truth, metric.digits) if row and row.truth else ""] if truth else []
        lines.append(" & ".join([escape(metric.heading) + arrow(metric), *cells]) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    return "\n".join([f"% {caption}", *lines] if caption else lines) + "\n"


def latex_cell(estimate: Estimate | None, digits: int, interval: bool = True) -> str:
    """:func:`cell` with minus signs instead of hyphens."""
    text = "-" if estimate is None else cell(estimate, digits, interval)
    return "--" if text == "-" else re.sub(r"-(?=\d)", "$-$", text)


def _in_order(columns: Mapping[str, Summary]) -> list[Metric]:
    found: dict[str, Metric] = {}
    for summary in columns.values():
        found |= {row.metric.name: row.metric for row in summary.rows}
    return list(found.values())


def best_of(metric: Metric, values: Mapping[str, float]) -> set[str]:
    """Names with the best value; empty where no value is better than another by itself."""
    known = {name: value for name, value in values.items() if np.isfinite(value)}
    if metric.better == "as the truth" or not known:
        return set()
    goal = {"higher": -np.inf, "lower": np.inf, "near 0": 0.0, "near 1": 1.0}[metric.better]
    worth = {name: -value if goal == -np.inf else value for name, value in known.items()}
    if metric.better.startswith("near"):
        worth = {name: abs(value - goal) for name, value in known.items()}
    least = min(round(value, metric.digits) for value in worth.values())
    return {name for name, value in worth.items() if round(value, metric.digits) == least}


def arrow(metric: Metric) -> str:
    """Which way is better, in LaTeX; empty where neither is."""
    return {"higher": r" $\uparrow$", "lower": r" $\downarrow$"}.get(metric.better, "")


_SIGNS = {letter: f"\\{letter}" for letter in "%&_#${}"} | {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "²": "$^2$", "³": "$^3$",
}  # fmt: skip


def plain_cell(text: str) -> str:
    """A name that can stand in a cell of a Markdown table."""
    return text.replace("|", r"\|")


def escape(text: str) -> str:
    """LaTeX's special characters as text."""
    return "".join(_SIGNS.get(letter, letter) for letter in text)
