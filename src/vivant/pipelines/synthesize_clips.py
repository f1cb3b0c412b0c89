"""What every kind of synthesis does: options are checked, settings kept, clips rendered and listed."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from vivant.core.errors import ConfigError
from vivant.pipelines.inputs import check_folder

MOTIONS = {"random": ("rig", 32), "speech": ("speech", 75), "clips": ("replay", 75)}
"""Group of the manifest's rows and usual number of frames, by motion."""
BACKGROUNDS = 0.25
"""Usual share of clips with a new background."""


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
    workers = 1 if args.workers is None else args.workers
    if min(args.clips, frames, args.takes_per_motion, args.supersample, workers) < 1:
        raise ConfigError("--clips, --frames, --takes-per-motion, --supersample and --workers must be 1 or more.")
    if frames < 2:
        raise ConfigError("A clip needs at least 2 frames: raise --frames.")
    if args.size < 32 or args.size % 4 or args.size > 2048:
        raise ConfigError(f"Frames of {args.size} px cannot be made: give a --size from 32 to 2048, divisible by 4.")
    shares = (args.backgrounds, args.test_share, args.val_share, args.test_share + args.val_share)
    if not all(0 <= share <= 1 for share in shares):
        raise ConfigError("--backgrounds, --test-share, --val-share and the sum of these two must lie in 0..1.")
    if not 0 <= args.quality <= 51:
        raise ConfigError(f"Quality {args.quality} is out of range: give 0 (lossless) to 51 (worst), 18 is usual.")
    if args.motion == "clips" and not args.drivers and not args.check:
        raise ConfigError("--motion clips needs --drivers FOLDER with the clips to replay.")
    if args.seed < 0:
        raise ConfigError(f"The seed {args.seed} cannot be used: give a whole number from 0 on.")
    check_folder(args.out)


def check_settings(path: Path, wish: Mapping[str, Any]) -> None:
    """Compare with what :func:`keep_settings` kept: a run that goes on in a folder has to ask for the same. All runs of
    a folder make frames of one size; another is refused before anything is drawn.

    Raises:
        ConfigError: it asks for something else, or what was kept is damaged.
    """
    from vivant.data.manifest import MANIFEST, read_manifest

    if path.is_file():
        try:
            before = dict(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise ConfigError(f"{path} is damaged: remove it and ask for the settings of the first run.") from error
        changed = sorted(key for key in wish if before.get(key) != wish[key])
        if changed:
            raise ConfigError(
                f"{path.parent} was begun with another {changed[0]} ({before.get(changed[0])}, not "
                f"{wish[changed[0]]}): ask for the same, or choose another --out."
            )
    if (path.parent / MANIFEST).is_file():
        others = {row.size for row in read_manifest(path.parent)} - {wish["size"]}
        if others:
            raise ConfigError(
                f"{path.parent} holds frames of {min(others)} px, not {wish['size']}: ask for the same --size, or "
                "choose another --out."
            )


def keep_settings(path: Path, wish: Mapping[str, Any]) -> None:
    """Keep in ``path`` what makes the clips of its folder, once it is known that clips can be made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(wish, indent=1) + "\n", encoding="utf-8")
    os.replace(part, path)


def check_splits(out: Path, jobs: Iterable[Any]) -> None:
    """Refuse to put a person into another split than the folder's other clips have.

    Args:
        out: folder of the data set.
        jobs: clips, each with a ``person`` and a ``split``.

    Raises:
        ConfigError: somebody would be in two splits.
    """
    from vivant.data.manifest import MANIFEST, read_manifest

    known = {row.person: row.split for row in read_manifest(out)} if (out / MANIFEST).is_file() else {}
    for job in jobs:
        before = known.get(job.person.id, job.split)
        if before != job.split:
            raise ConfigError(
                f"'{job.person.id}' is in '{before}' in {out} and would be in '{job.split}' now: ask for the same "
                "--test-share, --val-share and --held-out, or choose another --out."
            )


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
    started, frames, failed, drawn = time.monotonic(), 0, [], []
    try:
        for outcome in watch(run_jobs(make_worker, work, left, processes), len(left)):
            if outcome.result is None:
                failed.append({"what": "clip", "id": outcome.job.id, "reason": outcome.problem})
            else:
                frames += outcome.result.frames
                drawn.append(outcome.job.id)
    finally:  # also of a stopped run: what is finished can be used
        write_rejected(out, failed, ("clip", drawn))
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
