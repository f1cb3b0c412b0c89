"""``vivant evaluate compare``: several runs side by side, and how sure their differences are."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "runs", nargs="+", help="folders of earlier runs, the first one is what others are compared with"
    )
    parser.add_argument("--names", help="names of the columns, separated by commas (default: the folders')")
    parser.add_argument("--out", required=True, help="folder for compare.md, compare.tex and compare.json")


def run(args: argparse.Namespace) -> int:
    """Write the tables and print the Markdown."""
    from vivant.core.errors import ConfigError
    from vivant.metrics.compare import compare_markdown, compare_tex, differences, read_run
    from vivant.metrics.results import write_json

    folders = [Path(run) for run in args.runs]
    names = args.names.split(",") if args.names else [folder.name or str(folder) for folder in folders]
    if len(folders) < 2 or len(names) != len(folders) or len(set(names)) < len(names):
        raise ConfigError("Two or more runs are compared, each with a name of its own: check --names.")
    runs = {name: read_run(folder) for name, folder in zip(names, folders)}
    text = compare_markdown(runs)
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    (out / "compare.md").write_text(text, encoding="utf-8")
    (out / "compare.tex").write_text(compare_tex(runs), encoding="utf-8")
    write_json(out / "compare.json", differences(runs))
    print(text)
    return 0
