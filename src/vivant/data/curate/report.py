"""One HTML page about a curation, complete in itself: what was kept and what not, why, and how it looks."""

from __future__ import annotations

import html
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vivant.data.curate.decide import Decision, counts, read_decisions
from vivant.data.curate.files import all_clips, read_clips, read_plan
from vivant.data.curate.report_pictures import figure, histogram, strip
from vivant.data.curate.rules import Rule, Rules, read_rules
from vivant.data.curate.score import problems, read_scores
from vivant.data.curate.scorers.base import all_measures
from vivant.data.curate.words import FPS, Clip, Source, Work

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:64em;padding:0 1em;color:#222}
table{border-collapse:collapse;margin:1em 0}td,th{padding:.25em .7em;border-bottom:1px solid #ddd;text-align:left}
td.n{text-align:right;font-variant-numeric:tabular-nums}h2{margin-top:2em}svg{background:#fafafa}
.hist{display:inline-block;width:20em;margin:.4em;vertical-align:top}.hist small,.sheet small{color:#666}
.sheet{display:inline-block;margin:.3em;vertical-align:top;max-width:30em}.sheet img{display:block}
code{background:#f3f3f3;padding:0 .2em}
"""


def write_report(work: Work, sheets: int = 12, watch: Callable[[Iterable[Any]], Iterable[Any]] | None = None) -> Path:
    """Write ``report.html`` of the last decisions.

    Args:
        work: the work folder.
        sheets: clips shown as kept, and as many of each reason; 0 shows none.
        watch: wraps the clips whose pictures are read, for example with a progress bar.

    Raises:
        ConfigError: nothing has been decided yet.
    """
    decisions, rules = read_decisions(work), read_rules(str(work.rules))
    clips = {clip.id: (source, clip) for source, clip in all_clips(work)}
    scores = {decision.id: read_scores(work, clips[decision.id][1]) for decision in decisions}
    parts = [
        f"<h1>Curation: {html.escape(rules.title)}</h1>",
        f"<p>{html.escape(rules.about)}</p>",
        _numbers(work, decisions),
        _sets(work, decisions),
        _filters(work, decisions, scores, rules),
        _reasons(decisions),
        _people(decisions),
        _histograms(decisions, scores, rules),
        _sheets(work, decisions, clips, sheets, watch or (lambda items: items)),
        _problems(work),
        f"<h2>Rules</h2><pre>{html.escape(rules.as_yaml())}</pre>",
    ]
    page = f'<!doctype html><meta charset="utf-8"><title>Curation</title><style>{_STYLE}</style>' + "\n".join(parts)
    path = work.folder / "report.html"
    part = path.with_suffix(".part")
    part.write_text(page, encoding="utf-8")
    os.replace(part, path)
    return path


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    def cell(value: Any) -> str:
        kind = ' class="n"' if isinstance(value, int | float) else ""
        return f"<td{kind}>{html.escape(str(value))}</td>"

    body = "".join(f"<tr>{''.join(cell(value) for value in row)}</tr>" for row in rows)
    return f"<table><tr>{''.join(f'<th>{html.escape(name)}</th>' for name in head)}</tr>{body}</table>"


def _numbers(work: Work, decisions: Sequence[Decision]) -> str:
    found, plan = counts(decisions), read_plan(work)
    hours = sum(source.seconds or 0 for source in plan) / 3600
    rows = [
        ("videos", len(plan)),
        ("hours of them", round(hours, 2)),
        ("videos that gave nothing, or not all", sum(1 for _ in problems(work))),
        ("clips", found["clips"]),
        ("minutes of clips", round(found["seconds"] / 60, 1)),
        ("kept clips", found["kept"]),
        ("minutes kept", round(found["kept_seconds"] / 60, 1)),
        ("people in them", found["people"]),
    ]
    splits = Counter(decision.split for decision in decisions if decision.keep)
    rows += [(f"clips of the split {name}", count) for name, count in sorted(splits.items())]
    return "<h2>In numbers</h2>" + _table(("", ""), rows)


def _hours(frames: int) -> float:
    return round(frames / FPS / 3600, 3)


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f} %" if whole > 0 else "-"


def _sets(work: Work, decisions: Sequence[Decision]) -> str:
    """Hours of each data set before and after, as in the tables of papers; a set is what the list of videos calls the
    origin, else the folder that a video lies in."""
    sets = {source.id: source.origin or Path(source.path).parent.name or "." for source in read_plan(work)}
    raw, kept, clips = (dict.fromkeys(sets.values(), 0.0) for _ in range(3))
    for source in read_plan(work):
        raw[sets[source.id]] += (source.seconds or 0) / 3600
    for decision in decisions:
        if decision.keep:
            kept[sets[decision.source]] += decision.frames / FPS / 3600
            clips[sets[decision.source]] += 1
    videos = Counter(sets.values())
    rows = [
        (name, videos[name], round(raw[name], 3), int(clips[name]), round(kept[name], 3), _share(kept[name], raw[name]))
        for name in sorted(raw)
    ]
    if len(rows) > 1:
        whole = sum(raw.values()), sum(kept.values())
        total = (
            sum(videos.values()),
            round(whole[0], 3),
            int(sum(clips.values())),
            round(whole[1], 3),
            _share(*whole[::-1]),
        )
        rows.append(("all", *total))
    return "<h2>Data sets</h2>" + _table(("data set", "videos", "hours", "clips kept", "hours kept", "kept"), rows)


def _filters(work: Work, decisions: Sequence[Decision], scores: dict[str, dict[str, Any]], rules: Rules) -> str:
    """Clips and hours that are left behind each filter, one after another in the rules' order."""
    raw = sum(source.seconds or 0 for source in read_plan(work)) / 3600
    left = list(decisions)
    rows: list[tuple[Any, ...]] = [("videos", "", round(raw, 3), "")]

    def row(name: str) -> None:
        hours = _hours(sum(decision.frames for decision in left))
        rows.append((name, len(left), hours, _share(hours, raw)))

    row("a face can be followed")
    if rules.require:
        missing = tuple(f"the list of videos does not say its {name}" for name in rules.require)
        left = [decision for decision in left if not set(missing) & set(decision.reasons)]
        row(f"the list says {', '.join(rules.require)}")
    for rule in rules.rules:
        left = [decision for decision in left if not rule.verdict(scores[decision.id])]
        row(_words(rule))
    if rules.duplicates:
        left = [decision for decision in left if not decision.same_as]
        row("nothing twice")
    return "<h2>Filters, one after another</h2>" + _table(("filter", "clips left", "hours left", "of all hours"), rows)


def _words(rule: Rule) -> str:
    limits = [f"at least {rule.min:g}"] if rule.min is not None else []
    limits += [f"at most {rule.max:g}"] if rule.max is not None else []
    return f"{rule.score} {' and '.join(limits)}"


def _cause(reason: str) -> str:
    return reason.partition(":")[0].partition(" as ")[0]


def _reasons(decisions: Sequence[Decision]) -> str:
    """How many clips each rule turned away, and how many of them it alone."""
    causes = [{_cause(reason) for reason in decision.reasons} for decision in decisions if not decision.keep]
    every = Counter(cause for found in causes for cause in found)
    alone = Counter(next(iter(found)) for found in causes if len(found) == 1)
    rows = [(cause, count, alone[cause]) for cause, count in every.most_common()]
    if not rows:
        return "<h2>Why clips were not kept</h2><p>All were kept.</p>"
    return "<h2>Why clips were not kept</h2>" + _table(("reason", "clips", "for this reason alone"), rows)


def _people(decisions: Sequence[Decision]) -> str:
    frames: dict[tuple[str, str], list[int]] = defaultdict(list)
    for decision in decisions:
        if decision.keep:
            frames[decision.split, decision.person].append(decision.frames)
    rows = sorted(
        ((person, split, len(found), round(sum(found) / FPS, 1)) for (split, person), found in frames.items()),
        key=lambda row: -row[3],
    )
    more = f"<p>and {len(rows) - 30} more</p>" if len(rows) > 30 else ""
    return "<h2>People</h2>" + _table(("person", "split", "clips", "seconds"), rows[:30]) + more


def _histograms(decisions: Sequence[Decision], scores: dict[str, dict[str, Any]], rules: Rules) -> str:
    limits: dict[str, list[Rule]] = defaultdict(list)
    for rule in rules.rules:
        limits[rule.score].append(rule)
    parts = []
    for name, text in all_measures().items():
        pairs = [(scores[decision.id].get(name), decision.keep) for decision in decisions]
        known = [(float(value), keep) for value, keep in pairs if isinstance(value, int | float)]
        if len(known) >= 2:
            svg = histogram(np.array([v for v, _ in known]), np.array([k for _, k in known]), limits.get(name, []))
            missing = len(pairs) - len(known)
            note = f"; not known of {missing}" if missing else ""
            parts.append(
                f'<div class="hist"><code>{name}</code><br>{svg}<br><small>{html.escape(text)}{note}</small></div>'
            )
    legend = "<p>Blue: kept clips, grey: the others, red: limits of the rules.</p>"
    return "<h2>Scores</h2>" + legend + "".join(parts)


def _sheets(
    work: Work, decisions: Sequence[Decision], clips: dict[str, tuple[Source, Clip]], most: int,
    watch: Callable[[Iterable[Any]], Iterable[Any]],
) -> str:  # fmt: skip
    """Some clips that are kept, and some for every reason."""
    chosen: dict[str, list[Decision]] = defaultdict(list)
    for decision in _spread(decisions):
        titles = ["Kept"] if decision.keep else sorted({_cause(reason) for reason in decision.reasons})
        for title in titles:
            if len(chosen[title]) < most:
                chosen[title].append(decision)
    wanted = {decision.id for found in chosen.values() for decision in found}
    pictures = {name: strip(work, *clips[name]) for name in watch(sorted(wanted))}
    parts = []
    for title in sorted(chosen, key=lambda name: (name != "Kept", name)):
        figures = "".join(figure(decision, pictures[decision.id]) for decision in chosen[title])
        parts.append(f"<h3>{html.escape(title)}</h3>{figures}")
    return "<h2>Samples</h2>" + "".join(parts) if parts else ""


def _spread(decisions: Sequence[Decision]) -> list[Decision]:
    """In an order that does not follow the videos, always the same one."""
    import hashlib

    return sorted(decisions, key=lambda decision: hashlib.sha256(decision.id.encode()).digest())


def _problems(work: Work) -> str:
    why = {source.path: [text] for source, text in problems(work)}
    for source in read_plan(work):
        if _has_no_clip(work, source):
            why.setdefault(source.path, []).append("no face was followed for long enough")
    rows = [(path, " Besides: ".join(texts)) for path, texts in why.items()]
    return "<h2>Videos that gave nothing, or not all</h2>" + (
        _table(("video", "why"), rows) if rows else "<p>None.</p>"
    )


def _has_no_clip(work: Work, source: Source) -> bool:
    return read_clips(work, source.id) == []
