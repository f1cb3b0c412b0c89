"""Results of clips on disk: one JSON file and one file of arrays a clip, each written whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from vivant.core.errors import ARRAY_ERRORS
from vivant.metrics.measure import ClipResult
from vivant.metrics.probes.base import Findings
from vivant.metrics.statistics import Moments
from vivant.metrics.subject import Subject

_PARTS = ("series", "truth_series")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file in one step; numbers that are not finite become null."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_text(json.dumps(finite(value), indent=1, default=str) + "\n", encoding="utf-8")
    os.replace(part, path)


def finite(value: Any) -> Any:
    """The same value with None for numbers that JSON does not know."""
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value


class ResultFolder:
    """The folder ``clips`` of a run: what is done is found again by a later run with the same settings."""

    def __init__(self, out: Path) -> None:
        self.folder = out / "clips"

    def save(self, subject: Subject, result: ClipResult) -> None:
        """Keep one result; the arrays first, so that a JSON file never stands without them."""
        self.folder.mkdir(parents=True, exist_ok=True)
        found = result.findings
        arrays = {f"{part}:{name}": values for part in _PARTS for name, values in getattr(found, part).items()}
        arrays |= {
            f"features:{kind}:{role}": values
            for kind, roles in found.features.items()
            for role, values in roles.items()
        }
        part = self.folder / f".{subject.key}.part.npz"
        np.savez(part, **arrays)
        os.replace(part, self.folder / f"{subject.key}.npz")
        row = {name: getattr(result, name) for name in result.__dataclass_fields__ if name != "findings"}
        row |= {"values": found.values, "truth": found.truth, "missing": found.missing}
        row["moments"] = {name: asdict(moments) for name, moments in found.moments.items()}
        write_json(self.folder / f"{subject.key}.json", row)

    def load(self, subject: Subject, settings: str) -> ClipResult | None:
        """The kept result of these settings and unchanged inputs, None if there is none; arrays stay on disk."""
        try:
            row = json.loads((self.folder / f"{subject.key}.json").read_text(encoding="utf-8"))
            current = row["settings"] == settings and row["given"] == json.loads(json.dumps(subject.given()))
            if not current:
                return None
            np.load(self.folder / f"{subject.key}.npz").close()  # a file cut short, by a full disk perhaps, is none
            found = Findings(missing=row.pop("missing"))
            found.values, found.truth = (_numbers(row.pop(name)) for name in ("values", "truth"))
            found.moments = {name: Moments(**parts) for name, parts in row.pop("moments").items()}
            return ClipResult(**row, findings=found)
        except (*ARRAY_ERRORS, TypeError):
            return None

    def arrays(self, subject: Subject) -> dict[str, np.ndarray]:
        """Series and features of one clip by ``part:name``."""
        with np.load(self.folder / f"{subject.key}.npz") as file:
            return {name: file[name] for name in file.files}

    def features(self, subject: Subject, kind: str, role: str) -> np.ndarray | None:
        """Features (N, D) of the generated ("made") or true clip, None if there are none."""
        with np.load(self.folder / f"{subject.key}.npz") as file:
            name = f"features:{kind}:{role}"
            return file[name] if name in file.files else None


def _numbers(values: Mapping[str, float | None]) -> dict[str, float]:
    return {name: float("nan") if value is None else float(value) for name, value in values.items()}
