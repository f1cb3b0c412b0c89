"""``vivant demo``: see it work, offline."""

from __future__ import annotations

import argparse

from vivant.apps.arguments import positive


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where to write, and what to run it with."""
    parser.add_argument("-o", "--output", default="out/demo.mp4", metavar="FILE", help="default out/demo.mp4")
    parser.add_argument("--preset", metavar="NAME", help="weights preset (default: the bundled ones)")
    parser.add_argument("--device", default="auto", metavar="NAME", help="auto, cpu, cuda, mps")
    parser.add_argument("--frames", type=positive("--frames"), metavar="N", help="only the first N frames")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")


def run(args: argparse.Namespace) -> int:
    """Render the demo and print both paths."""
    from vivant.pipelines.demo import demo

    for path in demo(args.output, args.preset, args.device, args.frames, progress=not args.quiet):
        print(path)
    return 0
