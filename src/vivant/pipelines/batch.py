"""Batch: many animations from a list, one method in memory, on processes of this machine or on a Ray cluster.

What is finished stands in ``batch-state.jsonl`` in the output folder, one object a job, by the SHA-256 of the job's
settings and inputs. A batch that was stopped goes on where it was; a job whose inputs or settings changed is done anew.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vivant.core.engines import make_engine
from vivant.core.errors import ConfigError, MediaError, VivantError
from vivant.core.registry import default_method, get_method
from vivant.core.text import read_text
from vivant.pipelines.inputs import check_output
from vivant.pipelines.jobs import FIELDS, GROUPS, INPUTS, SPEECH, Job, Models, fingerprint, read_job, run_job
from vivant.pipelines.options import PUBLIC_NAMES, idle_options, strength_of
from vivant.pipelines.progress import bar

STATE = "batch-state.jsonl"
_MODELS = Models()
"""Of this process; workers of every engine keep theirs between jobs."""


@dataclass(frozen=True)
class Task:
    """A job of a list. ``line``: where it stands, from 1; ``id``: its fingerprint."""

    line: int
    id: str
    job: Job


@dataclass(frozen=True)
class Result:
    """What came of a task. ``problem``: one sentence, empty when it was done."""

    task: Task
    frames: int = 0
    seconds: float = 0.0
    problem: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Summary:
    """Counts of a batch: done now, done before, failed now or before."""

    done: int
    before: int
    failed: int


def read_list(path: str | os.PathLike[str], out: Path, defaults: Mapping[str, Any]) -> list[tuple[int, Job]]:
    """The jobs of a file of JSON lines, with their line numbers.

    Inputs are relative to the list, outputs lie in ``out``; without a name, an output is called after its inputs.
    ``defaults``: values of :data:`vivant.pipelines.jobs.FIELDS` for jobs that do not name their own; options, sliders
    and strengths of the default's method hold for jobs of that method only, and only where they can act.

    Raises:
        MediaError: there is no such list, or it is not UTF-8.
        ConfigError: a line is no job, leaves the folder, or two lines write one file; the message names the line.
    """
    text = read_text(path, "The list of jobs", MediaError)
    jobs: list[tuple[int, Job]] = []
    lines: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            job = _read_line(line, f"{path} line {number}", Path(path).parent, out, defaults)
            if job.output in lines:
                raise ConfigError(f"{path} lines {lines[job.output]} and {number} write one file: name the outputs.")
            lines[job.output] = number
            jobs.append((number, job))
    if not jobs:
        raise ConfigError(f"{path} holds no jobs: write one JSON object a line.")
    return jobs


def _read_line(line: str, where: str, base: Path, out: Path, defaults: Mapping[str, Any]) -> Job:
    try:
        row = json.loads(line)
    except ValueError:
        raise ConfigError(f"{where} is not JSON: write one object a line.") from None
    if not isinstance(row, dict):
        raise ConfigError(f"{where} is no object: write one object a line.")
    try:
        row = _with_defaults(row, defaults)
        for role in (*INPUTS, "weights"):
            if isinstance(row.get(role), str) and (role != "weights" or (base / row[role]).exists()):
                row[role] = str(base / row[role])
        row["output"] = str(_inside(out, row.get("output") or _named(row)))
        return read_job(row, FIELDS)
    except VivantError as error:
        raise ConfigError(f"{where}: {error}") from error


def _with_defaults(row: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    sound_alone = bool(row.get("audio") or row.get("text")) and not row.get("driving")
    mine = row.get("method") or defaults.get("method") or default_method(sound_alone)
    own = (*GROUPS, "method", "preset", "weights", "lora")
    if not row.get("text"):
        defaults = {name: value for name, value in defaults.items() if name not in SPEECH}
    same = mine == (defaults.get("method") or default_method())
    whole = {**{name: value for name, value in defaults.items() if same or name not in own}, **row}
    if same:
        heard = whole.get("audio") or whole.get("text")
        has = {"driving": whole.get("driving"), "audio": heard, "keypoints": whole.get("keypoints")}
        spec = get_method(mine)
        idle = idle_options(spec, [name for name, value in has.items() if value])
        strengths = {strength_of(spec, name) for name in idle}
        for group, names in (("strength", strengths), ("options", {PUBLIC_NAMES.get(name, name) for name in idle})):
            if group not in row:  # what a row asks for itself is refused, not left out
                whole[group] = {name: value for name, value in (whole.get(group) or {}).items() if name not in names}
    return whole


def _named(row: Mapping[str, Any]) -> str:
    drives = [Path(row[role]).stem for role in ("driving", "audio", "keypoints") if isinstance(row.get(role), str)]
    source = Path(str(row.get("source", ""))).stem
    drives += ["text"] if row.get("text") else []
    return f"{source}--{drives[0]}.mp4" if drives else f"{source}--edited.png"


def _inside(out: Path, name: Any) -> Path:
    """``name`` in ``out``.

    Raises:
        ConfigError: it is no text, or leads out of the folder.
    """
    if not isinstance(name, str):
        raise ConfigError(f"the output is a file name, not {name!r:.60}.")
    target = out / name
    if Path(name).is_absolute() or not target.resolve().is_relative_to(out.resolve()):
        raise ConfigError(f"the output '{name}' leads out of the folder {out}: give a name in it.")
    return target


def run_batch(
    listed: Sequence[tuple[int, Job]], out: Path, engine: str = "local", workers: int | None = None,
    address: str | None = None, retry: bool = False, progress: bool = False,
) -> Summary:  # fmt: skip
    """Do the jobs of :func:`read_list` that are not done yet; each failure is noted and told on stderr.

    ``engine``, ``workers``, ``address``: as :func:`vivant.core.engines.make_engine`, one worker by default;
    ``retry``: try again what failed before.

    Raises:
        ConfigError: unknown engine. MediaError: nothing can be written in ``out``.
    """
    check_output(out / "probe.mp4")
    for _, job in listed:
        check_output(job.output)
    on_gpu = any(str(job.loading.get("device")).startswith("cuda") for _, job in listed)
    chosen = make_engine(engine, workers or (1 if engine == "local" else None), address, float(on_gpu))
    known = {row["id"]: row for row in read_state(out)}
    tasks, failed, before = [], 0, 0
    with (out / STATE).open("a", encoding="utf-8") as state:
        state.write("\n" if _cut_short(out / STATE) else "")
        for task in _tasks(listed):
            if isinstance(task, Result):
                failed += 1
                _note(state, task)
                continue
            row = known.get(task.id)
            if row and not row["problem"] and Path(task.job.output).is_file():
                before += 1
            elif row and row["problem"] and not retry:
                failed += 1
                _tell(task, f"failed before, and is tried again with --retry: {row['problem']}")
            else:
                tasks.append(task)
        done = 0
        for result in bar(chosen.run(work, tasks, _lost), len(tasks), "batch", progress and bool(tasks), "job"):
            done, failed = done + (not result.problem), failed + bool(result.problem)
            _note(state, result)
    return Summary(done, before, failed)


def _tasks(listed: Sequence[tuple[int, Job]]) -> Iterator[Task | Result]:
    """Each job with its fingerprint, or its failure when an input is missing."""
    for line, job in listed:
        try:
            yield Task(line, fingerprint(job), job)
        except MediaError as error:
            yield Result(Task(line, f"line {line} without its inputs", job), problem=str(error))


def work(task: Task) -> Result:
    """Do one task in this process, with the method that it keeps in memory."""
    try:
        made = run_job(task.job, _MODELS)
    except VivantError as error:
        return Result(task, problem=" ".join(str(error).split()))
    except Exception as error:  # one job's accident is no reason to lose the night's other jobs
        return Result(task, problem=f"unexpected {type(error).__name__}: {' '.join(str(error).split())}"[:500])
    return Result(task, made.frames, round(made.seconds, 3), warnings=made.warnings)


def _lost(task: Task, why: str) -> Result:
    return Result(task, problem=why)


def _note(state: Any, result: Result) -> None:
    """Append to the state file, on the disk before anything else begins."""
    job = result.task.job
    row = {"id": result.task.id, "output": Path(job.output).name, "frames": result.frames}
    row |= {"seconds": result.seconds, "problem": result.problem, "warnings": list(result.warnings)}
    state.write(json.dumps(row, ensure_ascii=False) + "\n")
    state.flush()
    os.fsync(state.fileno())
    for text in (result.problem, *result.warnings):
        if text:
            _tell(result.task, text)


def _tell(task: Task, text: str) -> None:
    from tqdm import tqdm

    tqdm.write(f"vivant: line {task.line}: {text}", file=sys.stderr)  # on a line of its own, above the bar


def _cut_short(path: Path) -> bool:
    """Whether the last line lacks its end, because the machine went down while it was written."""
    return not path.read_bytes().endswith(b"\n") and path.stat().st_size > 0


def read_state(out: Path) -> Iterator[dict[str, Any]]:
    """Rows of the state file; a last line cut short by a crash is left out."""
    try:
        lines = (out / STATE).read_text(encoding="utf-8", errors="replace").splitlines()  # cut within a letter
    except FileNotFoundError:
        return
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and {"id", "problem"} <= row.keys():
            yield row
