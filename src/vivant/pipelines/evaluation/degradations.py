"""``vivant evaluate degradations``: true clips are spoiled in known ways, and the right metrics must notice."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from vivant.core.errors import ConfigError
from vivant.pipelines.evaluation.common import add_measuring, plan_of
from vivant.pipelines.evaluation.listing import END
from vivant.pipelines.marked import replace_between

BEGIN = "<!-- vivant evaluate degradations -->"
RULES_BROKEN = 1
"""Exit code when a metric did not do what a degradation asks of it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--reference", required=True, help="folder of true clips with sound, one face each")
    parser.add_argument("--limit", type=int, default=8, help="clips to use, in order of their names (default: 8)")
    parser.add_argument("--out", required=True, help="folder for the spoiled clips, their results and the table")
    parser.add_argument("--update", metavar="FILE", help="put the table between the marks of a Markdown file")
    add_measuring(parser)


def run(args: argparse.Namespace) -> int:
    """Spoil, measure, compare; returns 1 if a rule is broken.

    Raises:
        ConfigError: a metric has no rule, there are fewer than two clips, or two have one name.
    """
    from vivant.metrics.degrade import DEGRADATIONS, LEAST
    from vivant.metrics.metric import all_metrics
    from vivant.metrics.sensitivity import broken_rules, sensitivity_markdown, unchecked
    from vivant.metrics.subject import Subject, media_in
    from vivant.metrics.suite import run_suite
    from vivant.metrics.summary import summarise
    from vivant.metrics.view import View

    out = Path(args.out)
    clips = list(media_in(Path(args.reference)).values())[: max(args.limit, 2)]
    if len(clips) < 2:
        raise ConfigError(f"'{args.reference}' holds one clip, and identities are swapped between two: give more.")
    if len({path.stem for path in clips}) < len(clips):
        raise ConfigError(f"Two clips in '{args.reference}' have one name: spoiled ones are kept by it, so rename one.")
    plan = plan_of(args, View(), [name for name in LEAST if name in all_metrics()])
    strange = [name for name in plan.metrics if name not in LEAST]
    if strange:
        raise ConfigError(f"No rule says what must become of '{strange[0]}': use some of {', '.join(LEAST)}.")
    _spoil(clips, out / "spoiled")
    summaries = {}
    for way in DEGRADATIONS:
        folder = out / "spoiled" / way.replace(" ", "_")
        subjects = [Subject(f"{way}/{path.stem}", folder / f"{path.stem}.mp4", path) for path in clips]
        summaries[way] = summarise(run_suite(subjects, plan, out / "measured", args.workers))
    broken = broken_rules(summaries)
    text = sensitivity_markdown(summaries) + _told(len(clips), broken, unchecked(summaries, plan.metrics))
    (out / "degradations.md").write_text(text, encoding="utf-8")
    if args.update:
        replace_between(Path(args.update), BEGIN, END, text)
    print(text)
    return RULES_BROKEN if broken else 0


def _spoil(clips: list[Path], folder: Path) -> None:
    import sys

    from tqdm import tqdm

    from vivant.metrics.degrade import DEGRADATIONS, find_other, write_degraded
    from vivant.metrics.results import write_json
    from vivant.metrics.subject import Subject

    pairs = list(zip(clips, [*clips[1:], clips[0]]))
    for path, other in tqdm(pairs, desc="vivant: spoil", unit="clip", file=sys.stderr, disable=None):
        targets = [folder / way.replace(" ", "_") / f"{path.stem}.mp4" for way in DEGRADATIONS]
        note, mark = folder / f"{path.stem}.json", Subject("", true=path, source=other).given()
        if _kept(note) != json.loads(json.dumps(mark)):
            for target in targets:  # of other clips of this name, or of an earlier state of these
                target.unlink(missing_ok=True)
        write_json(note, mark)
        if not all(target.is_file() for target in targets):
            write_degraded(path, find_other(other), list(DEGRADATIONS), folder)


def _kept(note: Path) -> Any:
    """What the clips beside the note were made from, None if nobody knows."""
    try:
        return json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _told(count: int, broken: list[str], unknown: list[str]) -> str:
    lines = ["", f"{count} clips. Rules that are not kept: {len(broken) or 'none'}."]
    lines += [f"Without a value, so their rules were not checked: {', '.join(unknown)}."] if unknown else []
    return "\n".join([*lines, *(f"- {sentence}" for sentence in broken)]) + "\n"
