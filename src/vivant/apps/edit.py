"""``vivant edit``: a still changed by sliders."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from vivant.apps.animate import add_source_arguments, asked_method, default_output, report, require_source
from vivant.apps.arguments import (
    OPTION,
    SLIDER,
    STRENGTH,
    add_loading_arguments,
    add_method_arguments,
    collect,
    loading,
)
from vivant.core.registry import get_method


def add_method_options(parser: argparse.ArgumentParser, argv: Sequence[str]) -> None:
    """All arguments of ``vivant edit`` for the method that ``argv`` asks for."""
    spec = get_method(asked_method(argv))
    add_source_arguments(parser)
    add_loading_arguments(parser, spec)
    add_method_arguments(parser, spec)


def run(args: argparse.Namespace) -> int:
    """Edit and print the output's path."""
    from vivant.pipelines.edit import edit

    source = require_source(args)
    output = Path(args.output) if args.output else default_output(source, None, ".png")
    result = edit(
        source,
        output,
        sliders=collect(args, SLIDER),
        strength=collect(args, STRENGTH),
        face=args.face,
        crop_only=args.crop_only,
        match_color=args.match_color,
        overwrite=args.overwrite,
        **loading(args),
        **collect(args, OPTION),
    )
    report(result, output)
    return 0
