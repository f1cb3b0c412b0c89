"""What the sub-commands of ``vivant evaluate`` share: options, the plan, and what is written at the end."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vivant.core.errors import ConfigError

if TYPE_CHECKING:
    from vivant.metrics.gate import Limit
    from vivant.metrics.measure import Plan
    from vivant.metrics.subject import Subject
    from vivant.metrics.suite import Run
    from vivant.metrics.view import View

GATE_FAILED = 1
"""Exit code when a limit of the gate is not kept."""


def add_measuring(parser: argparse.ArgumentParser) -> None:
    """Options of what is measured, and where."""
    parser.add_argument("--metrics", help="names separated by commas (default: all that can be measured)")
    parser.add_argument("--device", default="cpu", help="of the metrics' nets: cpu, cuda (faces are found on the CPU)")
    parser.add_argument("--batch", type=int, default=16, help="pictures a net sees at once (default: 16)")
    parser.add_argument("--workers", type=int, default=1, help="clips measured at the same time (default: 1)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of each worker (default: 1)")
    parser.add_argument(
        "--metric-weights", metavar="FOLDER", help="published weights of LPIPS, FID, FVD, ArcFace, SyncNet"
    )
    parser.add_argument("--download", action="store_true", help="fetch published weights from the hub if it has them")
    parser.add_argument("--asr", default="pocketsphinx", help="recogniser for WER: pocketsphinx or whisper:MODEL")


def add_view(parser: argparse.ArgumentParser) -> None:
    """Options of how clips are read."""
    parser.add_argument("--fps", help="bring clips to this rate (default: their own, which must be one)")
    parser.add_argument("--stride", type=int, default=1, help="use every n-th frame (default: 1)")
    parser.add_argument("--first", type=int, default=0, help="first frame that is scored (1 if frame 0 is the source)")
    parser.add_argument("--frames", type=int, help="most frames of a clip (default: all)")
    parser.add_argument("--size", help="scale frames to SIDE or WIDTHxHEIGHT pixels (default: as they are)")
    parser.add_argument("--align", choices=("whole", "square", "face"), default="whole",
                        help="whole picture, its centre square, or a square around the face")  # fmt: skip


def add_output(parser: argparse.ArgumentParser, needed: bool = True) -> None:
    """Options of what is written."""
    parser.add_argument("--out", required=needed, help="folder for results.json, .md, .tex, clips/, sheets and plots")
    parser.add_argument("--title", help="heading of the report")
    parser.add_argument("--sheets", type=int, default=8, help="clips on the contact sheet (default: 8, 0 for none)")
    parser.add_argument("--plots", action="store_true", help="curves and histograms (needs the extra 'plots')")
    parser.add_argument("--gate", metavar="FILE", help="YAML of limits; exit code 1 if one is not kept")


def view_of(args: argparse.Namespace) -> View:
    """The view that the options ask for."""
    from vivant.metrics.view import View

    return View(args.fps, args.stride, args.first, args.frames, size_of(args.size), args.align).checked()


def size_of(text: str | None) -> tuple[int, int] | None:
    """``"256"`` or ``"512x288"`` (width x height) -> (height, width).

    Raises:
        ConfigError: something else.
    """
    if text is None:
        return None
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(part.isdecimal() for part in parts):
        raise ConfigError(f"--size {text} is no size: say 256, or 512x288 for width x height.")
    numbers = [int(part) for part in parts]
    return numbers[-1], numbers[0]


def plan_of(args: argparse.Namespace, view: View, names: Sequence[str] | None = None) -> Plan:
    """What is measured: the metrics asked for, else ``names``, else all that can be measured."""
    from vivant.metrics.measure import make_plan
    from vivant.metrics.nets.published import Store
    from vivant.metrics.probes.base import Lab
    from vivant.pipelines.devices import pick_device

    if min(args.batch, args.workers, args.threads) < 1:
        raise ConfigError("--batch, --workers and --threads must be 1 or more.")
    if args.metric_weights and not Path(args.metric_weights).is_dir():
        raise ConfigError(f"There is no folder '{args.metric_weights}': check --metric-weights.")
    given = {"folder": Path(args.metric_weights)} if args.metric_weights else {}
    store = Store(**given, download=args.download)
    lab = Lab(pick_device(args.device), args.batch, args.threads, store, args.asr)
    asked = args.metrics.split(",") if args.metrics else None
    if asked is None and names is not None:
        whole = make_plan(None, view, lab)
        kept = {name: metric for name, metric in whole.metrics.items() if name in names}
        absent = {name: reason for name, reason in whole.absent.items() if name in names}
        return type(whole)(kept, absent, view, lab)
    return make_plan(asked, view, lab)


def gate_of(args: argparse.Namespace, plan: Plan | None = None) -> list[Limit]:
    """The limits to keep, read before any work.

    Raises:
        ConfigError: the gate file cannot be used, or limits what ``plan`` does not measure.
    """
    from vivant.metrics.gate import check_measured, read_gate

    limits = read_gate(args.gate) if args.gate else []
    if plan is not None:
        check_measured(limits, plan.metrics, plan.absent)
    return limits


def check_plots(args: argparse.Namespace) -> None:
    """Refuse ``--plots`` without matplotlib before any work."""
    if args.plots:
        from vivant.metrics.plots import require_plots

        require_plots()


def check_early(args: argparse.Namespace) -> View:
    """Refuse a gate, plots or a view that cannot be, before anything is loaded; returns the view."""
    gate_of(args)
    check_plots(args)
    return view_of(args)


def evaluate(
    subjects: Sequence[Subject],
    plan: Plan,
    args: argparse.Namespace,
    out: Path,
    title: str,
    about: Mapping[str, Any],
    failed: Mapping[str, str] | None = None,
) -> int:
    """Measure, write everything, print the table, check the gate; returns the exit code.

    ``failed``: clips that could not even be generated, and why.
    """
    from vivant.metrics.suite import run_suite

    limits = gate_of(args, plan)
    check_plots(args)
    run = run_suite(subjects, plan, out, args.workers, failed)
    print(write_report(run, out, " ".join((args.title or title).split()), about))
    draw(run, args, out)
    return check_gate(limits, out)


def write_report(run: Run, out: Path, title: str, about: Mapping[str, Any]) -> str:
    """Write results.json, results.md and results.tex; returns the Markdown."""
    from vivant.metrics.results import write_json
    from vivant.metrics.summary import summarise
    from vivant.metrics.tables import latex_table, report_json, report_markdown

    write_json(out / "results.json", report_json(run, title, about))
    text = report_markdown(run, title, about)
    (out / "results.md").write_text(text, encoding="utf-8")
    (out / "results.tex").write_text(latex_table({"generated": summarise(run)}, title), encoding="utf-8")
    return text


def draw(run: Run, args: argparse.Namespace, out: Path) -> None:
    """The contact sheet and, if asked for, plots."""
    from vivant.metrics.sheets import write_sheets

    pairs = [(subject, result.frames) for subject, result in run.measured() if subject.made is not None]
    if args.sheets > 0:
        write_sheets(pairs[: args.sheets], run.plan.view, out / "contact_sheet.jpg")
    if args.plots:
        from vivant.metrics.plots import write_plots
        from vivant.metrics.summary import summarise

        write_plots(run, summarise(run))


def check_gate(limits: Sequence[Limit], out: Path) -> int:
    """0, or 1 and the list of limits that are not kept."""
    import json

    from vivant.metrics.gate import failures

    report = json.loads((out / "results.json").read_text(encoding="utf-8"))
    broken = failures(list(limits), report)
    for sentence in broken:
        print(f"gate: {sentence}")
    if limits and not broken:
        print(f"gate: all {len(limits)} limits are kept")
    return GATE_FAILED if broken else 0
