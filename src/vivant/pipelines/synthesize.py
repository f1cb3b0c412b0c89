"""``vivant synthesize``: stills of people become clips with exact motion, as a training set."""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vivant.core.errors import ConfigError, MediaError

if TYPE_CHECKING:
    from vivant.data.manifest import Row
    from vivant.data.synthesis.clip_motion import Driver
    from vivant.data.synthesis.clips import Style
    from vivant.data.synthesis.people import Person
    from vivant.data.synthesis.plan import Job
    from vivant.data.synthesis.takes import KeptMotion, MotionSource

MOTIONS = {"random": ("rig", 32), "speech": ("speech", 75), "clips": ("replay", 75)}
"""Group of the manifest's rows and usual number of frames, by motion."""
_ON_ONE_GPU = 6  # processes that draw: each holds the libraries of a GPU in its memory


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``vivant synthesize``."""
    parser.add_argument("stills", help="folder of portraits, where an index.jsonl names licence and credit of each; or "
                        "the word people: whole people are made up and rendered, with their skeletons")  # fmt: skip
    parser.add_argument("-o", "--out", required=True, help="folder of the data set; several runs may share one")
    parser.add_argument("--motion", choices=list(MOTIONS), default="random", help="where motion comes from (random)")
    parser.add_argument("--clips", type=int, default=100, help="how many clips of this motion (default: 100)")
    parser.add_argument("--frames", type=int, help="frames of a clip (default: 32, spoken and replayed 75)")
    parser.add_argument("--fps", default="25", help="frames per second, also as a fraction (default: 25)")
    parser.add_argument("--size", type=int, default=256, help="side of the frames in pixels, even (default: 256)")
    parser.add_argument("--takes-per-motion", type=int, default=1, metavar="N",
                        help="render every motion on N people, the same take (default: 1)")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, help="processes (default: one a core; at most 6 draw on a GPU)")
    parser.add_argument("--device", default="auto", help="cpu, cuda, or auto (default)")
    parser.add_argument("--quality", type=int, default=18, help="x264's constant rate factor (default: 18)")
    parser.add_argument("--supersample", type=int, default=2, help="draw so many times finer and average (default: 2)")
    parser.add_argument("--backgrounds", type=float, default=0.25, metavar="SHARE",
                        help="share of clips with a new background (default: 0.25)")  # fmt: skip
    parser.add_argument("--no-truth", action="store_true",
                        help="leave out masks, depth and the like; keep video and training labels")  # fmt: skip
    parser.add_argument("--drivers", help="folder of clips to replay (--motion clips)")
    parser.add_argument("--engines", default="", help="speech engines, such as flite,espeak (default: all installed)")
    parser.add_argument("--languages", default="", help="languages to speak, such as en,de,ja (default: all there are)")
    parser.add_argument("--licence", default="", help="of stills that no index names")
    parser.add_argument("--credit", default="", help="of stills that no index names")
    parser.add_argument("--motion-licence", default="", help="of drivers that no index names")
    parser.add_argument("--motion-credit", default="", help="of drivers that no index names")
    parser.add_argument("--test-share", type=float, default=0.05, help="share of people kept for testing (0.05)")
    parser.add_argument("--val-share", type=float, default=0.03, help="share of people kept for validation (0.03)")
    parser.add_argument("--held-out", help="text file of names: people there are for testing, drivers are not used")
    parser.add_argument("--no-redetect", action="store_true", help="judge stills by their fit alone, which is quicker")
    parser.add_argument("--prepare", action="store_true",
                        help="stop before rendering, which another machine can then do")  # fmt: skip
    parser.add_argument("--check", action="store_true", help="only look at the stills: numbers, reasons and sheets")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")


def run(args: argparse.Namespace) -> int:
    """Synthesise as asked. Returns 0."""
    if args.stills == "people":  # a folder of that name is ./people
        from vivant.pipelines.synthesize_people import run_people

        print(run_people(args))
        return 0
    print(Synthesis(args).run())
    return 0


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


def _keeper(kept: KeptMotion, source: MotionSource, seed: int) -> Callable[[int], int]:
    return kept.keeper(source, seed)


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
        self.frames = args.frames or usual
        check_options(args, self.frames)
        self.held_out = _names(args.held_out)
        self.drawing = self._drawing_processes()

    def run(self) -> str:
        """Everything. Returns what a person wants to know at the end."""
        from vivant.data.synthesis.people import find_stills

        if not self.args.check:
            self._refuse_early()
            self._keep_settings()
        stills = find_stills(self.stills, self.args.licence, self.args.credit)
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
        jobs = self._plan(good)
        source = self._ready(sorted({job.take for job in jobs}))
        if self.args.prepare:
            return f"{len(good)} of {len(people)} stills and {len(jobs)} clips are ready to be rendered in {self.out}."
        return self._render(jobs, source, len(good), len(people))

    def _refuse_early(self) -> None:
        """A missing engine or folder of drivers is said before stills cost time, unless takes are there already."""
        from vivant.data.synthesis.takes import FOLDER

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
        import torch

        device = self.args.device
        if device.startswith("cuda") and not torch.cuda.is_available():
            raise ConfigError("There is no CUDA device here: use --device cpu.")
        return bool(device != "cpu" and torch.cuda.is_available())

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

    def _ready(self, takes: Sequence[int]) -> MotionSource:
        """Where rendering finds its takes: random ones are made as they are needed, the others once, beforehand."""
        from vivant.data.synthesis.takes import KeptMotion
        from vivant.data.synthesis.work import run_jobs

        if self.args.motion == "random":
            return self._source()
        kept = KeptMotion(self.out, self.args.motion)
        left = kept.missing(takes)
        if left:
            work = (kept, self._source(), self.args.seed)
            for outcome in self._bar("takes", "take")(run_jobs(_keeper, work, left, self.workers), len(left)):
                if outcome.problem:
                    raise ConfigError(f"Take {outcome.job} cannot be made: {outcome.problem}.")
        return kept

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
        write_rejected(self.out, ({"what": "driver", "id": k, "reason": v} for k, v in problems.items()))
        usable = tuple(driver for driver in drivers if driver.name not in problems)
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
        from vivant.data.manifest import merge_manifest
        from vivant.data.synthesis.clips import finished_rows, row_path
        from vivant.data.synthesis.survey import write_rejected
        from vivant.data.synthesis.work import run_jobs

        left = [job for job in jobs if not row_path(self.out, job.id).exists()]
        work = (self.out, self.stills, source, self._style(), self.args.seed)
        started, frames, failed = time.monotonic(), 0, []
        try:
            for outcome in self._bar("clips", "clip")(run_jobs(_worker, work, left, self.drawing), len(left)):
                if outcome.result is None:
                    failed.append({"what": "clip", "id": outcome.job.id, "reason": outcome.problem})
                else:
                    frames += outcome.result.frames
        finally:  # also of a stopped run: what is finished can be used
            write_rejected(self.out, failed)
            rows = merge_manifest(self.out, finished_rows(self.out))
        seconds = time.monotonic() - started
        speed = f"{frames} frames in {seconds:.0f} s, {frames / max(seconds, 1e-9):.1f} frames per second"
        lost = f", {len(failed)} clips failed (rejected.jsonl says why)" if failed else ""
        return (
            f"{len(left) - len(failed)} new clips ({speed}, {self.drawing} processes){lost}; "
            f"{good} of {looked_at} stills used; {len(rows)} clips in {self.out / 'manifest.jsonl'}."
        )

    def _style(self) -> Style:
        from vivant.data.synthesis.clips import Style

        args = self.args
        return Style(
            args.size, args.quality, args.supersample, args.backgrounds, self.group, not args.no_truth, args.device
        )

    def _keep_settings(self) -> None:
        """Keep what makes the clips; a run into the same folder has to ask for the same.

        Raises:
            ConfigError: it asks for something else.
        """
        args = self.args
        wish: dict[str, Any] = {
            "seed": args.seed, "frames": self.frames, "fps": str(self.fps), "takes_per_motion": args.takes_per_motion,
            "test_share": args.test_share, "val_share": args.val_share, "held_out": sorted(self.held_out),
            "engines": args.engines, "languages": args.languages, "stills": self.stills.name,
            "drivers": Path(args.drivers).name if args.drivers else "",
            **{k: v for k, v in asdict(self._style()).items() if k not in ("device", "group")},
        }  # fmt: skip
        path = self.out / f"synthesis.{args.motion}.json"
        if path.is_file():
            before = json.loads(path.read_text(encoding="utf-8"))
            changed = sorted(key for key in wish if before.get(key) != wish[key])
            if changed:
                raise ConfigError(
                    f"{self.out} was begun with another {changed[0]} ({before.get(changed[0])}, not "
                    f"{wish[changed[0]]}): ask for the same, or choose another --out."
                )
        self.out.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(wish, indent=1) + "\n", encoding="utf-8")


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


def _names(path: str | None) -> tuple[str, ...]:
    if not path:
        return ()
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise MediaError(f"'{path}' cannot be read as text: give a file with one name a line.") from error
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())
