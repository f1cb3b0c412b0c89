"""Tables and pictures of measured records."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from vivant.core.face import FaceCrop
from vivant.metrics.identity import NAME as IDENTITY
from vivant.metrics.motion import SERIES
from vivant.metrics.reenactment import Record, Take
from vivant.metrics.statistics import Estimate, bootstrap, correlation_of, gain_of, mean_of, moment_rows

SERIES_TITLES = {"mouth": "mouth", "lids": "lids", "gaze_x": "gaze sideways", "gaze_y": "gaze up and down"}


@dataclass(frozen=True)
class Quantity:
    """One row of the table. ``kind``: "value" of the records, or a statistic of the series ``name``."""

    key: str
    title: str
    better: str
    kind: str
    name: str
    digits: int

    def estimate(self, records: Sequence[Record]) -> Estimate:
        """The statistic over the records of one method, with its interval."""
        if self.kind == "value":
            return _mean([record.values.get(self.name, float("nan")) for record in records])
        parts = [record.moments[self.name] for record in records if self.name in record.moments]
        if self.kind == "clip_correlation":
            return _mean([part.correlation for part in parts])
        return bootstrap(moment_rows(parts), correlation_of if self.kind == "correlation" else gain_of)


def _mean(values: Sequence[float]) -> Estimate:
    return bootstrap(np.array(values, np.float64).reshape(-1, 1), mean_of)


def _values(task: str) -> list[Quantity]:
    rotation = "head rotation error, degrees" if task == "self" else "error of head rotation's change, degrees"
    rows = [
        ("landmark_error", "landmark error / eye distance", "lower", 4),
        ("rotation_error", rotation, "lower", 2),
        ("euler_error", "mean absolute pitch, yaw, roll error, degrees", "lower", 2),
        ("identity_distance", f"{IDENTITY} to the source", "lower", 3),
        ("psnr", "PSNR, dB", "higher", 2),
        ("ssim", "SSIM", "higher", 4),
        ("l1", "L1", "lower", 4),
    ]
    kept = [row for row in rows if task == "self" or row[0] in ("rotation_error", "identity_distance")]
    return [Quantity(name, title, better, "value", name, digits) for name, title, better, digits in kept]


def quantities(task: str) -> list[Quantity]:
    """The rows of a task's table, in order."""
    rows = _values(task)
    for name in SERIES:
        title = SERIES_TITLES[name]
        rows += [
            Quantity(f"{name}_correlation", f"{title} correlation", "higher", "correlation", name, 3),
            Quantity(f"{name}_gain", f"{title} gain", "near 1", "gain", name, 3),
            Quantity(
                f"{name}_clip_correlation",
                f"{title} correlation, mean of clips",
                "higher",
                "clip_correlation",
                name,
                3,
            ),
        ]
    return rows


@dataclass(frozen=True)
class Table:
    """One task: ``cells[method][key]``, with the number of clips, scored frames and frames without a face."""

    task: str
    cells: dict[str, dict[str, Estimate]]
    counts: dict[str, tuple[int, int, int]]

    def as_json(self) -> dict[str, Any]:
        """Plain values for JSON; undefined numbers are None."""
        methods: dict[str, Any] = {}
        for method, row in self.cells.items():
            clips, frames, missing = self.counts[method]
            methods[method] = {"clips": clips, "frames": frames, "frames_without_a_face": missing}
            methods[method] |= {key: _finite(asdict(estimate)) for key, estimate in row.items()}
        return {"task": self.task, "methods": methods}

    def as_markdown(self) -> str:
        """Rows are quantities, columns methods, cells the value and its interval."""
        lines = [f"| {self.task}-reenactment | better | {' | '.join(self.cells)} |"]
        lines.append("|---" * (2 + len(self.cells)) + "|")
        for row in quantities(self.task):
            cells = (_cell(estimates[row.key], row.digits) for estimates in self.cells.values())
            lines.append(f"| {row.title} | {row.better} | {' | '.join(cells)} |")
        counts = (f"{missing} of {frames}" for _, frames, missing in self.counts.values())
        lines.append(f"| frames without a face | lower | {' | '.join(counts)} |")
        clips = (str(count[0]) for count in self.counts.values())
        lines.append(f"| clips |  | {' | '.join(clips)} |")
        return "\n".join(lines) + "\n"


def make_table(task: str, records: Sequence[Record], methods: Sequence[str]) -> Table:
    """Summarise the records of one task; only cases that every method has are counted, so columns compare."""
    mine = [record for record in records if record.task == task and record.method in methods]
    cases = [{record.case for record in mine if record.method == method} for method in methods]
    common = set.intersection(*cases) if cases else set()
    cells: dict[str, dict[str, Estimate]] = {}
    counts: dict[str, tuple[int, int, int]] = {}
    for method in methods:
        part = sorted((r for r in mine if r.method == method and r.case in common), key=lambda r: r.case)
        cells[method] = {row.key: row.estimate(part) for row in quantities(task)}
        counts[method] = len(part), sum(r.frames for r in part), sum(r.missing for r in part)
    return Table(task, cells, counts)


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    return {key: None if isinstance(v, float) and not np.isfinite(v) else v for key, v in values.items()}


def _cell(estimate: Estimate, digits: int) -> str:
    if not np.isfinite(estimate.value):
        return "-"
    value, low, high = (f"{n:.{digits}f}" for n in (estimate.value, estimate.low, estimate.high))
    text = value if not np.isfinite(estimate.low) else f"{value} [{low}, {high}]"
    return re.sub(r"-(0\.0+)(?!\d)", r"\1", text)


def contact_sheet(
    source: FaceCrop, driver: Take, results: dict[str, list[np.ndarray]], columns: int = 6, side: int = 160
) -> np.ndarray:
    """One picture (H, W, 3) uint8: the source at the left of every row; rows are the driver, then each
    method, named.

    The columns are frames evenly spread from the second to the last.
    """
    rows = [("driver", driver.images), *results.items()]
    count = len(driver.images)
    picked = np.unique(np.linspace(min(1, count - 1), count - 1, min(columns, count)).round().astype(int))
    strips = [strip(name, [source.image, *(images[i] for i in picked)], side) for name, images in rows]
    return np.concatenate(strips)


def strip(name: str, images: Sequence[np.ndarray], side: int) -> np.ndarray:
    """A line of text above a row of pictures."""
    import cv2

    row = np.concatenate([cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA) for image in images], 1)
    label = np.full((18, row.shape[1], 3), 255, np.uint8)
    cv2.putText(label, name, (4, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (20, 20, 20), 1, cv2.LINE_AA)
    return np.concatenate([label, row])


def stack_sheets(sheets: Sequence[np.ndarray]) -> np.ndarray:
    """Sheets of one width or less, one below the other on white."""
    width = max(sheet.shape[1] for sheet in sheets)
    padded = [np.pad(sheet, ((0, 8), (0, width - sheet.shape[1]), (0, 0)), constant_values=255) for sheet in sheets]
    return np.concatenate(padded)
