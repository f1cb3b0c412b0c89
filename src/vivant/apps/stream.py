"""``vivant stream``: frames as they come, into a pipe, a folder of pictures or a video."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from vivant.apps.aliases import add_aliases
from vivant.apps.animate import asked_method, require_source
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
        "-o", "--output", default="-", metavar="WHERE",
        help="- for raw rgb24 frames on stdout (default), a folder/ for PNG files, or a video file",
    )  # fmt: skip
    parser.add_argument("--face", default="largest", metavar="WHICH", help="largest, all, or an index")
    parser.add_argument("--crop-only", action="store_true", help="only the generated square, not the picture")
    parser.add_argument("--frames", type=positive("--frames"), metavar="N", help="stop after N frames")
    add_aliases(parser, "source", "driving", "output", "crop_only")
    add_loading_arguments(parser, spec)
    add_method_arguments(parser, spec)


def run(args: argparse.Namespace) -> int:
    """Stream until the driver ends, N frames are made or Ctrl-C is pressed."""
    from vivant.pipelines.inputs import check_output
    from vivant.pipelines.load import load

    source = require_source(args)
    if args.driving is None:
        raise ConfigError("Nothing drives the portrait: give a video or a camera's number with -d.")
    if not _is_folder(args.output) and args.output != "-":
        check_output(args.output, inputs=(source, args.driving))
    pipe = load(**loading(args))
    frames = pipe.stream(
        source,
        _driver(args.driving),
        face=args.face,
        sliders=collect(args, SLIDER),
        strength=collect(args, STRENGTH),
        crop_only=args.crop_only,
        **collect(args, OPTION),
    )
    _deliver(islice(frames, args.frames), args.output, args.driving)
    return 0


def _driver(text: str) -> Any:
    from vivant.pipelines.stream import camera_frames

    return camera_frames(int(text)) if text.isdecimal() and not Path(text).exists() else text


def _deliver(frames: Iterator[np.ndarray], where: str, driving: str) -> None:
    if where == "-":
        _to_pipe(frames, sys.stdout.buffer)
    elif _is_folder(where):
        _to_folder(frames, Path(where))
    else:
        _to_video(frames, Path(where), driving)


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


def _to_video(frames: Iterator[np.ndarray], target: Path, driving: str) -> None:
    from vivant.media.video import open_clip
    from vivant.media.writer import VideoWriter
    from vivant.pipelines.inputs import DEFAULT_FPS

    camera = driving.isdecimal() and not Path(driving).exists()
    fps = DEFAULT_FPS if camera else open_clip(driving).fps
    with VideoWriter(target, fps) as writer:
        for frame in frames:
            writer.write(frame)
    print(target)
