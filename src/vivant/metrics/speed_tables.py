"""What ``vivant benchmark`` measured, as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_MODULES = {
    "appearance_feature_extractor": "F appearance extractor, once a portrait",
    "motion_extractor": "M motion extractor",
    "warping_module": "W warping",
    "spade_generator": "G generator",
    "stitching_retargeting_module": "S + R stitching and retargeting",
}


def markdown(what: str, values: Mapping[str, Any]) -> str:
    """The values of one benchmark as Markdown."""
    place = ", ".join(f"{name} {value}" for name, value in values["machine"].items())
    body = {"speed": _speed_rows, "modules": _module_rows, "memory": _memory_rows}[what](values)
    return "\n".join([f"# Benchmark: {what}", "", place, "", *body]) + "\n"


def _speed_rows(values: Mapping[str, Any]) -> list[str]:
    rows = [
        f"{values['method']}, {values['dtype']}: **{values['frames_per_second']:.1f} frames a second** from file to "
        f"file ({values['frames']} frames, median of {values['runs']} runs).",
        "",
        "| stage | ms per frame |",
        "|---|---|",
    ]
    return rows + [f"| {part} | {spent:.2f} |" for part, spent in values["stage_ms_per_frame"].items()]


def _module_rows(values: Mapping[str, Any]) -> list[str]:
    how = f"{'compiled' if values['compiled'] else 'eager'}, {values['form']}, batch 1"
    title = f"{values['method']}, {values['dtype']}, {how}"
    rows = [title, "", "| module | M parameters | MB | median ms | mean ms |", "|---|---|---|---|---|"]
    for name, row in values["modules"].items():
        ms = row["ms"]
        rows.append(
            f"| {_MODULES.get(name, name)} | {row['parameters'] / 1e6:.2f} | {row['megabytes']:.1f} "
            f"| {ms['median']:.2f} | {ms['mean']:.2f} |"
        )
    return rows


def _memory_rows(values: Mapping[str, Any]) -> list[str]:
    rows = ["| driver, s | frames | peak memory, MiB | wall clock, s |", "|---|---|---|---|"]
    for row in values["runs"]:
        rows.append(
            f"| {row['driver_seconds']:g} | {row['frames']} | {row['peak_mib']:.0f} | {row['wall_seconds']:.1f} |"
        )
    return [*rows, "", f"Ratio of the two peaks: {values['ratio']:.3f}"]
