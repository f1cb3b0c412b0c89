"""Thresholds: what a clip must score to be kept, as a YAML file anybody can read and change.

title: My rules
about: where the numbers come from
rules:
  - {score: faces.most, max: 1, why: more than one face}
  - {score: sync-published.confidence, min: 6, why: lips and sound do not fit, missing: pass}
  - {score: sync.confidence, min: 2.5, why: lips and sound do not fit, unless: sync-published.confidence}
duplicates: true        # of clips that are one recording keep the best
people: {distance: 0.4} # embeddings nearer than this are one person
splits: {train: 0.9, val: 0.05, test: 0.05}
require: [licence]      # of licence, consent, person: what the list of videos must say
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from vivant.core.errors import ConfigError
from vivant.core.text import read_text
from vivant.data.curate.scorers.base import all_measures

PRESETS = Path(__file__).resolve().parent / "presets"
SPLITS = ("train", "val", "test")
REQUIRABLE = ("person", "licence", "consent")


@dataclass(frozen=True)
class Rule:
    """One threshold. ``score``: full name; ``min``, ``max``: limits that still pass; ``why``: said of clips that fail;
    ``missing``: "fail" or "pass" without a number; ``unless``: the rule is left out where that score is known."""

    score: str
    min: float | None = None
    max: float | None = None
    why: str = ""
    missing: str = "fail"
    unless: str = ""

    def verdict(self, scores: Mapping[str, Any]) -> str:
        """Why a clip with these scores fails, empty if it passes."""
        if self.unless and _number(scores.get(self.unless)) is not None:
            return ""
        value = _number(scores.get(self.score))
        if value is None:
            return f"{self.why}: {self.score} is not known" if self.missing == "fail" else ""
        if self.min is not None and value < self.min:
            return f"{self.why}: {self.score} is {value:g}, at least {self.min:g} is asked"
        if self.max is not None and value > self.max:
            return f"{self.why}: {self.score} is {value:g}, at most {self.max:g} is allowed"
        return ""


@dataclass(frozen=True)
class Rules:
    """A set of thresholds and how what passes is sorted; see the module's text."""

    title: str
    rules: tuple[Rule, ...]
    about: str = ""
    duplicates: bool = True
    distance: float = 0.4
    splits: Mapping[str, float] = field(default_factory=lambda: {"train": 0.9, "val": 0.05, "test": 0.05})
    require: tuple[str, ...] = ()

    def scorers(self) -> tuple[str, ...]:
        """Scorers that the rules look at, in the rules' order."""
        return tuple(dict.fromkeys(rule.score.partition(".")[0] for rule in self.rules))

    def as_yaml(self) -> str:
        """The same as a file that :func:`read_rules` reads."""
        rules = [{key: value for key, value in asdict(rule).items() if value not in (None, "")} for rule in self.rules]
        values = {
            "title": self.title, "about": self.about, "rules": rules, "duplicates": self.duplicates,
            "people": {"distance": self.distance}, "splits": dict(self.splits), "require": list(self.require),
        }  # fmt: skip
        return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=110)


def _number(value: Any) -> float | None:
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if good else None


def preset_names() -> list[str]:
    """Names of the presets that come with Vivant."""
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def read_rules(name: str) -> Rules:
    """The rules of a preset, or of a YAML file.

    Raises:
        ConfigError: neither a preset nor a file, or the file makes no sense; the message names the rule.
    """
    path = PRESETS / f"{name}.yaml" if name in preset_names() else Path(name)
    if not path.is_file():
        raise ConfigError(f"There are no rules '{name}': use {', '.join(preset_names())}, or a YAML file.")
    try:
        values = yaml.safe_load(read_text(path, "The file of rules"))
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML ({' '.join(str(error).split())}).") from error
    if not isinstance(values, dict) or not isinstance(values.get("rules"), list):
        raise ConfigError(f"{path} must be a mapping with a list 'rules'.")
    return _rules(values, path)


def _rules(values: Mapping[str, Any], path: Path) -> Rules:
    known = {"title", "about", "rules", "duplicates", "people", "splits", "require"}
    strange = [key for key in values if key not in known]
    if strange:
        raise ConfigError(f"{path} has the unknown key '{strange[0]}': use {', '.join(sorted(known))}.")
    rules = tuple(_rule(row, number, path) for number, row in enumerate(values["rules"], 1))
    require = values.get("require") or []
    if not isinstance(require, list) or any(word not in REQUIRABLE for word in require):
        raise ConfigError(f"{path}: require is a list of some of {', '.join(REQUIRABLE)}, not {require}.")
    people = {} if values.get("people") is None else values["people"]
    distance = (
        _number(people.get("distance", 0.4)) if isinstance(people, dict) and set(people) <= {"distance"} else None
    )
    if distance is None or distance < 0:
        raise ConfigError(f"{path}: people must be a mapping such as {{distance: 0.4}}, not {people}.")
    duplicates = values.get("duplicates", True)
    if not isinstance(duplicates, bool):
        raise ConfigError(f"{path}: duplicates is true or false, not {duplicates!r}.")
    return Rules(
        str(values.get("title", path.stem)), rules, str(values.get("about", "")), duplicates, distance,
        _splits(values.get("splits"), path), tuple(require),
    )  # fmt: skip


def _splits(values: Any, path: Path) -> dict[str, float]:
    if values is None:
        return {"train": 0.9, "val": 0.05, "test": 0.05}
    try:
        shares = {str(name): float(share) for name, share in dict(values).items()}
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{path}: splits must be a mapping of names to shares.") from error
    if (
        not shares
        or not set(shares) <= set(SPLITS)
        or min(shares.values()) < 0
        or not 0 < sum(shares.values()) < math.inf
    ):
        raise ConfigError(f"{path}: splits are shares of {', '.join(SPLITS)}, not {shares}.")
    return shares


def _rule(row: Any, number: int, path: Path) -> Rule:
    where = f"{path}, rule {number}"
    names = {item.name for item in fields(Rule)}
    if not isinstance(row, dict) or not set(row) <= names or "score" not in row:
        raise ConfigError(f"{where}: a rule is a mapping with 'score' and some of {', '.join(sorted(names))}.")
    measures = all_measures()
    for key in ("score", "unless"):
        if row.get(key) and (not isinstance(row[key], str) or row[key] not in measures):
            raise ConfigError(f"{where}: there is no score '{row[key]}'; vivant curate scorers lists them.")
    limits: Sequence[Any] = [row.get(key) for key in ("min", "max")]
    if all(limit is None for limit in limits) or any(limit is not None and _number(limit) is None for limit in limits):
        raise ConfigError(f"{where}: give 'min', 'max' or both, as numbers.")
    if None not in limits and limits[0] > limits[1]:
        raise ConfigError(f"{where}: no score is at least {limits[0]} and at most {limits[1]}.")
    if row.get("missing", "fail") not in ("fail", "pass"):
        raise ConfigError(f"{where}: missing is 'fail' or 'pass'.")
    return Rule(**{**row, "why": str(row.get("why") or row["score"])})
