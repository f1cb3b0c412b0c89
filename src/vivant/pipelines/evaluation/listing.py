"""``vivant evaluate metrics``: every metric with its definition."""

from __future__ import annotations

import argparse
from pathlib import Path

BEGIN, END = "<!-- vivant evaluate metrics --markdown -->", "<!-- end -->"


def add_metrics(parser: argparse.ArgumentParser) -> None:
    """Options of ``metrics``."""
    parser.add_argument("--markdown", action="store_true", help="as the table of docs/metrics.md")
    parser.add_argument("--update", metavar="FILE", help="put that table between the marks of a Markdown file")


def run_metrics(args: argparse.Namespace) -> int:
    """Print the metrics, or renew the table of a file."""
    from vivant.metrics.metric import metrics_markdown

    if args.update:
        replace_between(Path(args.update), BEGIN, END, metrics_markdown())
    else:
        print(metrics_markdown() if args.markdown else metrics_text())
    return 0


def metrics_text() -> str:
    """One block a metric, for a terminal."""
    from vivant.metrics.metric import all_metrics, span_text

    blocks = []
    for metric in all_metrics().values():
        needs = ", ".join([*metric.needs, *(f"weights {name}" for name in metric.weights)]) or "one video"
        blocks.append(
            f"{metric.name}: {metric.heading} ({span_text(metric)}, {metric.better}; needs {needs}; "
            f"version {metric.version})\n  {metric.definition}\n  {metric.source}"
        )
    return "\n".join(blocks)


def replace_between(path: Path, begin: str, end: str, text: str) -> None:
    """Replace what stands between two marks of a file.

    Raises:
        ConfigError: there is no such file, or it has no such marks.
    """
    from vivant.core.errors import ConfigError

    if not path.is_file():
        raise ConfigError(f"There is no file '{path}': check the path.")
    before, first, rest = path.read_text(encoding="utf-8").partition(begin)
    _, second, after = rest.partition(end)
    if not first or not second:
        raise ConfigError(f"'{path}' has no lines '{begin}' and '{end}': add them where the table belongs.")
    path.write_text(f"{before}{begin}\n{text}{end}{after}", encoding="utf-8")
