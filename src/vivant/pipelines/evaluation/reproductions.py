"""``vivant evaluate reproductions``: the page of claims and results, made from the files in the repository."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from vivant.pipelines.evaluation.listing import END
from vivant.pipelines.marked import replace_between

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vivant.metrics.reproductions import Claim

BEGIN = "<!-- vivant evaluate reproductions -->"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--results", default="docs/results", help="folder with claims.yaml and result files")
    parser.add_argument("--update", metavar="FILE", help="put the text between the marks of a Markdown file")
    parser.add_argument("--draw", action="store_true", help="give results without a picture one of bars, in the folder "
                        "'images' beside theirs (needs the extra 'plots')")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Print the page's text, or renew it in a file."""
    from vivant.metrics.reproductions import read_claims, read_results, reproductions_markdown

    folder = Path(args.results)
    claims = read_claims(folder)
    results = read_results(folder, claims)
    if args.draw:
        draw_missing(folder, claims)
        results = read_results(folder, claims)
    text = reproductions_markdown(claims, results)
    if args.update:
        replace_between(Path(args.update), BEGIN, END, text)
    else:
        print(text)
    return 0


def draw_missing(folder: Path, claims: Sequence[Claim]) -> None:
    """Draw the numbers of results that name no picture, and name it in their files, which were read before.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    from vivant.metrics.plots import draw_numbers, require_plots
    from vivant.metrics.reproductions import panels
    from vivant.metrics.results import write_json

    require_plots()
    known = {claim.id: claim for claim in claims}
    for path in sorted(folder.glob("*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        rows = found if isinstance(found, list) else [found]
        for number, row in enumerate(rows):
            if not row.get("plot"):
                name = path.stem + (f"_{number}" if len(rows) > 1 else "")
                numbers = row["numbers"]
                draw_numbers(panels(known[row["claim"]], numbers), numbers, folder.parent / "images" / f"{name}.png")
                row["plot"] = f"images/{name}.png"
        write_json(path, found)
