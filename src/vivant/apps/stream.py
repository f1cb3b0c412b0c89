"""``vivant stream``: frames as they come, into a pipe, a folder of pictures or a video."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from vivant.apps.aliases import add_aliases
from vivant.apps.animate import add_text_arguments, asked_method, require_source
from vivant.apps.arguments import (
    OPTION,
    SLIDER,
    STRENGTH,
    add_loading_arguments,
    add_method_arguments,
    collect,
    loading,
    positive,
)
from vivant.core.errors import ConfigError
from vivant.core.registry import get_method


def add_method_options(parser: argparse.ArgumentParser, argv: Sequence[str]) -> None:
    """All arguments of ``vivant stream`` for the method that ``argv`` asks for."""
    spec = get_method(asked_method(argv))
    parser.add_argument("-s", "--source", metavar="PATH", help="portrait: a picture")
    parser.add_argument("-d", "--driving", metavar="PATH", help="video file, or the number of a camera")
    parser.add_argument(
        "-a", "--audio", metavar="PATH",
        help="speech that drives: an audio or video file, or - for raw sound on stdin (16 bits, mono)",
    )  # fmt: skip
    add_text_arguments(parser)
    parser.add_argument(
        "--rate", default=16_000, type=positive("--rate"), metavar="HZ", help="of raw sound on stdin (default 16000)"
    )
    parser.add_argument(
        "--live", default=None, action=argparse.BooleanOptionalAction,
        help="leave out pictures that would be late (default: for sound on stdin)",
    )  # fmt: skip
    parser.add_argument(
        "-o", "--output", default="-", metavar="WHERE",
        help="- for raw rgb24 frames on stdout (default), a folder/ for PNG files, or a video file",
    )  # fmt: skip
    parser.add_argument("--face", default="largest", metavar="WHICH", help="largest, all, or an index")
    parser.add_argument("--crop-only", action="store_true", help="only the generated square, not the picture")
    parser.add_argument("--frames", type=positive("--frames"), metavar="N", help="stop after N frames")
    add_aliases(parser, "source", "driving", "audio", "output", "crop_only")
    add_loading_arguments(parser, spec)
    add_method_arguments(parser, spec)


def run(args: argparse.Namespace) -> int:
    """Stream until the driver ends, N frames are made or Ctrl-C is pressed."""
    from vivant.pipelines.controls import as_sound
    from vivant.pipelines.inputs import check_output
    from vivant.pipelines.load import load
    from vivant.pipelines.say import said, saying_of

    source = require_source(args)
    sound = said(saying_of(args.text, args.voice, args.language), args.audio, args.seed)
    if args.driving is None and sound is None:
        raise ConfigError("Nothing drives the portrait: give a video or a camera's number with -d, or sound with -a.")
    if not _is_folder(args.output) and args.output != "-":
        check_output(args.output, inputs=(source, args.driving, args.audio))
    pipe = load(**loading(args))
    piped = args.audio == "-"
    frames = pipe.stream(
        source,
        None if args.driving is None else _driver(args.driving),
        audio=_standard_input() if piped else sound,
        live=piped if args.live is None else args.live,
        rate=int(args.rate),
        face=args.face,
        sliders=collect(args, SLIDER),
        strength=collect(args, STRENGTH),
        crop_only=args.crop_only,
        **collect(args, OPTION),
    )
    if sound is None:
        _deliver(islice(frames, args.frames), args.output, _rate_of(args.driving))
    else:
        heard = None if piped else as_sound(sound, "audio")
        _deliver(islice(frames, args.frames), args.output, Fraction(pipe.config.fps), heard)
    return 0


def _standard_input() -> Iterator[np.ndarray]:
    from vivant.pipelines.speak_live import pcm_blocks

    return pcm_blocks(sys.stdin.buffer)


def _rate_of(driving: str) -> Fraction:
    """Frames per second of what drives."""
    from vivant.media.video import open_clip
    from vivant.pipelines.inputs import DEFAULT_FPS

    camera = driving.isdecimal() and not Path(driving).exists()
    return DEFAULT_FPS if camera else open_clip(driving).fps


def _driver(text: str) -> Any:
    from vivant.pipelines.stream import camera_frames

    return camera_frames(int(text)) if text.isdecimal() and not Path(text).exists() else text


def _deliver(frames: Iterator[np.ndarray], where: str, fps: Fraction, sound: Any = None) -> None:
    if where == "-":
        _to_pipe(frames, sys.stdout.buffer)
    elif _is_folder(where):
        _to_folder(frames, Path(where))
    else:
        _to_video(frames, Path(where), fps, sound)


def _is_folder(where: str) -> bool:
    return where.endswith("/") or Path(where).is_dir()


def _to_pipe(frames: Iterator[np.ndarray], pipe: BinaryIO) -> None:
    """Raw rgb24; the size goes to stderr in the words that players take."""
    for index, frame in enumerate(frames):
        if index == 0:
            height, width = frame.shape[:2]
            print(f"vivant: rawvideo rgb24 {width}x{height}", file=sys.stderr)
        pipe.write(frame.tobytes())
        pipe.flush()


def _to_folder(frames: Iterator[np.ndarray], folder: Path) -> None:
    from vivant.media.image import write_image

    for index, frame in enumerate(frames):
        write_image(folder / f"{index:06d}.png", frame)
    print(folder)


def _to_video(frames: Iterator[np.ndarray], target: Path, fps: Fraction, sound: Any) -> None:
    from vivant.media.writer import VideoWriter

    with VideoWriter(target, fps, audio=sound) as writer:
        for frame in frames:
            writer.write(frame)
    print(target)
