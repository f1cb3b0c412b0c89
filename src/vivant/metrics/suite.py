"""Measures many clips: resumes, uses several processes, and goes on when a clip is broken."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from vivant.core.engines import LocalEngine
from vivant.core.errors import MediaError, VivantError
from vivant.media.files import DamagedMediaWarning
from vivant.metrics.measure import ClipResult, Plan, measure
from vivant.metrics.results import ResultFolder
from vivant.metrics.subject import Subject


@dataclass
class Run:
    """What a run over many clips gave. ``failed``: {id: why}; ``seconds``: spent measuring, ``fresh`` clips in it;
    ``known``: summaries that were made before, by their clips."""

    plan: Plan
    out: Path
    subjects: list[Subject] = field(default_factory=list)
    results: list[ClipResult] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    fresh: int = 0
    workers: int = 1
    known: dict[tuple[str, ...], Any] = field(default_factory=dict, repr=False)

    def measured(self) -> list[tuple[Subject, ClipResult]]:
        """Subjects with their results, in order; failed ones are left out."""
        known = {result.id: result for result in self.results}
        return [(subject, known[subject.id]) for subject in self.subjects if subject.id in known]


def run_suite(
    subjects: Sequence[Subject], plan: Plan, out: Path, workers: int = 1, failed: Mapping[str, str] | None = None
) -> Run:
    """Measure every clip that has no result of these settings in ``out`` yet; ``failed``: what failed before.

    Raises:
        MediaError: no clip could be measured, or two have one id.
    """
    if len({subject.id for subject in subjects}) < len(subjects):
        raise MediaError("Two clips have one id: ids must be unique.")
    folder, settings = ResultFolder(out), plan.fingerprint()
    run = Run(plan, out, list(subjects), failed=dict(failed or {}), workers=workers)
    kept = {subject.id: folder.load(subject, settings) for subject in subjects}
    todo = [subject for subject in subjects if kept[subject.id] is None]
    begin = time.perf_counter()
    for subject, result, reason in _bar(_measured(todo, plan, out, workers), len(todo)):
        if result is None:
            run.failed[subject.id] = reason
        else:
            kept[subject.id] = result
            run.fresh += 1
    run.seconds = time.perf_counter() - begin
    run.results = [result for subject in subjects if (result := kept[subject.id]) is not None]
    if not run.results:
        raise MediaError(f"Nothing could be measured; the first reason: {next(iter(run.failed.values()), 'no clip')}")
    return run


Step = tuple[Subject, ClipResult | None, str]


def _measured(subjects: Sequence[Subject], plan: Plan, out: Path, workers: int) -> Iterator[Step]:
    if workers <= 1 or len(subjects) <= 1:
        for subject in subjects:
            yield _one(subject, plan, out)
        return
    engine = LocalEngine(min(workers, len(subjects)), partial(_begin, plan, out))
    yield from engine.run(_task, subjects, lambda subject, why: (subject, None, why))


def _one(subject: Subject, plan: Plan, out: Path) -> Step:
    try:
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always", DamagedMediaWarning)
            result = measure(subject, plan)
        told = dict.fromkeys(str(one.message) for one in heard if issubclass(one.category, DamagedMediaWarning))
        result = replace(result, damage=" ".join(told))
        ResultFolder(out).save(subject, result)
        return subject, result, ""
    except Exception as error:  # whatever a library raises: one clip stops no other
        return subject, None, told_error(error)


_plan: Plan
_out: Path


def _begin(plan: Plan, out: Path) -> None:
    """In a worker: keep the plan, and one thread, because there are as many workers as cores should be used."""
    import torch

    global _plan, _out
    torch.set_num_threads(1)
    _plan, _out = plan, out


def told_error(error: Exception) -> str:
    """An error in one line, with its kind if it is not ours."""
    words = str(error) if isinstance(error, VivantError) else f"{type(error).__name__}: {error}"
    return " ".join(words.split())


def _task(subject: Subject) -> Step:
    return _one(subject, _plan, _out)


def _bar(steps: Iterator[Step], total: int) -> Iterator[Step]:
    from tqdm import tqdm

    return iter(tqdm(steps, total=total, desc="vivant: evaluate", unit="clip", file=sys.stderr, disable=None))
