"""The second reading of a video: its clips are shown to the scorers, and what they say is kept.

A clip's scores are written when its last frame was shown, so whatever stops the work loses at most the clip at hand.
Scores that are there already in the scorers' present versions are not computed again.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vivant.core.errors import VivantError
from vivant.data.curate.files import read_clips, read_faces, read_json, read_plan, write_json
from vivant.data.curate.look import look
from vivant.data.curate.plan import read_settings
from vivant.data.curate.scorers.base import Scorer, Scores, scorer
from vivant.data.curate.words import FPS, SOUND_RATE, Clip, Faces, Source, View, Work
from vivant.media.audio import stream_audio
from vivant.media.files import DamagedMediaWarning
from vivant.media.video import open_clip


@dataclass(frozen=True)
class Job:
    """Score one video: everything a worker needs to know, small enough to travel."""

    folder: str
    source: Source
    scorers: tuple[str, ...]


@dataclass(frozen=True)
class Done:
    """What came of a job: clips in all, clips scored now, and the problem if the video could not be used."""

    source: str
    clips: int = 0
    scored: int = 0
    problem: str = ""


def make_jobs(work: Work, scorers: Sequence[str], retry: bool = False) -> list[Job]:
    """The videos that still have something to score, longest first, so that no long one is left for the end.

    ``retry``: also those whose problem is on record.
    """
    for name in scorers:
        scorer(name)
    jobs = []
    for source in sorted(read_plan(work), key=lambda source: -(source.seconds or 0)):
        note = read_json(work.problem(source.id))
        if source.problem or (note and not note.get("usable") and not retry):
            continue
        clips = read_clips(work, source.id)
        if clips is None or any(pending(work, clip, scorers) for clip in clips):
            jobs.append(Job(str(work.folder), source, tuple(scorers)))
    return jobs


def pending(work: Work, clip: Clip, names: Iterable[str]) -> list[str]:
    """Scorers whose scores of a clip are missing or of an older version."""
    kept = read_json(work.scores(clip.id)) or {}
    return [name for name in names if kept.get(name, {}).get("version") != scorer(name).version]


def run_job(job: Job) -> Done:
    """Cut and score one video. What is wrong with the video is put on record and told, not raised; of a damaged one the
    clips before the damage are scored."""
    work, source = Work(Path(job.folder)), job.source
    clips: list[Clip] | None = None
    scored = 0
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", DamagedMediaWarning)
        try:
            clips = read_clips(work, source.id)
            if clips is None:
                clips = look(work, source, read_settings(work))
            scored = _score(work, source, clips, job.scorers)
            problem = next((str(word.message) for word in said if word.category is DamagedMediaWarning), "")
        except (VivantError, OSError, ValueError, RuntimeError, MemoryError) as error:
            if is_setup(error):
                raise
            problem, clips = str(error) or type(error).__name__, None
    if problem:
        write_json(work.problem(source.id), {"problem": problem, "usable": bool(clips)})
    else:
        work.problem(source.id).unlink(missing_ok=True)
    return Done(source.id, len(clips or []), scored, problem)


def is_setup(error: BaseException) -> bool:
    """Whether an error is about this installation and would meet every video alike."""
    from vivant.core.errors import ConfigError, MissingExtraError, WeightsError

    return isinstance(error, ConfigError | MissingExtraError | WeightsError)


def _score(work: Work, source: Source, clips: Sequence[Clip], names: Sequence[str]) -> int:
    todo = [(clip, wanted) for clip in clips if (wanted := pending(work, clip, names))]
    if not todo:
        return 0
    with Ear(source) as ear:
        frames: Iterable[np.ndarray] = ()
        if any(scorer(name).frames for _, wanted in todo for name in wanted):
            frames = open_clip(source.path, FPS).frames
        waiting, active = list(reversed(todo)), []  # both readings give clips in order of time
        for number, image in enumerate(frames):
            while waiting and waiting[-1][0].start <= number:
                active.append(_Watch(work, source, *waiting.pop(), ear))
            for watch in active:
                watch.see(image)
            active = [watch for watch in active if not watch.close_if_done()]
            if not waiting and not active:
                break
        for watch in active:
            watch.close()
        for clip, wanted in reversed(waiting):
            _Watch(work, source, clip, wanted, ear).close()
    return len(todo)


class _Watch:
    """One clip while it is shown to its scorers."""

    def __init__(self, work: Work, source: Source, clip: Clip, names: Sequence[str], ear: Ear) -> None:
        self._work, self._clip = work, clip
        self._faces: Faces = read_faces(work, clip)
        view = View(clip, source, self._faces, lambda: ear.samples(clip))
        self._scorers: list[Scorer] = [scorer(name)(view) for name in names]
        self._looking = [found for found in self._scorers if found.frames]
        self._number = 0

    def see(self, image: np.ndarray) -> None:
        at = self._number
        if at < self._clip.frames:
            for found in self._looking:
                found.see(image, self._faces.landmarks[at], bool(self._faces.seen[at]))
        self._number += 1

    def close_if_done(self) -> bool:
        if self._number < self._clip.frames:
            return False
        self.close()
        return True

    def close(self) -> None:
        path = self._work.scores(self._clip.id)
        kept: dict[str, Any] = read_json(path) or {}
        for found in self._scorers:
            values: Scores = found.finish()
            kept[found.name] = {"version": found.version, **values}
        write_json(path, kept)


class Ear:
    """The sound of a video as 16-bit samples in a temporary file, decoded when first asked for."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._file: Any = None
        self._samples: np.ndarray | None = None

    def __enter__(self) -> Ear:
        return self

    def __exit__(self, *rest: object) -> None:
        self._samples = None
        if self._file is not None:
            self._file.close()

    def samples(self, clip: Clip) -> np.ndarray | None:
        """(N,) float32 of the clip, shorter where the sound ends before the pictures; None without sound."""
        if not self._source.sound:
            return None
        if self._samples is None:
            self._samples = self._decode()
        start = clip.start * SOUND_RATE // FPS
        part = self._samples[start : start + clip.frames * SOUND_RATE // FPS]
        return part.astype(np.float32) / 32768

    def _decode(self) -> np.ndarray:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
        for block in stream_audio(self._source.path, SOUND_RATE, mono=True):
            whole = np.clip(np.round(block[:, 0] * 32768), -32768, 32767)
            self._file.write(whole.astype(np.int16).tobytes())
        if not self._file.tell():
            return np.zeros(0, np.int16)
        self._file.flush()
        return np.memmap(self._file, np.int16, "r")


def read_scores(work: Work, clip: Clip) -> dict[str, Any]:
    """Scores of a clip by full name, such as ``pose.mean``."""
    kept = read_json(work.scores(clip.id)) or {}
    return {
        f"{name}.{key}": value for name, values in kept.items() for key, value in values.items() if key != "version"
    }


def problems(work: Work) -> Iterator[tuple[Source, str]]:
    """Every video that could not be used, or only up to some damage, and why."""
    for source in read_plan(work):
        note = read_json(work.problem(source.id))
        if source.problem or note:
            yield source, source.problem or note["problem"]
