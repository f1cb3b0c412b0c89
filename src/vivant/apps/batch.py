"""``vivant animate --batch``: a list of jobs to one call of the pipeline."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from vivant.apps.arguments import OPTION, SLIDER, STRENGTH, collect, loading, positive
from vivant.core.errors import ConfigError

INCOMPLETE = 1
"""Exit code when some jobs failed; the others are done."""


def add_batch_arguments(parser: argparse.ArgumentParser) -> None:
    """What says that, how and where a list of jobs is done."""
    group = parser.add_argument_group("many at once")
    group.add_argument(
        "--batch", metavar="FILE", help="jobs, one JSON object a line; -o is then a folder (default out/)"
    )
    group.add_argument("--engine", choices=("local", "ray"), default="local", help="processes here, or a Ray cluster")
    group.add_argument("--workers", type=positive("--workers"), metavar="N", help="jobs at the same time (default 1)")
    group.add_argument("--address", metavar="WHERE", help="of a Ray cluster; auto is the one of this machine")
    group.add_argument("--retry", action="store_true", help="try again what failed before")


def run(args: argparse.Namespace) -> int:
    """Do the list; prints counts. 0 when nothing failed, else 1."""
    from vivant.pipelines.batch import read_list, run_batch

    for name in ("source", "driving", "audio", "text", "keypoints", "save_motion"):
        if getattr(args, name) is not None:
            flag = "--save-motion" if name == "save_motion" else f"--{name}"
            raise ConfigError(f"With --batch every job names its own {name}: leave {flag} out.")
    if not args.overwrite or args.encoder:
        raise ConfigError("--no-overwrite and --encoder do not go with --batch: finished jobs are never done again.")
    out = Path(args.output or "out")
    listed = read_list(args.batch, out, _defaults(args))
    found = run_batch(listed, out, args.engine, args.workers, args.address, args.retry, not args.quiet)
    total = len(listed)
    print(f"{total} jobs in {out}: {found.done} done, {found.before} done before, {found.failed} failed.")
    return INCOMPLETE if found.failed else 0


def _defaults(args: argparse.Namespace) -> dict[str, Any]:
    """What the command line says for every job."""
    from vivant.pipelines.jobs import SPEECH

    reference = int(args.reference) if args.reference.isdecimal() else args.reference
    view = (
        "face",
        "driving_face",
        "fps",
        "crop_only",
        "side_by_side",
        "match_color",
        "steady_eyes",
        "quality",
        *SPEECH[1:],
    )
    groups = {"options": OPTION, "sliders": SLIDER, "strength": STRENGTH}
    given = {name: getattr(args, name) for name in (*view, *SPEECH[1:])} | loading(args) | {"reference": reference}
    if not any(word.partition("=")[0] == "--method" for word in args.argv):
        del given["method"]  # each job then takes the default for what drives it
    return given | {name: collect(args, prefix) for name, prefix in groups.items()}
