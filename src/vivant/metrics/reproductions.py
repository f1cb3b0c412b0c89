"""The page of reproductions: every claim, the numbers measured for it, and whether it held.

Claims stand in ``claims.yaml`` with the rules that decide them; results are JSON files beside it. The verdict is
computed from the numbers, never written by hand, and a claim without a result is "not yet measured".
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from vivant.core.errors import ConfigError
from vivant.core.text import read_text
from vivant.metrics.results import finite

CLAIMS = "claims.yaml"
HELD, LOOSELY, NOT_HELD, OPEN = "held", "held, but intervals overlap", "not held", "not yet measured"


@dataclass(frozen=True)
class Claim:
    """One claim. ``numbers``: names that a result must give; ``holds``: rules over them; ``certain``: intervals must
    not overlap."""

    id: str
    method: str
    claim: str
    source: str
    numbers: tuple[str, ...]
    holds: tuple[Any, ...]
    certain: bool = False


@dataclass(frozen=True)
class Result:
    """One measurement of a claim. ``numbers``: {name: {"value", and maybe "low", "high", "unit"}}; ``setting``: which
    net, data and amount; ``command``: what makes the numbers again; ``hardware``: where; ``plot``: a picture relative
    to ``docs``; ``note``: what a reader must know."""

    claim: str
    setting: str
    numbers: dict[str, dict[str, Any]]
    command: str
    hardware: str
    plot: str = ""
    note: str = ""
    file: str = field(default="", compare=False)


def read_claims(folder: Path) -> list[Claim]:
    """The claims of ``folder/claims.yaml``.

    Raises:
        ConfigError: no such file, or a claim that is not whole.
    """
    import yaml

    path = folder / CLAIMS
    try:
        rows = yaml.safe_load(read_text(path, "The list of claims"))
        claims = [Claim(**_tuples(row)) for row in rows]
    except (AttributeError, TypeError, yaml.YAMLError) as error:
        raise ConfigError(f"The claims {path} cannot be read ({error}): write them as the file's head says.") from error
    for claim in claims:
        if not (isinstance(claim.numbers, tuple) and isinstance(claim.holds, tuple)):
            raise ConfigError(f"{path}: numbers and rules of '{claim.id}' must be lists.")
        used = [name for rule in claim.holds for name in _names(rule, claim.id)]
        strange = [name for name in used if name not in claim.numbers]
        if strange or not claim.holds:
            raise ConfigError(f"{path}: the rules of '{claim.id}' name {strange or 'nothing'}: check its numbers.")
    if len({claim.id for claim in claims}) < len(claims):
        raise ConfigError(f"{path}: an id occurs twice.")
    return claims


def _tuples(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}


def _names(rule: Any, claim: str) -> list[str]:
    """The names a rule uses.

    Raises:
        ConfigError: it is no rule.
    """
    names = rule.get("increasing") if isinstance(rule, dict) and len(rule) == 1 else None
    if isinstance(names, list) and len(names) > 1:
        return names
    if isinstance(rule, list) and len(rule) == 3 and rule[1] in ("<", ">") and isinstance(rule[0], str):
        if not isinstance(rule[2], str | int | float):
            raise ConfigError(f"The rule {rule} of '{claim}' compares with neither a name nor a number.")
        return [name for name in (rule[0], rule[2]) if isinstance(name, str)]
    raise ConfigError(f"The rule {rule} of '{claim}' is none: write [left, \"<\", right] or {{increasing: [names]}}.")


def read_results(folder: Path, claims: Sequence[Claim]) -> list[Result]:
    """The results of ``folder/*.json``, in order of their names; a file holds one result or a list of them.

    Raises:
        ConfigError: a file is damaged, names no claim, or lacks a number.
    """
    known = {claim.id: claim for claim in claims}
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            rows = json.loads(path.read_text(encoding="utf-8"))
            results = [Result(**row, file=path.name) for row in (rows if isinstance(rows, list) else [rows])]
        except (ValueError, TypeError) as error:
            raise ConfigError(f"The result {path} cannot be read ({error}): see docs/evaluation.md.") from error
        for result in results:
            _check(result, known, path)
        found += results
    return found


def _check(result: Result, known: Mapping[str, Claim], path: Path) -> None:
    texts = (result.claim, result.setting, result.command, result.hardware, result.plot, result.note)
    if not isinstance(result.numbers, dict) or not all(isinstance(text, str) for text in texts):
        raise ConfigError(f"The result {path} cannot be read (a text is none, or its numbers are no object).")
    if result.claim not in known:
        raise ConfigError(f"{path}: there is no claim '{result.claim}' in {CLAIMS}.")
    lacks = [name for name in known[result.claim].numbers if not _is_number(result.numbers.get(name))]
    if lacks or not (result.command and result.hardware and result.setting):
        what = f"the numbers {', '.join(lacks)}" if lacks else "its setting, command or hardware"
        raise ConfigError(f"{path}: the result for '{result.claim}' lacks {what}.")
    strange = [name for name, number in result.numbers.items() if not _is_number(number)]
    if strange:
        raise ConfigError(
            f"{path}: '{strange[0]}' of '{result.claim}' needs a value, and low and high as numbers if any."
        )


def _is_number(row: Any) -> bool:
    """Whether it is a number as results have it; ends that are null are no interval."""
    if not isinstance(row, dict) or not isinstance(row.get("value"), int | float):
        return False
    ends = [row[end] for end in ("value", "low", "high") if row.get(end) is not None]
    return all(isinstance(end, int | float) and math.isfinite(end) for end in ends)


def verdict(claim: Claim, result: Result) -> str:
    """Whether every rule holds for the numbers of a result, and also for the near ends of their 95 % intervals.

    A number without an interval stands for itself, but not in a claim that must be certain.
    """
    if not all(_holds(rule, claim.certain, result.numbers, claim.certain) for rule in claim.holds):
        return NOT_HELD
    return HELD if all(_holds(rule, True, result.numbers, claim.certain) for rule in claim.holds) else LOOSELY


def _holds(rule: Any, apart: bool, numbers: Mapping[str, Mapping[str, Any]], needed: bool) -> bool:
    """``apart``: the near ends of intervals must keep it, too; ``needed``: there must be intervals."""
    if isinstance(rule, dict):
        names = rule["increasing"]
        return all(_less(numbers[a], numbers[b], apart, needed) for a, b in pairwise(names))
    left, sign, right = rule
    other = numbers[right] if isinstance(right, str) else dict.fromkeys(("value", "low", "high"), right)
    small, large = (numbers[left], other) if sign == "<" else (other, numbers[left])
    return _less(small, large, apart, needed)


def _less(small: Mapping[str, Any], large: Mapping[str, Any], apart: bool, needed: bool) -> bool:
    if not apart:
        return bool(small["value"] < large["value"])
    return _end(small, "high", needed) < _end(large, "low", needed)


def _end(number: Mapping[str, Any], end: str, needed: bool) -> float:
    """An end of the interval; without one NaN if it is ``needed``, else the value."""
    known = number.get(end)
    return float(known if known is not None else math.nan if needed else number["value"])


def panels(claim: Claim, numbers: Mapping[str, Mapping[str, Any]]) -> list[tuple[list[str], list[float]]]:
    """What is drawn side by side: names that rules compare, with the limits that rules give them; then the claim's
    other numbers by their unit."""
    found: list[tuple[list[str], list[float]]] = []
    for rule in claim.holds:
        names = _names(rule, claim.id)
        limits = [float(rule[2])] if isinstance(rule, list) and not isinstance(rule[2], str) else []
        for other in [part for part in found if set(part[0]) & set(names)]:
            found.remove(other)
            names, limits = other[0] + [name for name in names if name not in other[0]], other[1] + limits
        found.append((names, limits))
    rest = [name for name in claim.numbers if not any(name in names for names, _ in found)]
    units = dict.fromkeys(numbers[name].get("unit", "") for name in rest)
    return found + [([name for name in rest if numbers[name].get("unit", "") == unit], []) for unit in units]


def reproductions_markdown(claims: Sequence[Claim], results: Sequence[Result]) -> str:
    """The page: a table of all claims by method, then each result with its command, hardware and picture."""
    by_claim: dict[str, list[Result]] = {}
    for result in results:
        by_claim.setdefault(result.claim, []).append(result)
    lines = ["| method | claim | verdict | numbers |", "|---|---|---|---|"]
    for claim in claims:
        mine = by_claim.get(claim.id, [])
        told = [f"{verdict(claim, result)}{f' ({result.setting})' if len(mine) > 1 else ''}" for result in mine]
        numbers = "<br>".join(_numbers_text(claim, result) for result in mine) or "-"
        lines.append(f"| {claim.method} | {claim.claim} | {'<br>'.join(told) or OPEN} | {numbers} |")
    counts = _counts(claims, by_claim)
    text = ["\n".join(lines), counts]
    for claim in claims:
        text += [_section(claim, result) for result in by_claim.get(claim.id, [])]
    return "\n\n".join(text) + "\n"


def _counts(claims: Sequence[Claim], by_claim: Mapping[str, Sequence[Result]]) -> str:
    told = [{verdict(claim, result) for result in by_claim.get(claim.id, [])} for claim in claims]
    held, broken = sum(found == {HELD} for found in told), sum(NOT_HELD in found for found in told)
    loosely, missing = sum(LOOSELY in found and NOT_HELD not in found for found in told), sum(not f for f in told)
    return f"{len(claims)} claims: {held} held, {loosely} {LOOSELY}, {broken} not held, {missing} {OPEN}."


def _numbers_text(claim: Claim, result: Result) -> str:
    return ", ".join(f"{name}: {_value(result.numbers[name])}" for name in claim.numbers)


def _value(number: Mapping[str, Any]) -> str:
    text = f"{number['value']:.4g}"
    if number.get("low") is not None and number.get("high") is not None:
        text += f" [{number['low']:.4g}, {number['high']:.4g}]"
    return f"{text} {number['unit']}" if number.get("unit") else text


def _section(claim: Claim, result: Result) -> str:
    lines = [
        f"## {claim.method}: {claim.claim}",
        "",
        f"**{verdict(claim, result)}**. {claim.source}. {result.setting}.",
        "",
        *(f"- {name}: {_value(result.numbers[name])}" for name in result.numbers),
        f"- Rules: {'; '.join(_rule_text(rule) for rule in claim.holds)}"
        + (" (intervals apart)" if claim.certain else ""),
        f"- Hardware: {result.hardware}",
        "",
        "```bash",
        result.command,
        "```",
    ]
    lines += ["", result.note] if result.note else []
    lines += ["", f"![{claim.claim}]({result.plot})"] if result.plot else []
    return "\n".join(lines)


def _rule_text(rule: Any) -> str:
    if isinstance(rule, dict):
        return " < ".join(rule["increasing"])
    return f"{rule[0]} {rule[1]} {rule[2]}"


def write_result(path: Path, result: Result) -> None:
    """Write one result file; a reader never sees half of it."""
    from vivant.metrics.results import write_json

    row = {name: getattr(result, name) for name in result.__dataclass_fields__ if name != "file"}
    write_json(path, finite({name: value for name, value in row.items() if value != ""}))
