"""What a metric is: a name that means one thing, and the registry of all of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Literal

from vivant.core.errors import ConfigError

Better = Literal["higher", "lower", "near 0", "near 1", "as the truth"]
Level = Literal["frame", "clip", "set"]
Statistic = Literal["mean", "correlation", "gain", "distance"]
INFINITE = float("inf")
PROBES = ("pixels", "perceptual", "geometry", "identity", "steadiness", "flow", "features", "sync", "sound", "words")
"""Modules of :mod:`vivant.metrics.probes`, in the order of the tables."""


@dataclass(frozen=True)
class Metric:
    """One measured quantity.

    ``name``: its key everywhere; ``title``: as tables print it; ``unit``: of the value, empty for pure numbers;
    ``span``: least and largest value; ``better``: which way is good ("as the truth": the true video's own value);
    ``definition``: what is computed, in one or two sentences; ``source``: where the definition comes from;
    ``version``: changes whenever the same input could give another number; ``level``: "frame" has a value a frame
    and averages them, "clip" has one a clip, "set" compares two sets of clips; ``needs``: what must be given besides
    the generated video: "true", "set" (any true clips), "driver" (or true), "source" (or true), "sound", "text",
    "face"; ``weights``:
    published files by their name in :mod:`vivant.metrics.nets.published`; ``statistic``: how clips are joined;
    ``of_truth``: it looks at one video, so the true one has a value, too; ``digits``: decimals in tables.
    """

    name: str
    title: str
    unit: str
    span: tuple[float, float]
    better: Better
    definition: str
    source: str
    needs: tuple[str, ...] = ("true",)
    level: Level = "frame"
    version: int = 1
    weights: tuple[str, ...] = ()
    statistic: Statistic = "mean"
    of_truth: bool = False
    digits: int = 3

    @property
    def heading(self) -> str:
        """Title and unit."""
        return f"{self.title}, {self.unit}" if self.unit else self.title


@cache
def all_metrics() -> dict[str, Metric]:
    """Every metric by name, in the order of the tables."""
    found: dict[str, Metric] = {}
    for module in PROBES:
        for metric in import_module(f"vivant.metrics.probes.{module}").METRICS:
            if metric.name in found:
                raise ValueError(f"two metrics are called '{metric.name}'")
            found[metric.name] = metric
    return found


def chosen_metrics(names: Iterable[str] | None = None) -> dict[str, Metric]:
    """The metrics with these names, in the order of the tables; all if None.

    Raises:
        ConfigError: no such metric.
    """
    known = all_metrics()
    if names is None:
        return dict(known)
    wanted = {name.strip().replace("_", "-") for name in names}
    strange = sorted(wanted - set(known))
    if strange:
        raise ConfigError(f"There is no metric '{strange[0]}': vivant evaluate metrics lists them.")
    return {name: metric for name, metric in known.items() if name in wanted}


def span_text(metric: Metric) -> str:
    """The range in words: ``0..1``, ``0 and up``, ``any``."""
    low, high = metric.span
    if low == -INFINITE:
        return "any" if high == INFINITE else f"up to {high:g}"
    return f"{low:g} and up" if high == INFINITE else f"{low:g}..{high:g}"


def metrics_markdown() -> str:
    """All metrics as the table of ``docs/metrics.md``."""
    head = ("name", "metric", "range", "better", "needs", "definition", "source", "v")
    rows = [
        (
            f"`{metric.name}`",
            metric.heading,
            span_text(metric),
            metric.better,
            ", ".join([*metric.needs, *(f"weights {name}" for name in metric.weights)]),
            metric.definition,
            metric.source,
            str(metric.version),
        )
        for metric in all_metrics().values()
    ]
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
