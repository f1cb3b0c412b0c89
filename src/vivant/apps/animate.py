"""``vivant animate``: options to one call of the pipeline."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vivant.apps.aliases import ALIASES, add_aliases
from vivant.apps.arguments import (
    OPTION,
    SLIDER,
    STRENGTH,
    add_loading_arguments,
    add_method_arguments,
    collect,
    loading,
    number,
)
from vivant.apps.batch import add_batch_arguments
from vivant.core.errors import ConfigError
from vivant.core.registry import default_method, get_method

OUT = Path("out")


def asked_method(argv: Sequence[str]) -> str:
    """The method named in ``argv``, or the default for what drives; its options the help and the parser then show."""
    for index, word in enumerate(argv):
        if word == "--method" and index + 1 < len(argv):
            return argv[index + 1]
        if word.startswith("--method="):
            return word.partition("=")[2]
    names = {word.partition("=")[0] for word in argv}
    sound, picture = ({flag, *ALIASES[name], f"--{name}"} for flag, name in (("-a", "audio"), ("-d", "driving")))
    sound.add("--text")
    return default_method(bool(names & sound) and not names & picture)


def add_method_options(parser: argparse.ArgumentParser, argv: Sequence[str]) -> None:
    """All arguments of ``vivant animate`` for the method that ``argv`` asks for."""
    spec = get_method(asked_method(argv))
    add_source_arguments(parser)
    parser.add_argument("-d", "--driving", metavar="PATH", help="video, picture or saved motion that drives")
    parser.add_argument("-a", "--audio", metavar="PATH", help="speech that drives: any audio or video file")
    add_text_arguments(parser)
    parser.add_argument(
        "-k", "--keypoints", metavar="PATH", help="V-Kps (.npy, .safetensors, .pth) or a video to take them from"
    )
    parser.add_argument(
        "--encoder", action="append", default=[], metavar="NAME=PATH",
        help="where a speech encoder's weights lie, if not on the hub; may be given several times",
    )  # fmt: skip
    add_aliases(parser, "driving", "audio", "keypoints")
    parser.add_argument("--driving-face", default="largest", metavar="WHICH", help="largest or an index")
    parser.add_argument("--fps", metavar="RATE", help="frames per second, 25 or 30000/1001 (default the driver's)")
    parser.add_argument(
        "--neutral-frame", dest="reference", default="first", metavar="FRAME",
        help="the driver's neutral frame: first, auto (frontal, lips closed) or its number from 0",
    )  # fmt: skip
    parser.add_argument("--steady-eyes", action="store_true", help="keep the eyes of a source video open")
    parser.add_argument("--side-by-side", action="store_true", help="show source, driver and result in a row")
    parser.add_argument("--save-motion", metavar="FILE", help="keep the driver's motion as .safetensors")
    parser.add_argument(
        "--quality", default=18, type=number(int, "--quality"), metavar="N",
        help="0 (best, largest) to 51 (default 18)",
    )  # fmt: skip
    add_batch_arguments(parser)
    add_loading_arguments(parser, spec)
    add_method_arguments(parser, spec)


def add_text_arguments(parser: argparse.ArgumentParser) -> None:
    """Text that is spoken, instead of sound; shared with ``vivant stream``."""
    parser.add_argument("--text", metavar="WORDS", help="what the portrait says, spoken by a text-to-speech engine")
    parser.add_argument("--voice", default="", metavar="NAME", help="engine or engine:voice, as hibari or flite:slt")
    parser.add_argument("--language", default="", metavar="CODE", help="of the text, as de or pt-br (needs espeak-ng)")


def add_source_arguments(parser: argparse.ArgumentParser) -> None:
    """Source, output and how the result is shown; shared with ``vivant edit``."""
    parser.add_argument("-s", "--source", metavar="PATH", help="portrait: picture or video")
    parser.add_argument("-o", "--output", metavar="FILE", help="result (default in the folder out/)")
    parser.add_argument("--face", default="largest", metavar="WHICH", help="largest, all, or an index, 0 the largest")
    parser.add_argument("--crop-only", action="store_true", help="only the generated square, not the picture")
    parser.add_argument("--match-color", action="store_true", help="match the colours of crop and picture")
    parser.add_argument("--overwrite", default=True, action=argparse.BooleanOptionalAction, help="replace the output")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    add_aliases(parser, "source", "output", "crop_only")


def require_source(args: argparse.Namespace) -> str:
    """The source's path.

    Raises:
        ConfigError: none was given.
    """
    if not args.source:
        raise ConfigError("There is no portrait: give one with -s, for example vivant animate -s face.jpg.")
    return str(args.source)


def default_output(source: str, driving: str | None, suffix: str) -> Path:
    """``out/source--driving.mp4`` in the current folder."""
    names = [Path(source).stem] + ([Path(driving).stem] if driving else ["edited"])
    return OUT / ("--".join(names) + suffix)


def run(args: argparse.Namespace) -> int:
    """Animate, or edit when only sliders are given; prints the output's path."""
    if args.batch is not None:
        from vivant.apps.batch import run as run_list

        return run_list(args)
    source = require_source(args)
    sliders = collect(args, SLIDER)
    driven = any(value is not None for value in (args.driving, args.audio, args.text, args.keypoints))
    if sliders and not driven and args.save_motion is None:  # animate() says that there is no motion to keep
        from vivant.apps.edit import run as run_edit

        return run_edit(args)
    from vivant.pipelines.animate import animate
    from vivant.pipelines.controls import encoder_paths

    drives = args.driving or args.audio or args.keypoints or (args.text and "text")
    output = Path(args.output) if args.output else default_output(source, drives, ".mp4")
    result = animate(
        source,
        args.driving,
        output,
        audio=args.audio,
        text=args.text,
        voice=args.voice,
        language=args.language,
        keypoints=args.keypoints,
        encoders=encoder_paths(args.encoder),
        fps=args.fps,
        face=args.face,
        driving_face=args.driving_face,
        sliders=sliders,
        strength=collect(args, STRENGTH),
        crop_only=args.crop_only,
        side_by_side=args.side_by_side,
        match_color=args.match_color,
        quality=args.quality,
        overwrite=args.overwrite,
        progress=not args.quiet,
        save_motion=args.save_motion,
        reference=int(args.reference) if args.reference.isdecimal() else args.reference,
        steady_eyes=args.steady_eyes,
        **loading(args),
        **collect(args, OPTION),
    )
    report(result, output)
    return 0


def report(result: Any, output: Path) -> None:
    """Warnings to stderr, the path to stdout."""
    for text in result.warnings:
        print(f"vivant: warning: {text}", file=sys.stderr)
    print(output)
