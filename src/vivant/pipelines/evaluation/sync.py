"""``vivant evaluate sync``: do the lips of videos fit their sound?"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vivant.core.errors import ConfigError, VivantError

if TYPE_CHECKING:
    from vivant.metrics.sync import SyncResult
    from vivant.metrics.sync_scorer import SyncScorer


@dataclass(frozen=True)
class Scored:
    """One video under one scorer: its result, or why there is none."""

    video: str
    result: SyncResult | None
    problem: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``vivant evaluate sync``."""
    parser.add_argument("videos", nargs="+", help="videos with sound")
    parser.add_argument("--audio", help="sound to compare with instead of the video's own (one video only)")
    parser.add_argument(
        "--scorer", choices=("lite", "published", "both"), default="lite",
        help="lite: our own bundled net; published: SyncNet, fetched from the hub (default: lite)",
    )  # fmt: skip
    parser.add_argument("--sync-weights", help="file of the scorer's weights instead of its own")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", help="folder for sync.json and sync.md")


def run(args: argparse.Namespace) -> int:
    """Score the videos and print a table; returns 1 if some videos could not be scored.

    Raises:
        VivantError: no video could be scored.
    """
    from vivant.metrics.results import write_json
    from vivant.metrics.sync_scorer import KINDS, sync_scorer
    from vivant.pipelines.devices import pick_device

    if args.audio and len(args.videos) > 1:
        raise ConfigError("--audio goes with one video: score the others in runs of their own.")
    if args.sync_weights and args.scorer == "both":
        raise ConfigError("--sync-weights goes with one scorer: choose --scorer lite or --scorer published.")
    kinds = KINDS if args.scorer == "both" else (args.scorer,)
    device = pick_device(args.device)
    scorers = [sync_scorer(kind, args.sync_weights, device) for kind in kinds]
    tables = [(scorer, [score_file(scorer, video, args.audio, len(args.videos)) for video in args.videos])
              for scorer in scorers]  # fmt: skip
    text = "\n".join(sync_markdown(scorer, rows) for scorer, rows in tables)
    if args.out:
        out = Path(args.out)
        out.mkdir(parents=True, exist_ok=True)
        write_json(out / "sync.json", [sync_values(scorer, rows) for scorer, rows in tables])
        (out / "sync.md").write_text(text, encoding="utf-8")
    print(text)
    return int(any(row.result is None for _, rows in tables for row in rows))


def score_file(scorer: SyncScorer, video: str, audio: str | None, videos: int) -> Scored:
    """One video; of several, one that cannot be scored is noted and does not stop the others."""
    from vivant.media.audio import FileAudio
    from vivant.media.video import open_clip
    from vivant.metrics.sync import FPS

    try:
        sound = FileAudio.open(audio) if audio else None
        if audio and sound is None:
            raise ConfigError(f"'{audio}' has no sound: give another file.")
        return Scored(video, scorer.score(open_clip(video, FPS), sound))
    except VivantError as error:
        if videos == 1:
            raise
        return Scored(video, None, str(error))


def sync_markdown(scorer: SyncScorer, rows: list[Scored]) -> str:
    """A Markdown table with the mean of the scored videos, and what the numbers depend on."""
    from vivant.metrics.sync import mean_confidence
    from vivant.metrics.tables import plain_cell

    lines = [f"| video | {scorer.confidence_name} | {scorer.distance_name} | offset (frames) | windows |"]
    lines.append("|---|---|---|---|---|")
    for row in rows:
        result = row.result
        cells = ("-", "-", "-", plain_cell(row.problem)) if result is None else (
            f"{result.confidence:.3f}", f"{result.distance:.3f}", f"{result.offset:+d}", str(result.windows)
        )  # fmt: skip
        lines.append(f"| {' | '.join((plain_cell(Path(row.video).name), *cells))} |")
    good = [row.result for row in rows if row.result is not None]
    if len(good) > 1:
        confidence, distance = mean_confidence(good)
        lines.append(f"| mean of {len(good)} | {confidence:.3f} | {distance:.3f} | | |")
    return "\n".join([*lines, "", f"{scorer.protocol}; weights {scorer.weights[:12]}.", ""])


def sync_values(scorer: SyncScorer, rows: list[Scored]) -> dict[str, Any]:
    """The same for machines."""
    return {
        "scorer": scorer.kind, "protocol": scorer.protocol, "weights": scorer.weights,
        "videos": [_values(scorer, row) for row in rows],
    }  # fmt: skip


def _values(scorer: SyncScorer, row: Scored) -> dict[str, Any]:
    result = row.result
    if result is None:
        return {"video": row.video, "problem": row.problem}
    return {
        "video": row.video,
        scorer.confidence_name: result.confidence,
        scorer.distance_name: result.distance,
        "offset": result.offset,
        "windows": result.windows,
        "curve": [round(float(value), 5) for value in result.curve],
    }
