"""The survey of stills: who is good, who is not and why, with numbers and sheets for a person to look at."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vivant.core.errors import ConfigError
from vivant.data.synthesis.people import Person, Still, Survey, build_rig, read_still
from vivant.data.synthesis.work import run_jobs

PEOPLE, REJECTED = "people.jsonl", "rejected.jsonl"


def _looker(out: Path, root: Path, redetect: bool, device: str) -> Callable[[Still], Person]:
    return partial(Survey(out, redetect, device).look, root=root)


def survey(
    stills: Sequence[Still],
    root: Path,
    out: Path,
    workers: int,
    redetect: bool,
    device: str,
    show: Callable[[Iterator[Any], int], Iterable[Any]],
) -> list[Person]:
    """Look at all stills that were not looked at before, or are other files now (a damaged one that was copied again),
    or were found good without the test poses that ``redetect`` asks for; returns everybody, good and rejected, in the
    stills' order.

    ``show``: wraps the outcomes in a progress bar. Every look is appended to ``people.jsonl`` at once, so a stopped
    survey goes on where it was.
    """
    out.mkdir(parents=True, exist_ok=True)
    known = {person.id: person for person in read_people(out)}
    fresh = [still for still in stills if still.id not in known or _look_again(known[still.id], still, redetect)]
    outcomes = run_jobs(_looker, (out, root, redetect, device), fresh, workers)
    with (out / PEOPLE).open("a", encoding="utf-8") as log:
        for outcome in show(outcomes, len(fresh)):
            still = outcome.job
            person = outcome.result or Person(
                still.id, still.path.relative_to(root).as_posix(), still.licence, still.credit, still.split,
                (outcome.problem,), bytes=still.bytes,
            )  # fmt: skip
            known[person.id] = person
            log.write(json.dumps(_as_json(person)) + "\n")
            log.flush()
    return [known[still.id] for still in stills]


def _look_again(person: Person, still: Still, redetect: bool) -> bool:
    untested = redetect and not person.reasons and not person.poses
    return untested or person.bytes not in (0, still.bytes)


def _as_json(person: Person) -> dict[str, Any]:
    return {k: (dict(v) if k in ("measures", "poses") else v) for k, v in vars(person).items()}


def read_people(out: Path) -> list[Person]:
    """Everybody that was looked at before; a last line that was cut off by a crash is left out.

    Raises:
        ConfigError: another line is damaged.
    """
    path = out / PEOPLE
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    people = []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            people.append(Person(**{**row, "reasons": tuple(row["reasons"])}))
        except (json.JSONDecodeError, TypeError, KeyError) as error:
            if number == len(lines):
                path.write_text("".join(f"{kept}\n" for kept in lines[:-1]), encoding="utf-8")
                break
            raise ConfigError(f"{path} line {number} is damaged: remove the file and run again.") from error
    return people


def write_rejected(out: Path, rejects: Iterable[dict[str, str]], good: tuple[str, Iterable[str]] = ("", ())) -> None:
    """``rejected.jsonl``: one object a line with ``id``, ``what`` (still, driver, take or clip) and ``reason``; entries
    of an earlier run stay unless the same thing is named again, or is ``good`` now (``what`` and ids)."""
    path, rows = out / REJECTED, read_rejected(out)
    for name in good[1]:
        rows.pop((good[0], name), None)
    for row in rejects:
        rows[row["what"], row["id"]] = row
    part = path.with_suffix(".part")
    part.write_text("".join(json.dumps(row) + "\n" for row in rows.values()), encoding="utf-8")
    os.replace(part, path)


def read_rejected(out: Path) -> dict[tuple[str, str], dict[str, str]]:
    """The entries of ``rejected.jsonl`` by ``what`` and ``id``; none if there is no such file."""
    path = out / REJECTED
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return {(row["what"], row["id"]): row for row in map(json.loads, lines)}


def report(people: Sequence[Person]) -> dict[str, Any]:
    """Numbers of a survey: stills, how many are good, quartiles of the fit residual, shares of reasons, and medians of
    the re-detection error of good stills by test pose, in cm."""
    measured = [p.measures["residual"] for p in people if "residual" in p.measures]
    quartiles = np.percentile(measured, [25, 50, 75, 90, 95]).round(4).tolist() if measured else []
    reasons: dict[str, int] = {}
    for person in people:
        for kind in {reason_kind(reason) for reason in person.reasons}:
            reasons[kind] = reasons.get(kind, 0) + 1
    good = [person for person in people if not person.reasons]
    poses: dict[str, dict[str, float]] = {}
    for name in good[0].poses if good else ():
        parts = good[0].poses[name]
        poses[name] = {
            part: round(float(np.nanmedian([p.poses[name][part] for p in good if name in p.poses])), 3)
            for part in parts
        }
    return {
        "stills": len(people),
        "good": len(good),
        "lips_shut": sum(person.lips_shut for person in good),
        "residual_cm_25_50_75_90_95": quartiles,
        "share_rejected": round(1 - len(good) / max(1, len(people)), 4),
        "rejected_by_reason": dict(sorted(reasons.items(), key=lambda item: -item[1])),
        "redetected_cm_median": poses,
    }


def reason_kind(reason: str) -> str:
    """A reason without its numbers and the file it names: "the head fits badly (0.21 cm)" -> "the head fits badly"."""
    words = re.sub(r"^'.*' (?=is |holds |cannot )", "the file ", reason).split(" (")[0].split(":")[0]
    return " ".join("#" if any(c.isdigit() for c in word) else word for word in words.split())[:80]


def sheet(people: Sequence[Person], out: Path, stills: Path, count: int, seed: int) -> np.ndarray:
    """(H, W, 3) uint8: for ``count`` random people the still, the fitted mesh points on it, and five test poses."""
    import cv2

    from vivant.rig.check import check_poses
    from vivant.rig.motion import RigMotion

    rng = np.random.default_rng(seed)
    chosen = [people[i] for i in sorted(rng.permutation(len(people))[:count])]
    poses = RigMotion.joined([check_poses()[name] for name in ("jaw", "blink", "smile", "yaw -20", "mixed")])
    rows = []
    for person in chosen:
        rig = build_rig(out, stills, person)
        frames = [frame.image for frame in rig.render(RigMotion.joined([RigMotion.still(1), poses]), 128)]
        rest = cv2.resize(read_still(stills / person.file), (128, 128), interpolation=cv2.INTER_AREA)
        fitted = next(iter(rig.render(RigMotion.still(1), 128)))
        marked = fitted.image.copy()
        for x, y in np.round(fitted.landmarks[:, :2]).astype(int):
            cv2.circle(marked, (int(x), int(y)), 0, (0, 255, 0), -1)
        rows.append(np.concatenate([rest, marked, *frames[1:]], 1))
    half = -(-len(rows) // 2)
    blank = np.zeros_like(rows[0])
    pairs = [np.concatenate([a, b], 1) for a, b in zip(rows[:half], [*rows[half:], blank][:half])]
    return np.concatenate(pairs)


def motion_sheet(people: Sequence[Person], out: Path, stills: Path, count: int, seed: int) -> np.ndarray:
    """(H, W, 3) uint8: ``count`` random people, each in one random frame of a take that moves everything at once."""
    from fractions import Fraction

    from vivant.data.synthesis.random_motion import random_motion
    from vivant.rig.limits import within_reach

    rng = np.random.default_rng([seed, 1])
    frames = []
    for number in sorted(rng.permutation(len(people))[:count]):
        motion = random_motion(rng, "free", 32, Fraction(25))
        moment = int(rng.integers(8, 32))
        rig = build_rig(out, stills, people[number])
        chosen = within_reach(motion[moment : moment + 1], people[number].reach)
        frames.append(next(iter(rig.render(chosen, 160))).image)
    across = min(8, len(frames))
    frames += [np.zeros_like(frames[0])] * (-len(frames) % across)
    rows = [np.concatenate(frames[k : k + across], 1) for k in range(0, len(frames), across)]
    return np.concatenate(rows)
