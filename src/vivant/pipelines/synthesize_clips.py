"""What every kind of synthesis does: options are checked, settings kept, clips rendered and listed."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from vivant.core.errors import ConfigError
from vivant.pipelines.inputs import check_folder

MOTIONS = {"random": ("rig", 32), "speech": ("speech", 75), "clips": ("replay", 75)}
"""Group of the manifest's rows and usual number of frames, by motion."""


def frame_rate(text: str) -> Fraction:
    """The rate that a text says. Raises ConfigError if it says none."""
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError) as error:
        raise ConfigError(f"'{text}' is no frame rate: give --fps 25 or --fps 30000/1001.") from error
    if not 1 <= rate <= 120:
        raise ConfigError(f"{text} frames per second are out of range: give 1 to 120.")
    return rate


def check_options(args: argparse.Namespace, frames: int) -> None:
    """Refuse numbers that make no sense. Raises ConfigError."""
    if min(args.clips, frames, args.takes_per_motion, args.supersample) < 1 or (args.workers or 1) < 1:
        raise ConfigError("--clips, --frames, --takes-per-motion, --supersample and --workers must be 1 or more.")
    if frames < 2:
        raise ConfigError("A clip needs at least 2 frames: raise --frames.")
    if args.size < 32 or args.size % 4 or args.size > 2048:
        raise ConfigError(f"Frames of {args.size} px cannot be made: give a --size from 32 to 2048, divisible by 4.")
    if not (0 <= args.backgrounds <= 1 and 0 <= args.test_share + args.val_share <= 1):
        raise ConfigError("--backgrounds and the shares of test and validation must lie in 0..1.")
    if not 0 <= args.quality <= 51:
        raise ConfigError(f"Quality {args.quality} is out of range: give 0 (lossless) to 51 (worst), 18 is usual.")
    if args.motion == "clips" and not args.drivers and not args.check:
        raise ConfigError("--motion clips needs --drivers FOLDER with the clips to replay.")
    if args.seed < 0:
        raise ConfigError(f"The seed {args.seed} cannot be used: give a whole number from 0 on.")
    check_folder(args.out)


def keep_settings(path: Path, wish: Mapping[str, Any]) -> None:
    """Keep in ``path`` what makes the clips of its folder; a run that goes on there has to ask for the same.

    Raises:
        ConfigError: it asks for something else.
    """
    if path.is_file():
        before = json.loads(path.read_text(encoding="utf-8"))
        changed = sorted(key for key in wish if before.get(key) != wish[key])
        if changed:
            raise ConfigError(
                f"{path.parent} was begun with another {changed[0]} ({before.get(changed[0])}, not "
                f"{wish[changed[0]]}): ask for the same, or choose another --out."
            )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(wish, indent=1) + "\n", encoding="utf-8")


def render_clips(
    jobs: Sequence[Any], out: Path, make_worker: Callable[..., Callable[[Any], Any]], work: tuple[Any, ...],
    processes: int, watch: Callable[[Iterator[Any], int], Iterable[Any]], about: str = "",
) -> str:  # fmt: skip
    """Draw what is not there yet and write the manifest.

    Args:
        jobs: clips, each with an ``id``.
        out: folder of the data set.
        make_worker: makes, in each process, from ``work`` what turns a job into a row of the manifest.
        work: its arguments.
        processes: how many draw at once.
        watch: shows progress, given outcomes and how many there will be.
        about: told in the summary before the number of all clips.

    Returns:
        The summary, one sentence.

    Raises:
        ConfigError: not one clip could be drawn.
    """
    from vivant.data.manifest import merge_manifest
    from vivant.data.synthesis.clips import finished_rows, row_path
    from vivant.data.synthesis.survey import write_rejected
    from vivant.data.synthesis.work import run_jobs

    left = [job for job in jobs if not row_path(out, job.id).exists()]
    started, frames, failed = time.monotonic(), 0, []
    try:
        for outcome in watch(run_jobs(make_worker, work, left, processes), len(left)):
            if outcome.result is None:
                failed.append({"what": "clip", "id": outcome.job.id, "reason": outcome.problem})
            else:
                frames += outcome.result.frames
    finally:  # also of a stopped run: what is finished can be used
        write_rejected(out, failed)
        rows = merge_manifest(out, finished_rows(out))
    if failed and len(failed) == len(jobs):
        raise ConfigError(f"None of the {len(jobs)} clips can be made: {failed[0]['reason']}.")
    seconds = max(time.monotonic() - started, 1e-9)
    speed = f"{frames} frames in {seconds:.0f} s, {frames / seconds:.1f} frames per second"
    lost = f", {len(failed)} clips failed (rejected.jsonl says why)" if failed else ""
    return (
        f"{len(left) - len(failed)} new clips ({speed}, {processes} processes){lost}; "
        f"{about}{len(rows)} clips in {out / 'manifest.jsonl'}."
    )
