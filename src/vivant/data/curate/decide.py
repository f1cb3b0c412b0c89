"""Which clips are kept, who is in them, and which split they belong to."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from vivant.core.errors import ConfigError
from vivant.data.curate.alike import duplicate_groups, people
from vivant.data.curate.files import all_clips, read_lines, read_plan, write_lines
from vivant.data.curate.rules import SPLITS, Rules
from vivant.data.curate.score import read_scores
from vivant.data.curate.words import Clip, Source, Work

ALIKE_DETAIL = 0.1
"""Two clips of one recording have the same detail if it differs by no more than this part: the score is that of the
whole clip, and moves by as much between parts of it."""


@dataclass(frozen=True)
class Decision:
    """What becomes of a clip. ``reasons``: why it is not kept, empty if it is. ``person``: who is seen, as the list of
    videos or the clustering says; ``split``: of its person; both empty where it is not kept. ``same_as``: the kept clip
    that this one duplicates."""

    id: str
    source: str
    start: int
    frames: int
    keep: bool
    reasons: list[str] = field(default_factory=list)
    person: str = ""
    split: str = ""
    same_as: str = ""


def decide(work: Work, rules: Rules) -> list[Decision]:
    """Apply the rules to the scores and write ``decisions.jsonl``; the same scores and rules give the same decisions.

    Raises:
        ConfigError: there is nothing to decide on.
    """
    rows = [(source, clip, read_scores(work, clip)) for source, clip in all_clips(work)]
    if not rows:
        raise ConfigError(f"{work.folder} holds no clips: call vivant curate score first, or see its problems.")
    decisions = [_judge(source, clip, scores, rules) for source, clip, scores in rows]
    scores = {clip.id: values for _, clip, values in rows}
    if rules.duplicates:
        decisions = _without_duplicates(decisions, scores)
    named = {clip.id: source.person for source, clip, _ in rows}
    decisions = _sorted_by_person(decisions, scores, named, rules)
    write_lines(work.decisions, [asdict(decision) for decision in decisions])
    part = work.rules.with_suffix(".part")
    part.write_text(rules.as_yaml(), encoding="utf-8")
    os.replace(part, work.rules)
    return decisions


def read_decisions(work: Work) -> list[Decision]:
    """The decisions of a work folder.

    Raises:
        ConfigError: there are none, or the plan has changed since and lacks a video of theirs.
    """
    found = [Decision(**row) for row in read_lines(work.decisions, "call vivant curate decide first")]
    known = {source.id for source in read_plan(work)}
    if any(decision.source not in known for decision in found):
        raise ConfigError(f"{work.folder}: the plan has changed since; call vivant curate score and decide again.")
    return found


def _judge(source: Source, clip: Clip, scores: dict[str, Any], rules: Rules) -> Decision:
    reasons = [f"the list of videos does not say its {name}" for name in rules.require if not getattr(source, name)]
    reasons += [verdict for rule in rules.rules if (verdict := rule.verdict(scores))]
    return Decision(clip.id, source.id, clip.start, clip.frames, not reasons, reasons)


def _without_duplicates(decisions: list[Decision], scores: dict[str, dict[str, Any]]) -> list[Decision]:
    """Of each group of kept clips that are one recording the best stays: of those with about the most detail the
    longest, so that a copy that was cut short does not stand for the whole."""

    def detail(decision: Decision) -> float:
        return float(scores[decision.id].get("resolution.effective") or 0.0)

    kept = sorted((decision for decision in decisions if decision.keep), key=lambda decision: decision.id)
    groups = duplicate_groups([scores[decision.id] for decision in kept])
    same: dict[str, str] = {}
    for group in groups:
        members = [kept[number] for number in sorted(group)]
        enough = (1 - ALIKE_DETAIL) * max(detail(member) for member in members)
        good = [member for member in members if detail(member) >= enough]
        best = max(good, key=lambda member: (member.frames, detail(member))).id  # of equals the first by name
        same |= {member.id: best for member in members if member.id != best}
    return [
        replace(d, keep=False, reasons=[f"the same recording as {same[d.id]}"], same_as=same[d.id])
        if d.id in same
        else d
        for d in decisions
    ]


def _sorted_by_person(
    decisions: list[Decision], scores: dict[str, dict[str, Any]], named: dict[str, str], rules: Rules
) -> list[Decision]:
    kept = [decision for decision in decisions if decision.keep]
    names = people(
        [decision.id for decision in kept],
        [scores[decision.id].get("identity.embedding") for decision in kept],
        [named[decision.id] for decision in kept],
        rules.distance,
    )
    persons = dict(zip((decision.id for decision in kept), names))
    frames: dict[str, int] = defaultdict(int)
    for decision in kept:
        frames[persons[decision.id]] += decision.frames
    splits = split_people(frames, rules.splits)
    return [replace(d, person=persons[d.id], split=splits[persons[d.id]]) if d.id in persons else d for d in decisions]


def split_people(frames: dict[str, int], shares: dict[str, float] | Any) -> dict[str, str]:
    """A split for each person, so that the frames of the splits come near their shares and nobody is in two.

    People are taken in an order that depends on their names alone, each into the split that lacks most."""
    total, wanted = sum(shares.values()), [name for name in SPLITS if shares.get(name, 0) > 0]
    filled = dict.fromkeys(wanted, 0)
    found: dict[str, str] = {}
    for person in sorted(frames, key=_shuffled):
        done = sum(filled.values()) + frames[person]
        lacks = {name: shares[name] / total * done - filled[name] for name in wanted}
        best = max(wanted, key=lambda name: lacks[name])
        found[person] = best
        filled[best] += frames[person]
    return found


def _shuffled(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def counts(decisions: Sequence[Decision]) -> dict[str, int]:
    """Clips, and seconds of them, kept and in all; people."""
    kept = [decision for decision in decisions if decision.keep]
    return {
        "clips": len(decisions), "kept": len(kept), "people": len({decision.person for decision in kept}),
        "seconds": int(np.sum([decision.frames for decision in decisions]) / 25),
        "kept_seconds": int(np.sum([decision.frames for decision in kept]) / 25),
    }  # fmt: skip
