"""``vivant export``: a method's nets as ONNX files."""

from __future__ import annotations

import argparse

from vivant.apps.download import add_gate_arguments, apply_gates
from vivant.core.registry import DEFAULT_METHOD


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What is exported, and where to."""
    parser.add_argument("-o", "--output", required=True, metavar="FOLDER", help="a new or empty folder")
    parser.add_argument("--method", default=DEFAULT_METHOD, metavar="NAME", help=f"default {DEFAULT_METHOD}")
    parser.add_argument("--preset", metavar="NAME", help="default the method's own")
    parser.add_argument("--weights", metavar="PATH", help="weights file or folder instead of the preset's own")
    add_gate_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Export, check, and say how large and how exact each file is."""
    apply_gates(args)
    from vivant.pipelines.export import export

    found = export(args.output, args.method, args.preset, args.weights)
    for item in found:
        print(f"{item.path}  {item.size / 1e6:.2f} MB, differs from torch by at most {item.error:.1e}")
    print(f"{sum(item.size for item in found) / 1e6:.1f} MB in {args.output}")
    return 0
