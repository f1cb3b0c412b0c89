"""``vivant evaluate reenactment``: how well a method re-enacts faces it has not seen, beside baselines."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vivant.core.controls import Controls
from vivant.core.errors import ConfigError
from vivant.core.face import FaceCrop
from vivant.core.registry import DEFAULT_METHOD
from vivant.pipelines.direct import makes_frames
from vivant.pipelines.evaluation.generate import weights_hash
from vivant.pipelines.evaluation.items import spread

if TYPE_CHECKING:
    from vivant.data.manifest import Row
    from vivant.metrics.reenactment import Animator, Case
    from vivant.metrics.runner import Made


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--data", required=True, help="folder with manifest.jsonl and square face crops")
    parser.add_argument("--split", default="test", help="rows of the manifest to use (default: test)")
    parser.add_argument("--group", action="append", help="only rows of this group; may be given several times")
    parser.add_argument("--task", choices=("self", "cross", "both"), default="both")
    parser.add_argument("--method", default=DEFAULT_METHOD)
    parser.add_argument("--preset", help="preset of the method (default: the method's own)")
    parser.add_argument("--weights", help="weights file or folder (default: the shipped ones)")
    parser.add_argument("--limit", type=int, default=24, help="clips for self-reenactment (default: 24)")
    parser.add_argument("--portraits", type=int, default=8, help="portraits for cross-reenactment (default: 8)")
    parser.add_argument("--drivers", type=int, default=3, help="drivers of each portrait (default: 3)")
    parser.add_argument("--stride", type=int, default=3, help="use every n-th frame (default: 3)")
    parser.add_argument("--frames", type=int, default=60, help="most frames of a clip after the stride")
    parser.add_argument("--sheets", type=int, default=8, help="cases of each task on the contact sheet")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=("fp32", "fp16", "bf16"), default="fp32")
    parser.add_argument("--out", required=True, help="folder for records, tables and contact sheet")


def run(args: argparse.Namespace) -> int:
    """Run the protocol and print its table."""
    if min(args.limit, args.portraits, args.drivers, args.stride, args.frames) < 1:
        raise ConfigError("--limit, --portraits, --drivers, --stride and --frames must be 1 or more.")
    print(evaluate_reenactment(args))
    return 0


def evaluate_reenactment(args: argparse.Namespace) -> str:
    """Measure, keep every record, write tables and contact sheet; returns the Markdown.

    Records of the same settings from an interrupted run in the same folder are kept and not measured again.
    """
    from vivant.metrics.reenactment import Reading
    from vivant.metrics.runner import run_protocol
    from vivant.perception.faces import FaceFinder

    protocol = Reading(stride=args.stride, frames=args.frames)
    cases, made = make_cases(args), load_method(args)
    return run_protocol(cases, made, protocol, FaceFinder(), Path(args.out), arguments_used(args), args.sheets)


def arguments_used(args: argparse.Namespace) -> dict[str, Any]:
    """The choices that pick the cases; the data folder by its name only."""
    names = ("split", "group", "task", "limit", "portraits", "drivers")
    return {"folder": Path(args.data).name} | {name: getattr(args, name) for name in names}


def make_cases(args: argparse.Namespace) -> list[Case]:
    """Who drives whom.

    Raises:
        ConfigError: the manifest has no clip for these choices.
    """
    from vivant.data.manifest import read_manifest

    folder = Path(args.data)
    rows = [row for row in read_manifest(folder) if row.split == args.split]
    rows = [row for row in rows if not args.group or row.group in args.group]
    clips, stills = ([row for row in rows if row.kind == kind] for kind in ("clip", "still"))
    if not clips:
        raise ConfigError(f"{folder} has no clip of split '{args.split}' in these groups: choose others.")
    cases: list[Case] = []
    if args.task != "cross":
        cases += [self_case(folder, row) for row in spread(clips, args.limit)]
    if args.task != "self":
        cases += cross_cases(folder, spread(stills or clips, args.portraits), spread(clips, len(clips)), args.drivers)
    return cases


def self_case(folder: Path, row: Row) -> Case:
    """A clip that drives its own first frame."""
    from vivant.metrics.reenactment import Case

    return Case(row.id, "self", folder / row.media, person=row.person)


def cross_cases(folder: Path, portraits: Sequence[Row], clips: Sequence[Row], each: int) -> list[Case]:
    """Every portrait with ``each`` clips of other people; the next portrait starts at the next clips."""
    from vivant.metrics.reenactment import Case

    cases = []
    for number, portrait in enumerate(portraits):
        start = number * each % len(clips)
        others = [row for row in (*clips[start:], *clips[:start]) if row.person != portrait.person]
        for row in others[:each]:
            name = f"{portrait.id} by {row.id}"
            cases.append(Case(name, "cross", folder / row.media, folder / portrait.media, portrait.person))
    return cases


def load_method(args: argparse.Namespace) -> Made:
    """The method as the tables name it. Self-reenactment copies the driver's motion absolutely, without
    stitching and smoothing, which would change what is measured; cross-reenactment uses the method's
    defaults, unsmoothed."""
    from vivant.metrics.runner import Made
    from vivant.pipelines.load import load

    pipeline = load(args.method, args.weights, args.preset, args.device, args.dtype)
    known = {item.name for item in fields(pipeline.spec.part("config").Options)}
    wanted = {
        "self": {"relative": False, "stitching": False, "smoothing": 0.0, "smooth": False},
        "cross": {"relative": True, "smoothing": 0.0, "smooth": False},
    }
    options = {
        task: pipeline.options({name: value for name, value in values.items() if name in known})
        for task, values in wanted.items()
    }
    settings = {
        "method": pipeline.spec.name,
        "preset": pipeline.preset,
        "device": pipeline.device,
        "dtype": pipeline.dtype,
        "weights": weights_hash(pipeline.weights_info),
        "options": {task: asdict(value) for task, value in options.items()},
    }
    animators = {task: generator_animator(pipeline.generator, value) for task, value in options.items()}
    return Made(f"{pipeline.spec.name} {pipeline.preset}", animators, settings)


def generator_animator(generator: Any, options: Any) -> Animator:
    """A method's Generator as the protocol calls it."""

    def animate(source: FaceCrop, drivers: Sequence[FaceCrop | None], relative: bool) -> Iterable[np.ndarray]:
        if makes_frames(generator):
            controls = Controls(Fraction(25), len(drivers), driving=drivers)
            return generator.generate(_with_alpha(source, generator.config), controls, options)
        return generator.animate(source, generator.motion(drivers), options)

    return animate


def _with_alpha(source: FaceCrop, config: Any) -> FaceCrop:
    """``source`` with the opacity of its person, if the method asks for it."""
    if not getattr(config, "needs_alpha", False):
        return source
    from vivant.perception.matte import MatteFinder

    return replace(source, alpha=MatteFinder().find(source.image))
