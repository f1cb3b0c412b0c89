"""Runs the protocol of reenactment over many cases, resumes it, and writes records, tables and pictures."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vivant.core.errors import FaceError
from vivant.core.face import FaceCrop
from vivant.metrics.reenactment import (
    BASELINES,
    Animator,
    Case,
    Finder,
    Reading,
    Record,
    Take,
    read_records,
    record_line,
    run_case,
    true_frames,
)
from vivant.metrics.report import Table, contact_sheet, make_table, stack_sheets
from vivant.metrics.subject import Subject
from vivant.metrics.suite import told_error

TASKS = ("self", "cross")
TRUE = "true frames"
STILL = next(iter(BASELINES))
_NOTES = """Landmarks are found anew on every result by the same detector as on the true frames. Rotation error is the
geodesic angle. Correlation and gain are pooled over all frames after taking each clip's mean away; gain is the slope
of the result on the driver (1 is full amplitude). SSIM: Gaussian window 11x11, sigma 1.5, mean of the RGB channels.
PSNR is capped at 100 dB a frame. Brackets: 95 % bootstrap interval over clips. Frames where a result has no face are
counted in the last rows and left out of geometry and identity."""


@dataclass(frozen=True)
class Made:
    """A method under test: its name in the tables, animators by task, and what fixes its results."""

    name: str
    animators: dict[str, Animator]
    settings: dict[str, Any]


def run_protocol(
    cases: Sequence[Case],
    made: Made,
    protocol: Reading,
    finder: Finder,
    out: Path,
    data: Mapping[str, Any],
    sheets: int = 8,
) -> str:
    """Measure all cases and write into ``out``: records.jsonl, results.json, results.md, contact_sheet.jpg.

    ``data``: what to say of the data. ``sheets``: cases of each task on the contact sheet. Returns the
    Markdown.
    """
    out.mkdir(parents=True, exist_ok=True)
    records, skipped = measure_cases(cases, made, protocol, finder, out, sheets)
    present = [task for task in TASKS if any(case.task == task for case in cases)]
    tables = [summarise(task, cases, made, protocol, records) for task in present]
    about = {"settings": made.settings, "protocol": asdict(protocol), "data": dict(data)}
    write_json(out / "results.json", about | {"tables": [t.as_json() for t in tables], "skipped": skipped})
    text = page(made, about, tables, skipped)
    (out / "results.md").write_text(text, encoding="utf-8")
    join_sheets(out, cases)
    return text


def methods_for(task: str, made: Made, protocol: Reading) -> dict[str, tuple[str, Animator]]:
    """{name: (settings fingerprint, animator)} of everything that is compared, the method under test
    first.
    """
    common = asdict(protocol)
    methods = {made.name: (fingerprint(common | made.settings), made.animators[task])}
    methods |= {name: (fingerprint(common), animator) for name, animator in BASELINES.items()}
    if task == "self":
        methods[TRUE] = (fingerprint(common), true_frames)
    return methods


def fingerprint(settings: Mapping[str, Any]) -> str:
    """12 hexadecimal digits that change when a setting does."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()[:12]


def measure_cases(
    cases: Sequence[Case], made: Made, protocol: Reading, finder: Finder, out: Path, sheets: int
) -> tuple[list[Record], list[str]]:
    """All records of these settings and of files as they are now, old and new; and a sentence for each case that had to
    be left out.

    Raises:
        FaceError: all cases had to be left out.
    """
    from tqdm import tqdm

    path = out / "records.jsonl"
    methods = {task: methods_for(task, made, protocol) for task in TASKS}
    current = {settings for task in TASKS for settings, _ in methods[task].values()}
    given: dict[tuple[str, str], str] = {(case.task, case.id): case.given for case in cases}
    records = [
        record
        for record in read_records(path)
        if record.settings in current and given.get((record.task, record.case), record.given) == record.given
    ]
    known, skipped = {record.key for record in records}, []
    rewrite(path, records)
    drawn: dict[str, int] = defaultdict(int)
    with path.open("a", encoding="utf-8") as file:
        for case in tqdm(cases, desc="evaluate", file=sys.stderr, disable=None):
            drawn[case.task] += 1
            sheet = sheet_writer(out, case) if drawn[case.task] <= sheets else None
            try:
                for record in run_case(case, methods[case.task], finder, protocol, known, sheet):
                    file.write(record_line(record) + "\n")
                    file.flush()
                    records.append(record)
            except Exception as error:  # whatever a library raises: one case stops no other
                skipped.append(f"{case.id}: {told_error(error)}")
    if not records:
        raise FaceError(f"Nothing could be measured; the first reason: {skipped[0]}")
    return records, skipped


def rewrite(path: Path, records: Sequence[Record]) -> None:
    """Replace the file of records in one step, so that a line cut off earlier cannot spoil the next."""
    part = path.with_suffix(".part")
    part.write_text("".join(record_line(record) + "\n" for record in records), encoding="utf-8")
    os.replace(part, path)


def sheet_path(out: Path, case: Case) -> Path:
    """Where one case's sheet is kept."""
    return out / "sheets" / f"{case.task}_{Subject(case.id).key}.jpg"


def sheet_writer(out: Path, case: Case) -> Callable[[FaceCrop, Take, dict[str, list[np.ndarray]]], None]:
    """What draws one case's sheet once it is measured; rows that would repeat the source or the driver are left out."""
    from vivant.media.image import write_image

    def write(source: FaceCrop, driver: Take, results: dict[str, list[np.ndarray]]) -> None:
        path = sheet_path(out, case)
        path.parent.mkdir(exist_ok=True)
        shown = {name: images for name, images in results.items() if name not in (TRUE, STILL)}
        write_image(path, contact_sheet(source, driver, shown))

    return write


def summarise(task: str, cases: Sequence[Case], made: Made, protocol: Reading, records: Sequence[Record]) -> Table:
    """The table of one task over the cases of this run."""
    wanted = {case.id for case in cases if case.task == task}
    methods = methods_for(task, made, protocol)
    current = {(name, settings) for name, (settings, _) in methods.items()}
    mine = [r for r in records if r.case in wanted and (r.method, r.settings) in current]
    return make_table(task, mine, list(methods))


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file in one step."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(value, indent=1, default=str) + "\n", encoding="utf-8")
    os.replace(part, path)


def page(made: Made, about: Mapping[str, Any], tables: Sequence[Table], skipped: Sequence[str]) -> str:
    """The Markdown report."""
    data, protocol = about["data"], about["protocol"]
    chosen = ", ".join(f"{name} {value}" for name, value in (data | protocol).items() if value is not None)
    lines = [
        f"# Reenactment: {made.name}",
        "",
        f"Weights {made.settings.get('weights', 'none')}; {chosen}.",
        "",
    ]
    for table in tables:
        lines += [table.as_markdown()]
    lines += [_NOTES, ""]
    lines += [f"Left out: {line}" for line in skipped]
    return "\n".join(lines).rstrip() + "\n"


def join_sheets(out: Path, cases: Sequence[Case]) -> None:
    """One contact sheet of this run's cases, self-reenactment first."""
    from vivant.media.image import read_image, write_image

    paths = [path for path in (sheet_path(out, case) for case in cases) if path.is_file()]
    if paths:
        write_image(out / "contact_sheet.jpg", stack_sheets([read_image(path) for path in paths]))
