"""The table of degradations: what moved, what stayed, and whether that is as it must be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from vivant.metrics.degrade import BASELINE, EXPECTED, LEAST
from vivant.metrics.metric import all_metrics
from vivant.metrics.summary import Row, Summary


@dataclass(frozen=True)
class Verdict:
    """One cell: the value, how much worse it is than the baseline's (in units of the smallest change that counts),
    and what was asked of it: "worse", "same" or nothing."""

    value: float
    change: float
    asked: str

    @property
    def kept(self) -> bool:
        """Whether it did what was asked."""
        if self.asked == "worse":
            return self.change > 1
        return self.asked != "same" or abs(self.change) <= 1


def badness(row: Row) -> float:
    """How far a metric is from its best: lower is better for all."""
    value, better = row.made.value, row.metric.better
    if better == "higher":
        return -value
    if better == "lower":
        return value
    goal = {"near 0": 0.0, "near 1": 1.0}.get(better)
    if goal is None:
        goal = row.truth.value if row.truth else float("nan")
    return abs(value - goal)


def verdicts(summaries: Mapping[str, Summary]) -> dict[str, dict[str, Verdict]]:
    """{metric: {degradation: verdict}} for the metrics of the table that were measured."""
    found: dict[str, dict[str, Verdict]] = {}
    for name, least in LEAST.items():
        base = summaries[BASELINE].row(name)
        if base is None:
            continue
        for way, effect in EXPECTED.items():
            row = summaries[way].row(name) if way in summaries else None
            asked = "worse" if name in effect.worse else "same" if name in effect.same else ""
            if row is not None:
                change = (badness(row) - badness(base)) / least
                found.setdefault(name, {})[way] = Verdict(row.made.value, change, asked)
    return found


def sensitivity_markdown(summaries: Mapping[str, Summary]) -> str:
    """The table; values that had to get worse are bold, those that had to stay are plain, the rest are in italics;
    a cell that did not do what was asked ends with an exclamation mark."""
    table = verdicts(summaries)
    ways = [way for way in EXPECTED if way in summaries]
    lines = [f"| metric | better | true clips, {BASELINE} | {' | '.join(ways)} |", "|---" * (len(ways) + 3) + "|"]
    for name, row in table.items():
        metric, base = all_metrics()[name], summaries[BASELINE].row(name)
        assert base is not None
        cells = [_cell(row.get(way), metric.digits) for way in ways]
        lines.append(f"| `{name}` | {metric.better} | {base.made.value:.{metric.digits}f} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(verdict: Verdict | None, digits: int) -> str:
    if verdict is None or not np.isfinite(verdict.value):
        return "-"
    text = f"{verdict.value:.{digits}f}"
    text = {"worse": f"**{text}**", "same": text, "": f"*{text}*"}[verdict.asked]
    return text if verdict.kept else f"{text} !"


def broken_rules(summaries: Mapping[str, Summary]) -> list[str]:
    """One sentence for each cell that did not do what was asked."""
    return [
        f"{way}: {name} {'did not get worse' if verdict.asked == 'worse' else 'did not stay'} "
        f"({verdict.change:+.1f} times the smallest change that counts)"
        for name, row in verdicts(summaries).items()
        for way, verdict in row.items()
        if not verdict.kept
    ]


def unchecked(summaries: Mapping[str, Summary], names: Iterable[str]) -> list[str]:
    """Those of the metrics ``names`` that a rule asks something of and that have no value to judge, in its clips or in
    the baseline's."""
    table = verdicts(summaries)
    asked = {way: {*effect.worse, *effect.same} for way, effect in EXPECTED.items() if way in summaries}
    return [
        name
        for name in names
        if any(name in wanted and way not in table.get(name, {}) for way, wanted in asked.items())
    ]
