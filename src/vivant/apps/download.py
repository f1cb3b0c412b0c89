"""``vivant download``: published weights by name; size, licence and SHA-256 are shown before anything is fetched."""

from __future__ import annotations

import argparse
import os
import sys

from vivant.core.errors import ConfigError
from vivant.core.registry import DEFAULT_METHOD


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which weights, and how."""
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"weights by name (default {DEFAULT_METHOD}); see --list"
    )
    parser.add_argument("--method", metavar="NAME", help="the same as NAME, with --preset")
    parser.add_argument("--preset", default="released", metavar="NAME", help="default released")
    parser.add_argument("--list", action="store_true", help="what there is, without asking the hub")
    parser.add_argument("--dry-run", action="store_true", help="show what would be fetched, and leave")
    parser.add_argument("--alone", action="store_true", help="without the other weights that these need")
    parser.add_argument("--yes", "-y", action="store_true", help="do not ask")
    add_gate_arguments(parser)


def add_gate_arguments(parser: argparse._ActionsContainer) -> None:
    """``--offline`` and ``--commercial-only``; :func:`apply_gates` acts on them."""
    parser.add_argument("--offline", action="store_true", help="use only what is on this machine (as HF_HUB_OFFLINE=1)")
    parser.add_argument(
        "--commercial-only", action="store_true",
        help="refuse weights whose licence does not allow commercial use (as VIVANT_COMMERCIAL_ONLY=1)",
    )  # fmt: skip


def apply_gates(args: argparse.Namespace) -> None:
    """Let the whole process obey ``--offline`` and ``--commercial-only``."""
    from vivant.weights.catalogue import COMMERCIAL_ONLY
    from vivant.weights.hub import OFFLINE

    for flag, variable in (("offline", OFFLINE), ("commercial_only", COMMERCIAL_ONLY)):
        if getattr(args, flag, False):
            os.environ[variable] = "1"


def run(args: argparse.Namespace) -> int:
    """Show, ask, fetch, check."""
    apply_gates(args)
    if args.list:
        return _list()
    from vivant.pipelines.published import Order, check_room, orders, size_text
    from vivant.weights.hub import cache_folder, fetch

    found: list[Order] = orders(_names(args), args.commercial_only, not args.alone)
    for order in found:
        print("\n".join(order.lines))
    missing = [file for order in found for file in order.missing]
    total = sum(file.size or 0 for file in missing)
    print(f"{len(missing)} files to download, {size_text(total)}.")
    if args.dry_run:
        return 0
    if missing:
        check_room(missing, cache_folder())
        if not args.yes and not _agreed():
            print("Nothing was downloaded.")
            return 1
    for order in found:
        for file in order.facts.files:
            print(f"{file.sha256 or '-'}  {fetch(order.facts, file)}", flush=True)
    return 0


def _names(args: argparse.Namespace) -> list[str]:
    names = list(args.names)
    if names and not args.method and args.preset != "released":
        raise ConfigError(f"--preset goes with --method: leave it out, or name the weights {names[0]}:{args.preset}.")
    if args.method or not names:
        method = args.method or DEFAULT_METHOD
        names.append(method if args.preset == "released" else f"{method}:{args.preset}")
    return names


def _list() -> int:
    from vivant.pipelines.published import catalogue
    from vivant.weights.catalogue import allows_commerce

    words = {True: "commercial use allowed", False: "no commercial use", None: "licence does not tell"}
    for name, entry in catalogue().items():
        needs = f"; needs {', '.join(entry.needs)}" if entry.needs else ""
        place = entry.repo or "not on the hub"
        print(f"{name:32s}{place}: {entry.licence} ({words[allows_commerce(entry.licence)]}){needs}")
    return 0


def _agreed() -> bool:
    """Whether the person at the terminal says yes; a script has to say --yes."""
    if not sys.stdin.isatty():
        raise ConfigError("Nobody is there to be asked: say --yes to download.")
    return input("Download? [y/N] ").strip().lower() in ("y", "yes")
