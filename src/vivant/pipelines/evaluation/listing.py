"""``vivant evaluate metrics``: every metric with its definition."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from vivant.pipelines.marked import replace_between

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


PROTOCOLS_BEGIN = "<!-- vivant evaluate protocols --markdown -->"


def add_protocols(parser: argparse.ArgumentParser) -> None:
    """Options of ``protocols``."""
    parser.add_argument("--markdown", action="store_true", help="as in docs/protocols.md")
    parser.add_argument("--update", metavar="FILE", help="put that text between the marks of a Markdown file")


def run_protocols(args: argparse.Namespace) -> int:
    """Print the protocols, or renew the text of a file."""
    from vivant.metrics.protocols import all_protocols

    if args.update:
        replace_between(Path(args.update), PROTOCOLS_BEGIN, END, protocols_markdown())
    elif args.markdown:
        print(protocols_markdown())
    else:
        for protocol in all_protocols().values():
            print(f"{protocol.name}: {protocol.title} ({protocol.paper})")
    return 0


def protocols_markdown() -> str:
    """Every protocol: what it needs, what the paper says, what is fixed here."""
    from vivant.metrics.protocols import all_protocols

    return "\n".join(_protocol_markdown(protocol) for protocol in all_protocols().values())


def _protocol_markdown(protocol: Any) -> str:
    from vivant.metrics.view import view_text

    data = [f"  - `{part.name}`: {part.what}{_amount(part)}" for part in protocol.data]
    lines = [
        f"## `{protocol.name}`",
        "",
        f"{protocol.title}. {protocol.paper}. Version {protocol.version}, seed {protocol.seed}.",
        "",
        "- Data:",
        *data,
        f"- Task: {'the first frame of each clip' if protocol.task == 'self' else 'stills'} driven by "
        f"{_DRIVES[protocol.drive]}; {view_text(protocol.view)}.",
        f"- The paper: {'; '.join(protocol.stated)}.",
        f"- Fixed here: {'; '.join(protocol.chosen)}.",
        f"- Metrics: {', '.join(f'`{name}`' for name in protocol.metrics)}.",
    ]
    return "\n".join(lines) + "\n"


_DRIVES = {"video": "a video", "audio": "speech", "both": "video and speech", "pose": "the poses of a video"}


def _amount(part: Any) -> str:
    words = []
    if part.expected is not None:
        words.append(f"{part.expected} {part.kind}s{' drawn at random' if part.draw else ''}")
    if part.people is not None:
        words.append(f"of {len(part.people)} persons ({', '.join(part.people)})")
    if part.each is not None:
        words.append(f"{part.each} of each person or word")
    if part.held_out is not None:
        words.append(f"{part.held_out:.0%} of the persons")
    return f"; {', '.join(words)}" if words else ""
