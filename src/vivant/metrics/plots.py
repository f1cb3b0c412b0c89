"""Plots of measured clips: curves over time and histograms over clips. They need the extra ``plots``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vivant.core.errors import MissingExtraError
from vivant.metrics.metric import Metric, all_metrics
from vivant.metrics.motion import SERIES
from vivant.metrics.results import ResultFolder
from vivant.metrics.suite import Run
from vivant.metrics.summary import Summary

CURVES = ("psnr", "landmark-error", "identity-distance-dlib", "flicker")
"""Metrics whose value in each frame is drawn, when they were measured."""


def require_plots() -> None:
    """Check before any work that plots can be drawn.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    _figure_kind()


def _figure_kind() -> Any:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("matplotlib", "plots", "Drawing plots") from None

    def make(width: float, height: float) -> Any:
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)  # draws to a file; no window, no global state
        return figure

    return make


def write_plots(run: Run, summary: Summary, clips: int = 8) -> list[Path]:
    """``plots/histograms.png`` and, for the first clips, ``plots/curves_<clip>.png``; returns their paths."""
    folder = run.out / "plots"
    folder.mkdir(parents=True, exist_ok=True)
    written = [draw_histograms(summary, folder / "histograms.png")]
    store = ResultFolder(run.out)
    for subject, _ in run.measured()[:clips]:
        path = folder / f"curves_{subject.key}.png"
        if draw_curves(store.arrays(subject), subject.id, path):
            written.append(path)
    return [path for path in written if path is not None]


def draw_histograms(summary: Summary, path: Path) -> Path | None:
    """How each metric is spread over clips."""
    rows = [(row.metric, np.array(list(row.values.values()))) for row in summary.rows]
    rows = [(metric, values[np.isfinite(values)]) for metric, values in rows]
    rows = [(metric, values) for metric, values in rows if len(values)]
    if not rows:
        return None
    height = -(-len(rows) // 4)
    figure = _figure_kind()(13, 2.2 * height)
    for number, (metric, values) in enumerate(rows, 1):
        axes = figure.add_subplot(height, 4, number)
        axes.hist(values, bins=min(20, max(3, len(values))), range=_span(values), color="0.35")
        axes.yaxis.get_major_locator().set_params(integer=True)
        axes.axvline(values.mean(), color="tab:red", linewidth=1)
        axes.set_title(metric.title, fontsize=8)
        axes.tick_params(labelsize=7)
        axes.set_xlabel(metric.unit or " ", fontsize=7)
    figure.savefig(path, dpi=100)
    return path


def _span(values: np.ndarray) -> tuple[float, float]:
    """From the least to the largest value; a little more where they differ by rounding only, which has no bins."""
    low, high = float(values.min()), float(values.max())
    least = max(abs(low), abs(high)) * 1e-6 or 1e-6
    return (low, high) if high - low > least else (low - least, high + least)


def draw_curves(arrays: Mapping[str, np.ndarray], title: str, path: Path) -> Path | None:
    """Values of each frame of one clip, and its openings and gaze beside the goal's."""
    metrics = all_metrics()
    rows: list[tuple[str, Sequence[tuple[str, np.ndarray]]]] = []
    for name in CURVES:
        if np.isfinite(arrays.get(f"series:{name}", np.empty(0))).any():
            rows.append((metrics[name].heading, _lines(arrays, name, metrics[name])))
    for key in (*SERIES, "sharpness"):
        name = f"series/{key.replace('_', '-')}"
        if any(np.isfinite(arrays.get(f"{part}:{name}", np.empty(0))).any() for part in ("series", "truth_series")):
            rows.append((key.replace("_", " "), _lines(arrays, name, None)))
    if not rows:
        return None
    figure = _figure_kind()(9, 1.6 * len(rows))
    for number, (heading, lines) in enumerate(rows, 1):
        axes = figure.add_subplot(len(rows), 1, number)
        for (label, values), colour in zip(lines, ("tab:red", "0.4")):
            axes.plot(values, label=label, color=colour, linewidth=1, marker=".", markersize=2)
        axes.set_xlim(-0.5, max(len(values) for _, values in lines) - 0.5)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_title(heading, fontsize=8, loc="left")
        axes.tick_params(labelsize=7)
        if len(lines) > 1:
            axes.legend(fontsize=7, loc="upper right")
    figure.suptitle(title, fontsize=9, parse_math=False)  # a file name, which may hold a $
    figure.axes[-1].set_xlabel("scored frame", fontsize=8)
    figure.savefig(path, dpi=100)
    return path


def draw_numbers(
    panels: Sequence[tuple[Sequence[str], Sequence[float]]], numbers: Mapping[str, Any], path: Path
) -> None:
    """Bars with their intervals, a panel for the numbers that are compared with each other; limits are dashed.

    ``numbers``: {name: {"value", and maybe "low", "high", "unit"}}, as results of claims have them.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    figure = _figure_kind()(8, 0.5 + sum(0.35 * len(names) + 0.5 for names, _ in panels))
    places = figure.subplots(len(panels), squeeze=False, height_ratios=[len(names) + 1 for names, _ in panels])
    for (axes,), (names, limits) in zip(places, panels):
        rows = [numbers[name] for name in names]
        values = [row["value"] for row in rows]
        ends = [[np.nan if row.get(end) is None else row[end] for row in rows] for end in ("low", "high")]
        apart = [np.abs(np.subtract(values, end)) for end in ends]
        axes.barh(range(len(names)), values, xerr=apart, color="0.6", capsize=3, height=0.6)
        for limit in limits:
            axes.axvline(limit, color="tab:red", linewidth=1, linestyle="--")
        axes.axvline(0, color="0.2", linewidth=0.8)
        axes.set_yticks(range(len(names)), names, fontsize=8)
        axes.invert_yaxis()
        axes.set_xlabel(rows[0].get("unit", ""), fontsize=7)
        axes.tick_params(axis="x", labelsize=7)
    figure.savefig(path, dpi=100)


def _lines(arrays: Mapping[str, np.ndarray], name: str, metric: Metric | None) -> list[tuple[str, np.ndarray]]:
    lines = [("generated", arrays[f"series:{name}"])]
    theirs = arrays.get(f"truth_series:{name}")
    return lines if theirs is None else [*lines, ("true" if metric else "goal", theirs)]
