"""``vivant evaluate``: how good results are, by metrics and protocols whose definitions are fixed."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple


class Part(NamedTuple):
    """A sub-command: its module in ``vivant.pipelines.evaluation``, the functions in it, and its line in the help."""

    module: str
    declare: str
    run: str
    help: str


PARTS = {
    "pairs": Part("folders", "add_pairs", "run_pairs", "one generated video against its reference"),
    "folders": Part("folders", "add_folders", "run_folders", "a folder of generated videos against one of true ones"),
    "sync": Part("sync", "add_arguments", "run", "whether lips fit the sound, and by how many frames they are apart"),
    "method": Part("run_method", "add_method", "run_method", "run a method on a manifest and measure its results"),
    "protocol": Part("run_method", "add_protocol", "run_protocol", "the protocol of a published table"),
    "reenactment": Part("reenactment", "add_arguments", "run", "self- and cross-reenactment beside baselines"),
    "degradations": Part("degradations", "add_arguments", "run", "spoil true clips and see that metrics notice"),
    "compare": Part("compare", "add_arguments", "run", "earlier runs side by side, with paired differences"),
    "reproductions": Part("reproductions", "add_arguments", "run", "the page of claims and results"),
    "metrics": Part("listing", "add_metrics", "run_metrics", "list every metric with its definition and source"),
    "protocols": Part("listing", "add_protocols", "run_protocols", "list every protocol and what it needs"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands and their options."""
    parts = parser.add_subparsers(dest="what", required=True, metavar="|".join(PARTS))
    for name, part in PARTS.items():
        _function(part, part.declare)(parts.add_parser(name, help=part.help, description=part.help))


def run(args: argparse.Namespace) -> int:
    """Run the sub-command that was asked for.

    Raises:
        MediaError: the folder for results cannot be written.
    """
    if getattr(args, "out", None):
        from vivant.pipelines.inputs import check_folder

        check_folder(args.out)
    part = PARTS[args.what]
    code: int = _function(part, part.run)(args)
    return code


def _function(part: Part, name: str) -> Callable[..., int]:
    found: Callable[..., int] = getattr(import_module(f"vivant.pipelines.evaluation.{part.module}"), name)
    return found
