"""``vivant evaluate method`` and ``protocol``: a method is run on data, and its results are measured."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vivant.core.errors import ConfigError, MediaError
from vivant.core.registry import DEFAULT_METHOD
from vivant.pipelines.evaluation.common import (
    add_measuring,
    add_output,
    add_view,
    check_plots,
    evaluate,
    gate_of,
    plan_of,
    view_of,
)
from vivant.pipelines.evaluation.generate import Maker, check_drive, known_options, parse_settings, subject_of
from vivant.pipelines.evaluation.items import read_items, some_clips, spread

if TYPE_CHECKING:
    from vivant.metrics.protocols.base import Drive, Pick, Protocol
    from vivant.metrics.subject import Subject
    from vivant.metrics.view import View

INCOMPLETE = 1
"""Exit code of ``--check`` when a folder is not what a protocol wants."""


def _add_method(parser: argparse.ArgumentParser, default: str | None) -> None:
    parser.add_argument("--method", default=default, help="see vivant methods")
    parser.add_argument("--preset", help="preset of the method (default: the method's own)")
    parser.add_argument("--weights", help="weights file or folder (default: the shipped ones)")
    parser.add_argument("--set", action="append", metavar="NAME=VALUE", help="option of the method; may be repeated")
    parser.add_argument("--seed", type=int, help="seed of the method (default: the protocol's, else 0)")
    parser.add_argument("--drive", choices=("video", "audio", "both", "pose"),
                        help="what drives (default: the protocol's, else what the method takes)")  # fmt: skip
    parser.add_argument("--dtype", default="auto", help="number type of the method: auto, fp32, fp16, bf16")


def add_method(parser: argparse.ArgumentParser) -> None:
    """Options of ``method``."""
    parser.add_argument("--data", required=True, help="folder with manifest.jsonl")
    parser.add_argument("--split", default="test", help="rows of the manifest to use (default: test)")
    parser.add_argument("--group", action="append", help="only rows of this group; may be given several times")
    parser.add_argument("--task", choices=("self", "cross"), default="self",
                        help="the clip's first frame as the source, or another person's still")  # fmt: skip
    parser.add_argument("--limit", type=int, default=24, help="clips (cross: portraits; default: 24)")
    parser.add_argument("--drivers", type=int, default=3, help="drivers of each portrait (default: 3)")
    _add_method(parser, DEFAULT_METHOD)
    add_view(parser)
    add_measuring(parser)
    add_output(parser)


def add_protocol(parser: argparse.ArgumentParser) -> None:
    """Options of ``protocol``."""
    parser.add_argument("name", help="vivant evaluate protocols lists them")
    parser.add_argument("--data", required=True, help="folder with manifest.jsonl, or one folder a data set")
    parser.add_argument("--check", action="store_true", help="only say what the folder lacks; exit code 1 if anything")
    parser.add_argument("--partial", action="store_true", help="go on with what is there; the report says so")
    parser.add_argument("--limit", type=int, help="only the first clips, to try it; the report says so")
    parser.add_argument("--generated", help="folder of clips made elsewhere, named by the clips' ids")
    _add_method(parser, None)
    add_measuring(parser)
    add_output(parser, needed=False)


def run_method(args: argparse.Namespace) -> int:
    """Run a method on a manifest and measure it."""
    from vivant.metrics.protocols.base import Pick, cross_picks

    if min(args.limit, args.drivers) < 1:
        raise ConfigError("--limit and --drivers must be 1 or more.")
    clips, stills = some_clips(read_items(Path(args.data)), args.group, args.split)
    if args.task == "self":
        picks = [Pick(clip) for clip in spread(clips, args.limit)]
        view = view_of(args)
        view = replace(view, first=max(view.first, 1))
    else:
        picks = cross_picks(spread(stills or clips, args.limit), spread(clips, len(clips)), args.drivers)
        view = view_of(args)
    pipe = _load(args, args.seed or 0)
    drive = args.drive or _usual_drive(pipe)
    maker = Maker(pipe, parse_settings(args.set), drive, view, Path(args.out))
    about = {"data": Path(args.data).name, "split": args.split, "group": args.group, "task": args.task}
    return _make_and_measure(maker, picks, args, view, f"{pipe.spec.name} {pipe.preset}: {args.task}", about, None)


def run_protocol(args: argparse.Namespace) -> int:
    """Check a folder against a protocol, then run the protocol on it."""
    from vivant.metrics.protocols import get_protocol

    protocol = get_protocol(args.name)
    if args.limit is not None and args.limit < 1:
        raise ConfigError("--limit must be 1 or more.")
    items = read_items(Path(args.data), protocol.data)
    problems = protocol.check(items)
    for sentence in problems:
        print(f"incomplete: {sentence}")
    if args.check:
        if not problems:
            print(f"{args.data} is what {protocol.title} tests: {len(protocol.picks(items))} results.")
        return INCOMPLETE if problems else 0
    if problems and not args.partial:
        raise MediaError(f"{args.data} is not what {protocol.title} tests: complete it, or go on with --partial.")
    picks = protocol.picks(items)
    if not picks:
        raise MediaError(f"{args.data} holds nothing that {protocol.title} tests: see what is incomplete above.")
    if args.limit is not None:
        picks = picks[: args.limit]
    about = _about(protocol, problems, args, len(picks))
    if not args.out:
        raise ConfigError("Where results go is not said: give --out.")
    if args.generated:
        subjects = _made_elsewhere(picks, Path(args.generated), Path(args.out), protocol.view)
        return _measure(protocol, picks, subjects, args, about)
    if not args.method:
        raise ConfigError("Nothing is to be measured: give --method, or --generated with clips made elsewhere.")
    pipe = _load(args, protocol.seed if args.seed is None else args.seed)
    values = known_options(pipe, protocol.options) | parse_settings(args.set)
    maker = Maker(pipe, values, args.drive or protocol.drive, protocol.view, Path(args.out))
    title = f"{protocol.title}, {pipe.spec.name} {pipe.preset}"
    return _make_and_measure(maker, picks, args, protocol.view, title, about, protocol)


def _about(protocol: Protocol, problems: Sequence[str], args: argparse.Namespace, count: int) -> dict[str, Any]:
    partial = list(problems) + ([f"Only {count} results."] if args.limit is not None else [])
    return {
        "protocol": f"{protocol.name} version {protocol.version}",
        "data": Path(args.data).name,
        "seed": protocol.seed if args.seed is None else args.seed,
        "driven by": args.drive if args.drive not in (None, protocol.drive) else None,
        "incomplete": " ".join(partial) or None,
    }


def _load(args: argparse.Namespace, seed: int) -> Any:
    from vivant.pipelines.load import load

    gate_of(args)
    check_plots(args)
    return load(args.method, args.weights, args.preset, args.device, args.dtype, seed)


def _usual_drive(pipe: Any) -> Drive:
    able = pipe.spec.capabilities
    if able.driving:
        return "video"
    return "audio" if able.audio else "pose"


def _make_and_measure(
    maker: Maker,
    picks: Sequence[Pick],
    args: argparse.Namespace,
    view: View,
    title: str,
    about: Mapping[str, Any],
    protocol: Protocol | None,
) -> int:
    from vivant.metrics.measure import suited

    check_drive(maker.pipe, maker.drive)
    planned = [subject_of(pick, Path("made"), Path("source")) for pick in picks] + _portraits(picks)
    plan = suited(plan_of(args, view, protocol.metrics if protocol else None), planned)
    gate_of(args, plan)
    subjects = [*maker.make_all(picks), *_portraits(picks)]
    settings = maker.settings()
    speed = {"generated frames a second": round(maker.frames / maker.seconds, 2)} if maker.seconds else {}
    names = ("method", "preset", "weights", "device", "dtype", "seed", "drive")
    told = dict(about) | {name: settings[name] for name in names} | {"set": " ".join(args.set or [])} | speed
    return evaluate(subjects, plan, args, Path(args.out), title, told, maker.failed)


def _measure(
    protocol: Protocol,
    picks: Sequence[Pick],
    subjects: Sequence[Subject],
    args: argparse.Namespace,
    about: Mapping[str, Any],
) -> int:
    from vivant.metrics.measure import suited

    everything = [*subjects, *_portraits(picks)]
    plan = suited(plan_of(args, protocol.view, protocol.metrics), everything)
    known = {subject.id for subject in subjects}
    failed = {pick.id: "there is no generated clip of this name" for pick in picks if pick.id not in known}
    told = dict(about) | {"generated": Path(args.generated).name}
    return evaluate(everything, plan, args, Path(args.out), protocol.title, told, failed)


def _portraits(picks: Sequence[Pick]) -> list[Subject]:
    """Portraits of a cross-reenactment as true pictures, which sets are compared with."""
    from vivant.metrics.subject import Subject

    known = {pick.portrait.id: pick.portrait for pick in picks if pick.portrait is not None}
    return [Subject(f"portrait {name}", true=item.path, person=item.person) for name, item in known.items()]


def _made_elsewhere(picks: Sequence[Pick], folder: Path, out: Path, view: View) -> list[Subject]:
    """Clips of ``folder`` that carry a pick's id; sources of self-reenactments are written beside the results."""
    from vivant.media.video import open_clip
    from vivant.metrics.subject import media_in
    from vivant.pipelines.evaluation.generate import write_first

    made = media_in(folder)
    found = []
    for pick in picks:
        if pick.id not in made:
            continue
        subject = subject_of(pick, made[pick.id], pick.portrait.path if pick.portrait else None)
        if pick.portrait is None:
            source = out / "sources" / f"{subject.key}.png"
            try:
                write_first(open_clip(pick.clip.path, view.fps), source)
            except MediaError:
                source = pick.clip.path  # measuring tells what is wrong with it
            subject = replace(subject, source=source)
        found.append(subject)
    if not found:
        raise MediaError(f"No clip of '{folder}' is named like one of the protocol's, such as '{picks[0].id}'.")
    return found
