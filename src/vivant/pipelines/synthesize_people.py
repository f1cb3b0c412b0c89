"""``vivant synthesize people``: whole people who do not exist, dressed and moving, with exact skeletons."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vivant.core.errors import ConfigError
from vivant.pipelines.progress import bar

if TYPE_CHECKING:
    from vivant.data.figures.clips import Job, Style
    from vivant.data.manifest import Row

FRAMES = 24
SETTINGS = "synthesis.people.json"
_OF_STILLS = ("drivers", "engines", "languages", "held_out", "motion_licence", "motion_credit", "licence", "credit",
              "check", "prepare")  # fmt: skip


def run_people(args: argparse.Namespace) -> str:
    """Render as asked; returns what a person wants to know at the end.

    Raises:
        ConfigError: an option that does not make sense here, or that differs from the run that began the folder.
    """
    from vivant.data.figures.clips import Style
    from vivant.data.synthesis.work import default_workers
    from vivant.pipelines.synthesize import check_options, frame_rate

    foreign = [name for name in _OF_STILLS if getattr(args, name, None)]
    if foreign or args.motion != "random":
        name = foreign[0].replace("_", "-") if foreign else "motion"
        raise ConfigError(f"--{name} is for stills; people are rendered without it: leave it out.")
    check_options(args, args.frames or FRAMES)
    style = Style(
        args.frames or FRAMES, frame_rate(args.fps), args.size, args.quality, args.supersample, truth=not args.no_truth
    )
    out, shares = Path(args.out), {"test": args.test_share, "val": args.val_share}
    keep_settings(out, args.seed, args.takes_per_motion, shares, style)
    jobs = make_jobs(args.clips, args.takes_per_motion, args.seed, shares)
    return render(jobs, out, style, args.seed, args.workers or default_workers(), args.quiet)


def make_jobs(clips: int, takes_per_motion: int, seed: int, shares: dict[str, float]) -> list[Job]:
    """``clips`` jobs, ``takes_per_motion`` people in a row with one motion, all of them in one split.

    A set of more clips begins with the set of fewer.
    """
    from vivant.data.figures.clips import Job

    jobs = []
    for number in range(clips):
        take = number // takes_per_motion
        draw = np.random.default_rng([seed, 3, take]).random()
        split = "test" if draw < shares["test"] else "val" if draw < shares["test"] + shares["val"] else "train"
        jobs.append(Job(f"people-{seed}-{number:06d}", number, take, split))
    return jobs


def keep_settings(out: Path, seed: int, takes: int, shares: dict[str, float], style: Style) -> None:
    """Keep what makes the clips of a folder; a run that goes on has to ask for the same.

    Raises:
        ConfigError: it asks for something else.
    """
    told = {**asdict(style), "fps": str(style.fps), "kinds": list(style.kinds)}
    wish = {"seed": seed, "takes_per_motion": takes, "shares": shares, **told}
    path = out / SETTINGS
    if path.is_file():
        before = json.loads(path.read_text(encoding="utf-8"))
        changed = sorted(key for key in wish if before.get(key) != wish[key])
        if changed:
            raise ConfigError(
                f"{out} was begun with another {changed[0]} ({before.get(changed[0])}, not {wish[changed[0]]}): "
                f"ask for the same, or choose another --out."
            )
    out.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(wish, indent=1) + "\n", encoding="utf-8")


def render(jobs: Sequence[Job], out: Path, style: Style, seed: int, workers: int, quiet: bool = False) -> str:
    """Draw what is not there yet and write the manifest; returns the summary."""
    from vivant.data.manifest import merge_manifest
    from vivant.data.synthesis.clips import finished_rows, row_path
    from vivant.data.synthesis.survey import write_rejected
    from vivant.data.synthesis.work import run_jobs

    left = [job for job in jobs if not row_path(out, job.id).exists()]
    started, frames, failed = time.monotonic(), 0, []
    try:
        outcomes = run_jobs(_worker, (out, style, seed), left, workers)
        for outcome in bar(outcomes, len(left), "people", not quiet and bool(left), "clip"):
            if outcome.result is None:
                failed.append({"what": "clip", "id": outcome.job.id, "reason": outcome.problem})
            else:
                frames += outcome.result.frames
    finally:  # also of a stopped run: what is finished can be used
        write_rejected(out, failed)
        rows = merge_manifest(out, finished_rows(out))
    seconds = max(time.monotonic() - started, 1e-9)
    lost = f", {len(failed)} clips failed (rejected.jsonl says why)" if failed else ""
    return (
        f"{len(left) - len(failed)} new clips ({frames} frames in {seconds:.0f} s, {frames / seconds:.1f} frames per "
        f"second, {workers} processes){lost}; {len(rows)} clips in {out / 'manifest.jsonl'}."
    )


def _worker(out: Path, style: Style, seed: int) -> Callable[[Job], Row]:
    return _Work(out, style, seed)


class _Work:
    """What a process needs to render clips."""

    def __init__(self, out: Path, style: Style, seed: int) -> None:
        self.out, self.style, self.seed = out, style, seed

    def __call__(self, job: Job) -> Row:
        from vivant.data.figures.clips import render_clip

        return render_clip(job, self.out, self.style, self.seed)
