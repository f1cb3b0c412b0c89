"""Measures one clip: reads it once, shows every block to every probe, and gathers what they found."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib import import_module
from typing import Any

from vivant.core.errors import ConfigError, MediaError
from vivant.metrics.metric import PROBES, Metric, chosen_metrics
from vivant.metrics.probes.base import Case, Collector, Findings, Lab, only
from vivant.metrics.subject import Subject
from vivant.metrics.view import View, open_views


@dataclass(frozen=True)
class Plan:
    """What a run measures: ``metrics`` by name, in order; ``absent``: those it cannot, and why; ``view``; ``lab``."""

    metrics: dict[str, Metric]
    absent: dict[str, str]
    view: View
    lab: Lab

    def settings(self) -> dict[str, Any]:
        """All that fixes the numbers: metrics with their versions, the view, published files by name and hash."""
        weights = sorted({name for metric in self.metrics.values() for name in metric.weights})
        found: dict[str, Any] = {
            "metrics": {name: metric.version for name, metric in self.metrics.items()},
            "view": asdict(self.view) | _reader(self.view),
            "weights": {name: _hashed(self.lab, name) for name in weights},
        }
        return found | ({"speech": self.lab.speech} if "wer" in self.metrics else {})

    def fingerprint(self) -> str:
        """12 hexadecimal digits that change when a setting does."""
        text = json.dumps(self.settings(), sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def _reader(view: View) -> dict[str, int]:
    """A mark of how drivers are cut and scaled, where that was done in another way before."""
    return {"reader": 2} if view.align == "face" or (view.size and view.align == "whole") else {}


def _hashed(lab: Lab, name: str) -> str:
    from vivant.weights.loading import sha256

    path = lab.store.find(name)
    known: str = lab.net(f"hash {path}", lambda: f"{path.name} {sha256(path)[:12]}")
    return known


@dataclass(frozen=True)
class ClipResult:
    """What was found in one clip. ``frames``: scored ones; ``lonely``: frames that not all its clips have;
    ``seconds``: the time it took; ``damage``: what of its files could not be read; ``settings``: the plan's
    fingerprint; ``given``: its inputs as they were."""

    id: str
    group: str
    person: str
    settings: str
    given: dict[str, Any]
    frames: int
    lonely: int
    seconds: float
    damage: str = ""
    findings: Findings = field(default_factory=Findings)


def make_plan(names: Iterable[str] | None, view: View, lab: Lab) -> Plan:
    """The plan for these metrics (all if None).

    Of all metrics, those whose weights or packages are missing are left out and listed as absent; a metric that was
    asked for by name must be possible.

    Raises:
        ConfigError: no such metric, one that was named cannot be measured, or the view makes no sense.
    """
    asked = None if names is None else list(names)
    metrics = chosen_metrics(asked)
    absent: dict[str, str] = {}
    for module, mine in _by_probe(metrics).items():
        absent |= module.lacking(lab, mine)
    if asked is not None and absent:
        name, reason = next(iter(absent.items()))
        raise ConfigError(f"The metric '{name}' cannot be measured here. {reason}")
    kept = {name: metric for name, metric in metrics.items() if name not in absent}
    return Plan(kept, absent, view.checked(), lab)


def _by_probe(metrics: Mapping[str, Metric]) -> dict[Any, dict[str, Metric]]:
    """{probe module: its metrics among these}, probes without any left out."""
    found: dict[Any, dict[str, Metric]] = {}
    for name in PROBES:
        module = import_module(f"vivant.metrics.probes.{name}")
        mine = {metric.name: metric for metric in module.METRICS if metric.name in metrics}
        if mine:
            found[module] = mine
    return found


_LACKS = {
    "true": "It needs the true clip.",
    "driver": "It needs the true clip or a driver.",
    "source": "It needs the portrait or the true clip.",
    "text": "It needs what is said, given or in a .txt file beside the true clip.",
}


def _unmet(metric: Metric, subject: Subject) -> str:
    """What the metric needs and this subject does not give, empty if nothing; sound and faces show only when it is
    read."""
    true = subject.true is not None
    given = {"true": true, "driver": true or subject.driver is not None, "source": true or subject.source is not None,
             "text": bool(subject.text)}  # fmt: skip
    if subject.made is None and metric.level != "set" and not metric.of_truth:
        return "It needs a generated clip."
    return next((_LACKS[need] for need in metric.needs if not given.get(need, True)), "")


def possible(metrics: Mapping[str, Metric], subject: Subject) -> dict[str, Metric]:
    """The metrics for which this subject gives what they need; a clip whose words are not known is named later."""
    return {name: metric for name, metric in metrics.items() if _unmet(metric, subject) in ("", _LACKS["text"])}


def suited(plan: Plan, subjects: Sequence[Subject], named: bool = False) -> Plan:
    """The plan with the metrics that none of these subjects can give moved to the absent ones, each with its reason.

    Words may be added clip by clip, so metrics that only want those stay, and clips without them are named later.

    ``named``: the metrics were asked for by name, so one that cannot be measured is refused.

    Raises:
        ConfigError: ``named``, and there is such a metric; or no metric is left.
    """
    kinds = {role for role in ("made", "true") for subject in subjects if getattr(subject, role) is not None}
    absent: dict[str, str] = {}
    for name, metric in plan.metrics.items():
        reasons = [_unmet(metric, subject) for subject in subjects]
        if metric.level == "set" and len(kinds) < 2:
            absent[name] = "It compares generated clips with true ones, and only one kind is given."
        elif reasons and all(reasons):
            absent[name] = reasons[0]
    kept = {name: metric for name, metric in plan.metrics.items() if absent.get(name) in (None, _LACKS["text"])}
    if absent and (named or not kept):
        name, reason = next(iter(absent.items()))
        raise ConfigError(f"The metric '{name}' cannot be measured here. {reason}")
    gone = {name: reason for name, reason in absent.items() if name not in kept}
    return replace(plan, metrics=kept, absent=plan.absent | gone)


def measure(subject: Subject, plan: Plan, clock: Callable[[], float] = time.perf_counter) -> ClipResult:
    """Measure one clip.

    Raises:
        MediaError: a file cannot be read, or there is no frame that all its clips have.
        FaceError: the view wants a face and there is none.
    """
    begin = clock()
    roles = ("made", "true", "driver")
    paths = {role: getattr(subject, role) for role in roles if getattr(subject, role) is not None}
    if not set(paths) & {"made", "true"}:
        raise MediaError(f"'{subject.id}' names neither a generated nor a true clip: give one.")
    reader = open_views(paths, plan.view, plan.lab.threads)
    case, names = Case(subject, plan.view, reader.fps), possible(plan.metrics, subject)
    collectors: list[Collector] = [module.start(plan.lab, mine, case) for module, mine in _by_probe(names).items()]
    frames = 0
    for block in reader.blocks():
        frames += len(block)
        for collector in collectors:
            collector.see(block)
    if not frames:
        raise MediaError(f"'{subject.id}' has no frame to measure: its clips share none from frame {plan.view.first}.")
    found = Findings()
    for collector in collectors:
        found.add(only(collector.finish(), names | _plain_series()))
    return ClipResult(
        subject.id, subject.group, subject.person, plan.fingerprint(), subject.given(), frames, reader.lonely[0],
        clock() - begin, findings=found,
    )  # fmt: skip


def _plain_series() -> dict[str, None]:
    """Series that are kept for plots and are no metrics themselves."""
    from vivant.metrics.motion import SERIES
    from vivant.metrics.probes.steadiness import SHARPNESS

    return {f"series/{name.replace('_', '-')}": None for name in SERIES} | {SHARPNESS: None}
