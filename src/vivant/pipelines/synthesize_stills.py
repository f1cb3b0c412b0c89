"""``vivant synthesize STILLS``: stills of people become clips with exact motion, as a training set."""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vivant.core.errors import ConfigError, MediaError
from vivant.core.text import read_text
from vivant.pipelines.synthesize_clips import (
    MOTIONS,
    check_options,
    check_settings,
    check_splits,
    frame_rate,
    keep_settings,
    render_clips,
)
from vivant.pipelines.synthesize_takes import make_takes, missing_takes

if TYPE_CHECKING:
    from vivant.data.manifest import Row
    from vivant.data.synthesis.clip_motion import Driver
    from vivant.data.synthesis.clips import Style
    from vivant.data.synthesis.people import Person
    from vivant.data.synthesis.plan import Job
    from vivant.data.synthesis.takes import MotionSource

_ON_ONE_GPU = 6  # processes that draw: each holds the libraries of a GPU in its memory


@dataclass(frozen=True)
class _Work:
    """What a process needs to render clips."""

    out: Path
    stills: Path
    source: MotionSource
    style: Style
    seed: int

    def __call__(self, job: Job) -> Row:
        from vivant.data.synthesis.clips import render_clip
        from vivant.data.synthesis.people import build_rig

        rig = build_rig(self.out, self.stills, job.person)
        return render_clip(job, self.source.take(job.take, self.seed), rig, self.out, self.style, self.seed)


def _worker(out: Path, stills: Path, source: MotionSource, style: Style, seed: int) -> Callable[[Job], Row]:
    return _Work(out, stills, source, style, seed)


def _follower() -> Callable[[Driver], str]:
    return _follow


def _follow(driver: Driver) -> str:
    from vivant.data.synthesis.clip_motion import follow_driver

    follow_driver(driver.path, driver.motion)
    return driver.name


class Synthesis:
    """One run: stills are looked at, takes are dealt to people, clips are drawn, the manifest is written."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args, self.out, self.stills = args, Path(args.out), Path(args.stills)
        self.fps = frame_rate(args.fps)
        self.group, usual = MOTIONS[args.motion]
        self.frames = usual if args.frames is None else args.frames
        check_options(args, self.frames)
        self.held_out = _names(args.held_out)
        self.drawing = self._drawing_processes()

    def run(self) -> str:
        """Everything. Returns what a person wants to know at the end."""
        from vivant.data.synthesis.people import find_stills

        stills = find_stills(self.stills, self.args.licence, self.args.credit)
        if not self.args.check:
            self._refuse_early()
        people = self._survey(stills)
        good = [person for person in people if not person.reasons]
        if self.args.check:
            return self._checked(people, good)
        if not good:
            raise ConfigError(
                f"None of the {len(people)} stills can be used: {self.out / 'rejected.jsonl'} names the reasons."
            )
        if any(not person.licence for person in good):
            warnings.warn("Some stills have no licence: give --licence and --credit, or an index.jsonl.", stacklevel=2)
        plan = self._plan(good)
        check_splits(self.out, plan)
        keep_settings(*self._settings())
        source, jobs, lost = self._ready(plan)
        if self.args.prepare:
            ready = f"{len(good)} of {len(people)} stills and {len(jobs)} clips are ready to be rendered in {self.out}."
            return ready + lost
        return self._render(jobs, source, len(good), len(people)) + lost

    def _refuse_early(self) -> None:
        """Other settings, and a missing engine or folder of drivers unless takes are there already, are said before
        stills cost time."""
        from vivant.data.synthesis.takes import FOLDER

        check_settings(*self._settings())
        if any((self.out / FOLDER).glob(f"{self.args.motion}_*.npz")):
            return
        if self.args.motion == "clips":
            self._find_drivers()
        else:
            self._source()

    @property
    def workers(self) -> int:
        """Processes of everything but drawing, which happens on the CPU."""
        from vivant.data.synthesis.work import default_workers

        return self.args.workers or default_workers()

    def _drawing_processes(self) -> int:
        on_gpu = self._on_gpu()  # also with --workers: a device that is not there is said at once
        return self.args.workers or (min(_ON_ONE_GPU, self.workers) if on_gpu else self.workers)

    def _on_gpu(self) -> bool:
        from vivant.pipelines.devices import pick_device

        return pick_device(self.args.device).startswith("cuda")

    def _bar(self, what: str, unit: str) -> Callable[[Iterator[Any], int], Iterable[Any]]:
        from vivant.pipelines.progress import bar

        return lambda items, total: bar(items, total, what, not self.args.quiet and total > 0, unit)

    def _survey(self, stills: Sequence[Any]) -> list[Person]:
        from vivant.data.synthesis.survey import survey, write_rejected

        people = survey(
            stills, self.stills, self.out, self.workers, not self.args.no_redetect, "cpu",
            self._bar("looking at stills", "still"),
        )  # fmt: skip
        write_rejected(
            self.out,
            ({"what": "still", "id": p.id, "reason": "; ".join(p.reasons)} for p in people if p.reasons),
            ("still", [p.id for p in people]),
        )
        return people

    def _checked(self, people: Sequence[Person], good: Sequence[Person]) -> str:
        """The report and the sheets of ``--check``."""
        from vivant.data.synthesis.survey import motion_sheet, report, sheet
        from vivant.media.image import write_image

        numbers = report(people)
        (self.out / "check.json").write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
        drawable = [person for person in people if person.reasons and person.measures]
        for name, part in (("good", good), ("rejected", drawable)):
            if part:
                write_image(self.out / f"check_{name}.png", sheet(part, self.out, self.stills, 40, self.args.seed))
        if good:
            frames = motion_sheet(good, self.out, self.stills, 40, self.args.seed)
            write_image(self.out / "check_motion.png", frames)
        return json.dumps(numbers, indent=1)

    def _ready(self, jobs: list[Job]) -> tuple[MotionSource, list[Job], str]:
        """Where rendering finds its takes: random ones are made as they are needed, the others once, beforehand. With
        the jobs whose takes there are, and a sentence about the others."""
        from vivant.data.synthesis.takes import KeptMotion

        if self.args.motion == "random":
            return self._source(), jobs, ""
        kept, takes = KeptMotion(self.out, self.args.motion), sorted({job.take for job in jobs})
        problems = make_takes(kept, takes, self._source, self.args.seed, self.workers, self._bar("takes", "take"))
        left = [job for job in jobs if job.take not in problems]
        return kept, left, missing_takes(kept, problems, len(takes), len(jobs) - len(left))

    def _source(self) -> MotionSource:
        from vivant.data.synthesis.clip_motion import ClipMotion
        from vivant.data.synthesis.random_motion import RandomMotion
        from vivant.data.synthesis.sentences import LANGUAGES
        from vivant.data.synthesis.speech_motion import SpeechMotion

        if self.args.motion == "random":
            return RandomMotion(self.frames, self.fps)
        if self.args.motion == "speech":
            return SpeechMotion(
                self.frames, self.fps, _words(self.args.engines), _words(self.args.languages) or LANGUAGES
            )
        return ClipMotion(self._drivers(), self.frames, self.fps)

    def _find_drivers(self) -> list[Driver]:
        args = self.args
        return find_drivers(Path(args.drivers), self.out, args.motion_licence, args.motion_credit, self.held_out)

    def _drivers(self) -> tuple[Driver, ...]:
        """Follow all drivers that were not followed before."""
        from vivant.data.synthesis.survey import write_rejected
        from vivant.data.synthesis.work import run_jobs

        drivers = self._find_drivers()
        fresh = [driver for driver in drivers if not driver.motion.exists()]
        outcomes = run_jobs(_follower, (), fresh, self.workers)
        problems = {o.job.name: o.problem for o in self._bar("following drivers", "clip")(outcomes, len(fresh))
                    if o.problem}  # fmt: skip
        write_rejected(
            self.out, ({"what": "driver", "id": k, "reason": v} for k, v in problems.items()),
            ("driver", [driver.name for driver in drivers]),
        )  # fmt: skip
        usable = tuple(driver for driver in drivers if driver.name not in problems)
        if any(not driver.licence for driver in usable):
            warnings.warn(
                "Some drivers have no licence: give --motion-licence and --motion-credit, or an index.jsonl.",
                stacklevel=2,
            )
        if not usable:
            raise ConfigError(f"None of the {len(drivers)} drivers can be used: {next(iter(problems.values()))}.")
        return usable

    def _plan(self, good: Sequence[Person]) -> list[Job]:
        from vivant.data.synthesis.people import split_of
        from vivant.data.synthesis.plan import make_plan

        shares = {"test": self.args.test_share, "val": self.args.val_share}
        splits = {p.id: split_of(p, shares, dict.fromkeys(self.held_out, "test")) for p in good}
        args, talks = self.args, self.args.motion != "random"
        return make_plan(good, splits, args.motion, args.clips, args.takes_per_motion, args.seed, talks)

    def _render(self, jobs: Sequence[Job], source: MotionSource, good: int, looked_at: int) -> str:
        """Draw what is not there yet; returns the summary."""
        work = (self.out, self.stills, source, self._style(), self.args.seed)
        used = f"{good} of {looked_at} stills used; "
        return render_clips(jobs, self.out, _worker, work, self.drawing, self._bar("clips", "clip"), used)

    def _style(self) -> Style:
        from vivant.data.synthesis.clips import Style

        args = self.args
        return Style(
            args.size, args.quality, args.supersample, args.backgrounds, self.group, not args.no_truth, args.device
        )

    def _settings(self) -> tuple[Path, dict[str, Any]]:
        """What makes the clips, which a run into the same folder has to ask for again, and where it is kept."""
        args = self.args
        wish: dict[str, Any] = {
            "seed": args.seed, "frames": self.frames, "fps": str(self.fps), "takes_per_motion": args.takes_per_motion,
            "test_share": args.test_share, "val_share": args.val_share, "held_out": sorted(self.held_out),
            "engines": args.engines, "languages": args.languages, "stills": self.stills.name,
            "drivers": Path(args.drivers).name if args.drivers else "",
            **{k: v for k, v in asdict(self._style()).items() if k not in ("device", "group")},
        }  # fmt: skip
        return self.out / f"synthesis.{args.motion}.json", wish


def find_drivers(folder: Path, out: Path, licence: str, credit: str, held_out: Sequence[str]) -> list[Driver]:
    """All clips below ``folder`` but the held-out ones; an ``index.jsonl`` there names licence and credit.

    Raises:
        MediaError: no folder, or no clip in it.
    """
    from vivant.data.synthesis.clip_motion import FOLDER, Driver
    from vivant.data.synthesis.people import read_index

    if not folder.is_dir():
        raise MediaError(f"'{folder}' is not a folder of clips: name one with --drivers.")
    known: Mapping[str, Mapping[str, Any]] = read_index(folder)
    drivers = []
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".mp4", ".mov", ".mkv", ".webm", ".avi")):
        name = path.relative_to(folder).as_posix()
        row, key = known.get(name, {}), name.rpartition(".")[0].replace("/", "_")
        if path.stem not in held_out and key not in held_out:
            drivers.append(
                Driver(key, path, out / FOLDER / f"{key}.npz", str(row.get("licence") or licence),
                       str(row.get("credit") or credit))
            )  # fmt: skip
    if not drivers:
        raise MediaError(f"'{folder}' holds no clip that may be replayed: name another folder with --drivers.")
    return drivers


def _names(path: str | None) -> tuple[str, ...]:
    if not path:
        return ()
    text = read_text(path, "The list of names", MediaError)
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())
