"""``vivant curate``: from raw videos to clips that are worth training on."""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from vivant.core.errors import ConfigError, MediaError
from vivant.pipelines.inputs import check_folder

if TYPE_CHECKING:
    from vivant.data.curate.export_clip import Style
    from vivant.data.curate.words import Work

DEFAULT_RULES = "live-portrait"
INCOMPLETE = 1
"""Exit code when some videos gave nothing, or not all that they hold; what could be done is done."""


class Part(NamedTuple):
    """A step: how it declares its options, how it runs, and its line in the help."""

    declare: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
    help: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the steps and their options."""
    parts = parser.add_subparsers(dest="step", required=True, metavar="|".join(PARTS))
    for name, part in PARTS.items():
        part.declare(parts.add_parser(name, help=part.help, description=part.help))


def run(args: argparse.Namespace) -> int:
    """Run the step that was asked for."""
    return PARTS[args.step].run(args)


def _work(args: argparse.Namespace) -> Work:
    from vivant.data.curate.words import Work

    return Work(Path(args.work))


def _add_work(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--work", required=True, help="folder of this curation; every step reads and writes there")


def _add_inputs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("inputs", nargs="+", help="videos, folders of videos, or lists (.jsonl, .csv) of them")
    _add_work(parser)
    for name in ("licence", "consent", "credit", "origin"):
        parser.add_argument(f"--{name}", default="", help=f"{name} of videos whose list says nothing else")
    parser.add_argument("--shortest", type=float, default=2.0, help="seconds of a clip at least (default: 2)")
    parser.add_argument("--longest", type=float, default=30.0, help="seconds of a clip at most (default: 30)")
    parser.add_argument("--cut", type=float, default=27.0, help="PySceneDetect's threshold for cuts (default: 27)")
    parser.add_argument("--faces", type=int, default=6, help="most faces followed at once (default: 6)")


def _add_scoring(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--scorers", help="names separated by commas (default: all that need no network)")
    parser.add_argument("--retry", action="store_true", help="try videos again that could not be used before")
    parser.add_argument("--engine", choices=("local", "ray"), default="local", help="who does the work")
    parser.add_argument("--workers", type=int, help="processes, or jobs of the cluster (default: one a core)")
    parser.add_argument("--address", help="of a Ray cluster; 'auto' is the one of this machine (default: start one)")


def _add_rules(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rules", default=DEFAULT_RULES, help="preset, or YAML file (default: live-portrait)")


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", required=True, help="folder of the data set")
    parser.add_argument("--size", type=int, default=256, help="side of the crops in pixels (default: 256)")
    parser.add_argument("--fps", default="25", help="frames a second, also as a fraction (default: 25)")
    parser.add_argument("--quality", type=int, default=16, help="x264's constant rate factor (default: 16)")
    parser.add_argument("--group", default="video", help="group of the manifest's rows (default: video)")
    parser.add_argument("--masks", choices=("none", "face", "person"), default="face", help="masks that are kept")
    parser.add_argument("--body", action="store_true", help="keep body keypoints")
    parser.add_argument("--speech", default="", help="encoders whose features are kept, separated by commas")
    parser.add_argument("--shards", metavar="FOLDER", help="pack the data set into WebDataset shards, too")
    parser.add_argument("--shard-mb", type=int, default=512, help="largest shard in MB (default: 512)")


def _declare_score(parser: argparse.ArgumentParser) -> None:
    _add_work(parser)
    _add_scoring(parser)


def _declare_decide(parser: argparse.ArgumentParser) -> None:
    _add_work(parser)
    _add_rules(parser)


def _declare_export(parser: argparse.ArgumentParser) -> None:
    _add_work(parser)
    _add_export(parser)
    parser.add_argument("--engine", choices=("local", "ray"), default="local", help="who does the work")
    parser.add_argument("--workers", type=int, help="processes, or jobs of the cluster (default: one a core)")
    parser.add_argument("--address", help="of a Ray cluster")


def _declare_report(parser: argparse.ArgumentParser) -> None:
    _add_work(parser)
    parser.add_argument("--sheets", type=int, default=12, help="clips shown of each kind (default: 12)")


def _declare_run(parser: argparse.ArgumentParser) -> None:
    _add_inputs(parser)
    _add_scoring(parser)
    _add_rules(parser)
    _add_export(parser)
    parser.add_argument("--sheets", type=int, default=12, help="clips shown of each kind in the report (default: 12)")


def run_plan(args: argparse.Namespace) -> int:
    """Find the videos."""
    from vivant.data.curate.plan import Settings, make_plan
    from vivant.data.curate.words import FPS

    if not (0 < args.shortest <= args.longest < math.inf and 0 < args.cut < math.inf and args.faces >= 1):
        raise ConfigError("--shortest, --longest, --cut and --faces must be more than 0, the longest not the shorter.")
    settings = Settings(round(args.shortest * FPS), round(args.longest * FPS), args.cut, args.faces)
    said = {name: getattr(args, name) for name in ("licence", "consent", "credit", "origin")}
    plan = make_plan(_work(args), args.inputs, settings, said)
    broken = [source for source in plan if source.problem]
    hours = sum(source.seconds or 0 for source in plan) / 3600
    if len(broken) == len(plan):
        raise MediaError(f"None of the {len(plan)} videos can be opened; the first reason: {broken[0].problem}")
    print(f"{len(plan)} videos, {hours:.2f} hours, {len(broken)} of them cannot be opened.")
    return 0


def run_score(args: argparse.Namespace) -> int:
    """Cut videos into clips and score them; returns 1 if some videos gave nothing, or not all."""
    from vivant.core.engines import make_engine
    from vivant.data.curate.files import write_json
    from vivant.data.curate.score import Done, Job, make_jobs, problems, run_job
    from vivant.data.curate.scorers.base import DEFAULT

    work = _work(args)
    names = tuple(name.strip() for name in args.scorers.split(",")) if args.scorers else DEFAULT
    jobs = make_jobs(work, names, args.retry)

    def lost(job: Job, why: str) -> Done:
        write_json(work.problem(job.source.id), {"problem": why})
        return Done(job.source.id, problem=why)

    started, scored, clips = time.monotonic(), 0, 0
    for done in _watched(make_engine(args.engine, args.workers, args.address).run(run_job, jobs, lost), len(jobs)):
        scored, clips = scored + done.scored, clips + done.clips
        if done.problem:
            print(f"vivant: {done.source}: {' '.join(done.problem.split())}", file=sys.stderr)
    took = time.monotonic() - started
    speed = f", {3600 * scored / took:.0f} clips an hour" if scored else ""
    bad = sum(1 for _ in problems(work))
    print(
        f"{len(jobs)} videos looked at, {scored} of {clips} clips scored{speed}; {bad} videos gave nothing, or not all."
    )
    return INCOMPLETE if bad else 0


def run_decide(args: argparse.Namespace) -> int:
    """Apply thresholds."""
    from vivant.data.curate.decide import counts, decide
    from vivant.data.curate.rules import read_rules

    found = counts(decide(_work(args), read_rules(args.rules)))
    print(
        f"{found['kept']} of {found['clips']} clips kept ({found['kept_seconds']} of {found['seconds']} s), "
        f"{found['people']} people."
    )
    return 0


def run_report(args: argparse.Namespace) -> int:
    """Write the page."""
    from vivant.data.curate.report import write_report

    if args.sheets < 0:
        raise ConfigError("--sheets must be 0 or more.")
    print(write_report(_work(args), args.sheets, lambda items: _watched(items, None, "reading pictures", "clip")))
    return 0


def run_export(args: argparse.Namespace) -> int:
    """Write the data set; returns 1 if some clips could not be written."""
    from vivant.core.engines import make_engine
    from vivant.data.curate.decide import read_decisions
    from vivant.data.curate.export import Done, Job, finish, make_jobs, pack, run_job

    work, out = _work(args), Path(args.out)
    _check_export(args)
    decisions = read_decisions(work)
    engine = make_engine(args.engine, args.workers, args.address)
    jobs = make_jobs(work, decisions, out, _style(args))

    def lost(job: Job, why: str) -> Done:
        return Done(job.source.id, problem=why)

    bad = 0
    for done in _watched(engine.run(run_job, jobs, lost), len(jobs), "exporting"):
        if done.problem:
            bad += 1
            print(f"vivant: {done.source}: {' '.join(done.problem.split())}", file=sys.stderr)
    rows = finish(work, out, decisions)
    print(f"{len(rows)} clips in {out}")
    if args.shards and rows:
        print(f"{len(pack(out, Path(args.shards), args.shard_mb * 2**20))} shards in {args.shards}")
    return INCOMPLETE if bad else 0


def _check_export(args: argparse.Namespace) -> None:
    """Refuse what an export cannot do before any work is done for it."""
    from vivant.data.curate.export import check_shards, check_style

    check_folder(args.out)
    check_style(Path(args.out), _style(args))
    if args.shards:
        check_folder(args.shards, "--shards")
        check_shards(Path(args.out), Path(args.shards), args.shard_mb * 2**20)


def _style(args: argparse.Namespace) -> Style:
    from vivant.data.curate.export_clip import Style

    speech = tuple(name.strip() for name in args.speech.split(",") if name.strip())
    return Style(args.size, args.fps, args.quality, args.group, args.masks, args.body, speech).checked()


def run_scorers(args: argparse.Namespace) -> int:
    """List every score."""
    from vivant.data.curate.scorers.base import all_measures

    print("| score | what it is |\n|---|---|")
    for name, text in all_measures().items():
        print(f"| `{name}` | {text} |")
    return 0


def run_all(args: argparse.Namespace) -> int:
    """All steps."""
    from vivant.data.curate.rules import read_rules

    read_rules(args.rules)  # what is wrong with these is told before the long work
    _check_export(args)
    codes = [step(args) for step in (run_plan, run_score, run_decide, run_report)]
    return max(*codes, run_export(args))


def _watched(items: Iterable[Any], total: int | None, what: str = "scoring", unit: str = "video") -> Iterable[Any]:
    from vivant.pipelines.progress import bar

    if total is None and isinstance(items, Sequence):
        total = len(items)
    return bar(items, total, what, True, unit)


PARTS = {
    "plan": Part(_add_inputs, run_plan, "find videos and read their headers"),
    "score": Part(_declare_score, run_score, "cut videos into clips and score them; stopped, it goes on where it was"),
    "decide": Part(_declare_decide, run_decide, "apply thresholds to the scores; needs no new scoring"),
    "report": Part(_declare_report, run_report, "write an HTML page: numbers, reasons, histograms, samples"),
    "export": Part(_declare_export, run_export, "write the kept clips as a data set"),
    "run": Part(_declare_run, run_all, "all steps, one after the other"),
    "scorers": Part(lambda parser: None, run_scorers, "list every score and what it is"),
}
