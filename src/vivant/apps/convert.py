"""``vivant convert``: a method's published files (.pth, .ckpt, .bin) become one safetensors file."""

from __future__ import annotations

import argparse
from pathlib import Path

from vivant.apps.download import add_gate_arguments, apply_gates
from vivant.core.registry import DEFAULT_METHOD


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """From where, whose, to where."""
    parser.add_argument("source", nargs="?", metavar="PATH", help="published file or folder (default: the hub's cache)")
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="result, ends in .safetensors")
    parser.add_argument("--method", default=DEFAULT_METHOD, metavar="NAME", help=f"default {DEFAULT_METHOD}")
    parser.add_argument("--preset", default="released", metavar="NAME", help="default released")
    parser.add_argument("--licence", default="", metavar="TEXT", help="licence to record instead of the stated one")
    parser.add_argument("--half", action="store_true", help="store float16, half the size")
    add_gate_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Convert, and say what was made of what."""
    apply_gates(args)
    from vivant.pipelines.published import convert

    source = Path(args.source) if args.source else None
    made = convert(args.method, args.preset, source, Path(args.output), args.licence, args.half)
    for name, digest in made.hashes.items():
        print(f"{digest}  {name}")
    print(f"{made.sha256}  {made.path} ({made.tensors} tensors; licence: {made.licence})")
    return 0
