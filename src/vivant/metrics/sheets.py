"""Contact sheets of measured clips: what is true, what was made, and where they differ."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vivant.metrics.report import stack_sheets, strip
from vivant.metrics.subject import Subject
from vivant.metrics.view import View, open_views, scaled

COLUMNS, SIDE = 6, 160
GAIN = 3  # differences are small: they are shown three times as large
_NAMES = {"true": "true", "driver": "driver", "made": "generated"}


def clip_sheet(subject: Subject, view: View, frames: int) -> np.ndarray:
    """One picture (H, W, 3) uint8 of ``COLUMNS`` frames evenly spread over the ``frames`` of a clip."""
    paths = {role: getattr(subject, role) for role in _NAMES if getattr(subject, role) is not None}
    picked = set(np.linspace(0, frames - 1, min(COLUMNS, frames)).round().astype(int).tolist())
    rows: dict[str, list[np.ndarray]] = {role: [] for role in paths}
    for block in open_views(paths, view).blocks():
        for number in range(len(block)):
            if block.start + number in picked:
                for role, row in rows.items():
                    row.append(_fitted((block.of(role) or [])[number]))
        if block.start + len(block) > max(picked):
            break
    named = {f"{subject.id}: {_NAMES[role]}": row for role, row in rows.items()}
    if {"true", "made"} <= set(rows):
        pairs = zip(rows["made"], rows["true"])
        apart = [np.abs(a.astype(int) - b) for a, b in pairs]
        named[f"difference x {GAIN}"] = [np.clip(GAIN * values, 0, 255).astype(np.uint8) for values in apart]
    return np.concatenate([strip(name, row, SIDE) for name, row in named.items()])


def _fitted(picture: np.ndarray) -> np.ndarray:
    """The picture inside a square of ``SIDE``, white around it."""
    height, width = picture.shape[:2]
    scale = SIDE / max(height, width)
    small = scaled(picture, (max(round(height * scale), 1), max(round(width * scale), 1)))
    down, right = SIDE - small.shape[0], SIDE - small.shape[1]
    edges = ((down // 2, down - down // 2), (right // 2, right - right // 2), (0, 0))
    return np.pad(small, edges, constant_values=255)


def write_sheets(pairs: Sequence[tuple[Subject, int]], view: View, path: Path) -> None:
    """The sheets of some clips (with their numbers of frames), one below the other."""
    from vivant.media.image import write_image

    sheets = [clip_sheet(subject, view, frames) for subject, frames in pairs]
    if sheets:
        write_image(path, stack_sheets(sheets))
