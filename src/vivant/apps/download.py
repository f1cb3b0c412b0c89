"""``vivant download``: fetch a method's published weights now, so that later runs need no network."""

from __future__ import annotations

import argparse

from vivant.core.registry import DEFAULT_METHOD


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which weights."""
    parser.add_argument("--method", default=DEFAULT_METHOD, metavar="NAME", help="method")
    parser.add_argument("--preset", default="released", metavar="NAME", help="default released")


def run(args: argparse.Namespace) -> int:
    """Load the preset once, which downloads and checks its files; print them."""
    from vivant.pipelines.catalog import fetch

    info = fetch(args.method, args.preset)
    for file, digest in info.files.items():
        print(f"{digest}  {file}")
    print(f"Licence: {info.licence}; source: {info.source}")
    return 0
