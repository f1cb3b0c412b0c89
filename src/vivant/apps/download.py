"""``vivant download``: fetch a method's published weights now, so that later runs need no network."""

from __future__ import annotations

import argparse

from vivant.core.errors import ConfigError
from vivant.core.registry import DEFAULT_METHOD, get_method


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which weights."""
    parser.add_argument("--method", default=DEFAULT_METHOD, metavar="NAME", help="method")
    parser.add_argument("--preset", default="released", metavar="NAME", help="default released")


def run(args: argparse.Namespace) -> int:
    """Load the preset once, which downloads and checks its files; print them."""
    spec = get_method(args.method)
    if args.preset not in spec.presets:
        raise ConfigError(f"There is no preset '{args.preset}' of {spec.name}: {', '.join(spec.presets)}.")
    _, _, info = spec.part("weights").load_modules(args.preset)
    for file, digest in info.files.items():
        print(f"{digest}  {file}")
    print(f"Licence: {info.licence}; source: {info.source}")
    return 0
