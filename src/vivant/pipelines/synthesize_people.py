"""``vivant synthesize people``: whole people who do not exist, dressed and moving, with exact skeletons."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vivant.core.errors import ConfigError
from vivant.pipelines.progress import bar
from vivant.pipelines.synthesize_clips import (
    BACKGROUNDS,
    check_options,
    check_settings,
    frame_rate,
    keep_settings,
    render_clips,
)

if TYPE_CHECKING:
    from vivant.data.figures.clips import Job, Style
    from vivant.data.manifest import Row

FRAMES = 24
SETTINGS = "synthesis.people.json"
_OF_STILLS = ("drivers", "engines", "languages", "held_out", "motion_licence", "motion_credit", "licence", "credit",
              "check", "prepare", "no_redetect")  # fmt: skip
_USUAL = {"motion": "random", "backgrounds": BACKGROUNDS}


def run_people(args: argparse.Namespace) -> str:
    """Render as asked; returns what a person wants to know at the end.

    Raises:
        ConfigError: an option that does not make sense here, or that differs from the run that began the folder.
    """
    from vivant.data.figures.clips import Style
    from vivant.data.synthesis.work import default_workers

    foreign = [name for name in _OF_STILLS if getattr(args, name, None)]
    foreign += [name for name, usual in _USUAL.items() if getattr(args, name, usual) != usual]
    if foreign:
        name = foreign[0].replace("_", "-")
        raise ConfigError(f"--{name} is for stills; people are rendered without it: leave it out.")
    if args.device not in ("auto", "cpu"):
        raise ConfigError(f"People are drawn on the CPU alone, not on '{args.device}': leave --device out.")
    frames = FRAMES if args.frames is None else args.frames
    check_options(args, frames)
    style = Style(frames, frame_rate(args.fps), args.size, args.quality, args.supersample, truth=not args.no_truth)
    out, shares = Path(args.out), {"test": args.test_share, "val": args.val_share}
    told = {**asdict(style), "fps": str(style.fps), "kinds": list(style.kinds)}
    settings = {"seed": args.seed, "takes_per_motion": args.takes_per_motion, "shares": shares, **told}
    check_settings(out / SETTINGS, settings)
    keep_settings(out / SETTINGS, settings)
    jobs = make_jobs(args.clips, args.takes_per_motion, args.seed, shares)

    def watch(outcomes: Iterator[Any], total: int) -> Iterable[Any]:
        return bar(outcomes, total, "people", not args.quiet and total > 0, "clip")

    return render_clips(jobs, out, _worker, (out, style, args.seed), args.workers or default_workers(), watch)


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


def _worker(out: Path, style: Style, seed: int) -> Callable[[Job], Row]:
    return _Work(out, style, seed)


class _Work:
    """What a process needs to render clips."""

    def __init__(self, out: Path, style: Style, seed: int) -> None:
        self.out, self.style, self.seed = out, style, seed

    def __call__(self, job: Job) -> Row:
        from vivant.data.figures.clips import render_clip

        return render_clip(job, self.out, self.style, self.seed)
