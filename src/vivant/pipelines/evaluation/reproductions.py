"""``vivant evaluate reproductions``: the page of claims and results, made from the files in the repository."""

from __future__ import annotations

import argparse
from pathlib import Path

from vivant.pipelines.evaluation.listing import END
from vivant.pipelines.marked import replace_between

BEGIN = "<!-- vivant evaluate reproductions -->"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--results", default="docs/results", help="folder with claims.yaml and result files")
    parser.add_argument("--update", metavar="FILE", help="put the text between the marks of a Markdown file")


def run(args: argparse.Namespace) -> int:
    """Print the page's text, or renew it in a file."""
    from vivant.metrics.reproductions import read_claims, read_results, reproductions_markdown

    folder = Path(args.results)
    claims = read_claims(folder)
    text = reproductions_markdown(claims, read_results(folder, claims))
    if args.update:
        replace_between(Path(args.update), BEGIN, END, text)
    else:
        print(text)
    return 0
