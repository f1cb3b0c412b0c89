"""Limits that results must keep, for continuous integration: ``--gate gate.yaml``.

A gate file maps names to limits::

    psnr: {min: 30}
    landmark-error: {max: 0.02, certain: true}
    blinks-per-second: {truth: 0.1}
    failed: {max: 0}

``min`` and ``max`` bound the value, ``truth`` its distance from the true clips' own value; ``certain: true`` asks it of
the unfavourable end of the 95 % interval, which needs two clips (three for distances of sets). Besides metrics there
are ``clips``, ``frames``, ``failed``, ``damaged`` and ``frames-without-partner``.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from vivant.core.errors import ConfigError
from vivant.core.text import read_text
from vivant.metrics.metric import all_metrics

COUNTS = ("clips", "frames", "failed", "damaged", "frames-without-partner")
_LIMITS = ("min", "max", "truth")


@dataclass(frozen=True)
class Limit:
    """What one quantity must keep; None is no limit."""

    name: str
    min: float | None = None
    max: float | None = None
    truth: float | None = None
    certain: bool = False


def read_gate(path: str | os.PathLike[str]) -> list[Limit]:
    """The limits of a gate file.

    Raises:
        ConfigError: no such file, not YAML, or a name or a limit that there is not.
    """
    import yaml

    try:
        values = yaml.safe_load(read_text(path, "The gate file"))
    except yaml.YAMLError as error:
        raise ConfigError(f"The gate file '{path}' cannot be read: give a YAML file of limits.") from error
    if not isinstance(values, dict) or not values:
        raise ConfigError(f"The gate file '{path}' names no limit: write lines such as 'psnr: {{min: 30}}'.")
    return [_limit(str(name), limit, str(path)) for name, limit in values.items()]


def _limit(name: str, limit: Any, path: str) -> Limit:
    name = name.replace("_", "-")
    if name not in all_metrics() and name not in COUNTS:
        raise ConfigError(f"{path}: there is no metric '{name}': vivant evaluate metrics lists them.")
    strange = set(limit) - {*_LIMITS, "certain"} if isinstance(limit, dict) else {"a plain value"}
    if strange or not set(limit) & set(_LIMITS):
        raise ConfigError(f"{path}: '{name}' needs one of min, max and truth (and maybe certain: true).")
    numbers = {key: limit[key] for key in _LIMITS if key in limit}
    if not all(map(_is_number, numbers.values())):
        raise ConfigError(f"{path}: the limits of '{name}' must be numbers.")
    certain = limit.get("certain", False)
    if not isinstance(certain, bool):
        raise ConfigError(f"{path}: 'certain' of '{name}' is either true or false.")
    return Limit(name, **{key: float(value) for key, value in numbers.items()}, certain=certain)


def _is_number(value: Any) -> bool:
    """Whether it can be a limit; every value would keep a limit of .nan."""
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)


def check_measured(limits: Iterable[Limit], measured: Iterable[str], absent: Mapping[str, str]) -> None:
    """Refuse limits of what a run does not measure, before it begins. ``measured``: its metrics; ``absent``: others,
    and why they are not among them.

    Raises:
        ConfigError: there is such a limit.
    """
    known = [*measured]
    for limit in limits:
        if limit.name not in COUNTS and limit.name not in known:
            raise ConfigError(
                f"The gate limits '{limit.name}', which this run does not measure. "
                f"{absent.get(limit.name, 'It is not among the metrics chosen.')} Measured are {', '.join(known)}."
            )


def failures(limits: list[Limit], report: Mapping[str, Any]) -> list[str]:
    """One sentence for each limit that the report (:func:`vivant.metrics.tables.report_json`) does not keep."""
    return [sentence for limit in limits for sentence in _check(limit, report)]


def _check(limit: Limit, report: Mapping[str, Any]) -> list[str]:
    if limit.name in COUNTS:
        key = limit.name.replace("-", "_")
        found = report.get(key, 0)
        row: Mapping[str, Any] = {"value": found if isinstance(found, int) else len(found)}
    else:
        row = report["metrics"].get(limit.name) or {}
    if row.get("value") is None:
        return [f"{limit.name} was not measured"]
    if limit.certain and limit.name not in COUNTS and (row.get("low") is None or row.get("high") is None):
        return [f"{limit.name} has no interval, so nothing is certain: measure more clips"]
    broken = []
    low, high = _ends(limit, row)
    if limit.min is not None and low < limit.min:
        broken.append(f"{limit.name} is {low:.6g}, less than {limit.min:g}")
    if limit.max is not None and high > limit.max:
        broken.append(f"{limit.name} is {high:.6g}, more than {limit.max:g}")
    if limit.truth is not None:
        broken += _against_truth(limit, row)
    return broken


def _ends(limit: Limit, row: Mapping[str, Any]) -> tuple[float, float]:
    """Smallest and largest value to judge; counts have no interval."""
    ends = [row[key] if limit.certain and key in row else row["value"] for key in ("low", "high")]
    return float(ends[0]), float(ends[1])


def _against_truth(limit: Limit, row: Mapping[str, Any]) -> list[str]:
    truth = (row.get("truth") or {}).get("value")
    if truth is None:
        return [f"{limit.name} has no value of true clips to compare with"]
    low, high = _ends(limit, row)
    apart = max(abs(low - truth), abs(high - truth))
    allowed = limit.truth if limit.truth is not None else 0.0
    return [f"{limit.name} is {apart:.6g} from the true clips' {truth:.6g}"] if apart > allowed else []
