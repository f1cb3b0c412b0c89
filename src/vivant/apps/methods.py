"""``vivant methods``: every method in the registry, what it takes, its presets and their weights'
licences."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path

from vivant.core.registry import all_methods
from vivant.core.spec import MethodSpec
from vivant.pipelines.marked import replace_between

HEADER = ("method", "paper", "takes", "does", "presets (default first)", "weights and their licence")
BEGIN, END = "<!-- vivant methods --markdown -->", "<!-- end -->"
INPUTS = ("driving", "audio", "keypoints", "pose", "sliders")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How the table is printed."""
    parser.add_argument("--markdown", action="store_true", help="as the table in the README")
    parser.add_argument("--update", metavar="FILE", help="put that table between the marks of a Markdown file")


def run(args: argparse.Namespace) -> int:
    """Print the table, or write it into a file."""
    if args.update:
        update(Path(args.update))
        return 0
    print(markdown_table() if args.markdown else text_table())
    return 0


def rows() -> list[tuple[str, ...]]:
    """One row a method, in the order of ``HEADER``."""
    return [_row(spec) for spec in all_methods().values()]


def markdown_table() -> str:
    """The table that the README shows."""
    lines = [HEADER, tuple("---" for _ in HEADER), *rows()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def update(path: Path) -> None:
    """Replace what stands between ``BEGIN`` and ``END`` in a Markdown file by the table.

    Raises:
        ConfigError: there is no such file, or it has no such marks.
    """
    replace_between(path, BEGIN, END, f"{markdown_table()}\n")


def text_table() -> str:
    """One block a method, for a terminal."""
    blocks = []
    for spec, row in zip(all_methods().values(), rows()):
        lines = [f"{spec.name}: {spec.summary}"]
        lines += [f"  {head:28s}{cell}" for head, cell in zip(HEADER[1:], row[1:])]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def _row(spec: MethodSpec) -> tuple[str, ...]:
    able = {item.name for item in fields(spec.capabilities) if getattr(spec.capabilities, item.name)}
    takes = [name for name in INPUTS if name in able]
    does = [name for name in ("streams", "trainable") if name in able]
    others = [name for name in spec.presets if name != spec.default_preset]
    presets = ", ".join([spec.default_preset, *others])
    return spec.name, spec.paper, ", ".join(takes), ", ".join(does), presets, "; ".join(_licences(spec))


def _licences(spec: MethodSpec) -> list[str]:
    """Licence of each preset's weights and where they are."""
    from vivant.pipelines.catalog import offers

    return [f"{offer.preset}: {', '.join(filter(None, (offer.licence, offer.place)))}" for offer in offers(spec)]
