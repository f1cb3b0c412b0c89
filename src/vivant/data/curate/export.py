"""Kept clips become a data set: square crops at one size and rate with their sound, training labels, and what else is
known of them (``extra``), as a folder that every trainer reads; :mod:`vivant.data.shards` packs it into tar files.

A clip is finished when its row is written, so that a stopped export goes on where it was.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from vivant.core.errors import ConfigError, VivantError
from vivant.data.curate.decide import Decision
from vivant.data.curate.export_clip import Output, Style, first_frame, row_path, said_of
from vivant.data.curate.files import read_clips, read_json, read_plan, write_json
from vivant.data.curate.score import Ear, is_setup
from vivant.data.curate.words import Source, Work
from vivant.data.manifest import Row, write_manifest
from vivant.data.shards import write_shards
from vivant.media.timeline import exact_rate
from vivant.media.video import open_clip

OF = "of.json"
"""Beside shards: the data set that they hold."""


@dataclass(frozen=True)
class Job:
    """Export the kept clips of one video."""

    folder: str
    out: str
    source: Source
    clips: tuple[Decision, ...]
    style: Style


@dataclass(frozen=True)
class Done:
    """What came of a job: clips written, and what went wrong."""

    source: str
    written: int = 0
    problem: str = ""


def make_jobs(work: Work, decisions: Iterable[Decision], out: Path, style: Style) -> list[Job]:
    """The videos of which kept clips are not exported yet.

    Raises:
        ConfigError: nothing is kept, or ``out`` was exported in another style.
    """
    kept = [decision for decision in decisions if decision.keep]
    if not kept:
        raise ConfigError(f"{work.folder}: no clip is kept; see its report, and call decide with other rules.")
    check_style(out, style.checked())
    write_json(_style_path(out), _told(style))
    mine: dict[str, list[Decision]] = {}
    for decision in kept:
        row = read_json(row_path(out, decision.id))
        if row is None or (row["split"], row["person"]) != (decision.split, decision.person):
            mine.setdefault(decision.source, []).append(decision)
    sources = {source.id: source for source in read_plan(work)}
    return [Job(str(work.folder), str(out), sources[name], tuple(clips), style) for name, clips in mine.items()]


def check_style(out: Path, style: Style) -> None:
    """Refuse a folder whose clips were written in another style.

    Raises:
        ConfigError: it holds such clips.
    """
    before = read_json(_style_path(out))
    if before is not None and before != _told(style):
        raise ConfigError(f"{out} holds clips of another style ({before}): use it again, or another folder.")


def _style_path(out: Path) -> Path:
    return out / "style.json"


def _told(style: Style) -> dict[str, Any]:
    return {**asdict(style), "speech": list(style.speech)}


def run_job(job: Job) -> Done:
    """Write the clips of one video. What is wrong with the video is told, not raised."""
    written = 0
    try:
        for _ in _export(job):
            written += 1
    except (VivantError, OSError, ValueError, RuntimeError) as error:
        if is_setup(error):
            raise
        return Done(job.source.id, written, str(error))
    return Done(job.source.id, written)


def _export(job: Job) -> Iterator[str]:
    """Write all clips of a video in one reading; gives the id of each that is finished."""
    work, fps = Work(Path(job.folder)), exact_rate(job.style.fps)
    wanted = {decision.id: decision for decision in job.clips}
    clips = [clip for clip in read_clips(work, job.source.id) or [] if clip.id in wanted]
    waiting, active = sorted(clips, key=lambda clip: -clip.start), list[Output]()
    with Ear(job.source) as ear:
        try:
            for number, frame in enumerate(open_clip(job.source.path, fps).frames):
                while waiting and first_frame(waiting[-1], fps) <= number:
                    clip = waiting.pop()
                    sound = ear.samples(clip)
                    output = Output(work, job.source, clip, wanted[clip.id], sound, Path(job.out), job.style)
                    active.append(output)
                for output in active:
                    output.see(frame)
                for output in [output for output in active if output.full]:
                    active.remove(output)
                    yield output.close()
                if not waiting and not active:
                    return
            while active:  # a video that ends before its clips do, as it may at another rate
                yield active.pop(0).close()
        finally:
            for output in active:
                output.discard()


def finish(work: Work, out: Path, decisions: Iterable[Decision]) -> list[Row]:
    """Write the manifest of all kept clips that are exported, in order of their names, and clear away what killed
    workers left half-written.

    Licence, consent, credit and origin are what the plan says now, not what it said when a clip was written.
    """
    plan, rows = {source.id: source for source in read_plan(work)}, []
    for decision in decisions:
        values = read_json(row_path(out, decision.id)) if decision.keep else None
        if values is not None:
            rows.append(replace(Row(**values), **said_of(plan[decision.source])))
    for left in (out / "clips").glob(".*.part"):
        left.unlink(missing_ok=True)
    rows.sort(key=lambda row: row.id)
    write_manifest(out, rows)
    return rows


def check_shards(out: Path, shards: Path, limit: int) -> None:
    """Refuse a folder for shards that holds others than those of the data set ``out``.

    Raises:
        ConfigError: it does, or shards of ``limit`` bytes cannot be.
    """
    if limit < 2**20:
        raise ConfigError("Shards of less than 1 MB cannot be written: give a larger --shard-mb.")
    if any(shards.glob("*.tar")) and read_json(shards / OF) != str(out.resolve()):
        raise ConfigError(f"{shards} holds shards that are not of {out}: choose another folder.")


def pack(out: Path, shards: Path, limit: int) -> list[Path]:
    """Write the data set ``out`` as shards of at most ``limit`` bytes, in the place of those that an earlier export of
    it left there, whether whole or not.

    Raises:
        ConfigError: as :func:`check_shards`. MediaError: a file of the data set is missing.
    """
    check_shards(out, shards, limit)
    draft = shards / "draft"
    shutil.rmtree(draft, ignore_errors=True)  # of an export that was killed
    new = write_shards(out, draft, limit)
    write_json(shards / OF, str(out.resolve()))
    for old in shards.glob("*.tar"):
        old.unlink()
    for path in new:
        os.replace(path, shards / path.name)
    draft.rmdir()
    return [shards / path.name for path in new]
