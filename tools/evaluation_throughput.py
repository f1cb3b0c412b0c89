"""How many clips a minute ``vivant evaluate folders`` measures here, and how far devices differ.

    python tools/evaluation_throughput.py --device cuda --workers 8 --clips 32

Copies of the bundled speaker's clip (288 px) are measured against blurred ones with every metric that this machine can
measure; weights of others count only with ``--metric-weights``. With a GPU, one clip is measured on both devices.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import cv2

from vivant.media.video import open_clip
from vivant.media.writer import VideoWriter
from vivant.metrics.measure import Plan, make_plan, measure
from vivant.metrics.nets.published import Store
from vivant.metrics.probes.base import Lab
from vivant.metrics.subject import Subject, pair_folders
from vivant.metrics.suite import run_suite
from vivant.metrics.timing import machine
from vivant.metrics.view import View
from vivant.weights.assets import asset


def write_clips(folder: Path, count: int) -> tuple[Path, Path]:
    """Folders of ``count`` generated and true clips."""
    clip = open_clip(asset("demo/driver.mp4"))
    frames = list(clip.frames)
    for number in range(count):
        for name in ("true", "made"):
            with VideoWriter(folder / name / f"{number:03}.mp4", clip.fps, audio=clip.audio) as writer:
                for frame in frames:
                    writer.write(frame if name == "true" else cv2.GaussianBlur(frame, (0, 0), 1 + 0.01 * number))
    return folder / "made", folder / "true"


def plan_for(args: argparse.Namespace, device: str) -> Plan:
    """Everything that can be measured."""
    given = {"folder": args.metric_weights} if args.metric_weights else {}
    return make_plan(None, View(), Lab(device, args.batch, store=Store(**given)))


def devices_apart(subject: Subject, args: argparse.Namespace) -> dict[str, float]:
    """The largest relative difference of each metric's value and of the features between CPU and ``--device``."""
    first, second = (measure(subject, plan_for(args, device)).findings for device in ("cpu", args.device))
    found = {}
    for name, value in first.values.items():
        if value == value:
            found[name] = abs(second.values[name] - value) / max(abs(value), 1e-3)
    for kind, roles in first.features.items():
        for role, rows in roles.items():
            found[f"features {kind}, {role}"] = float(abs(second.features[kind][role] - rows).max() / abs(rows).max())
    return {name: float(value) for name, value in sorted(found.items(), key=lambda pair: -pair[1])}


def main() -> None:
    """Measure, print, and maybe write a JSON file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--metric-weights", type=Path)
    parser.add_argument("--out", type=Path, help="JSON file for the numbers")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        subjects, _ = pair_folders(*write_clips(Path(folder), args.clips))
        plan = plan_for(args, args.device)
        run = run_suite(subjects, plan, Path(folder) / "run", args.workers)
        report: dict[str, Any] = {
            "machine": machine(args.device),
            "device": args.device,
            "workers": args.workers,
            "clips": run.fresh,
            "frames_a_clip": run.results[0].frames,
            "metrics": list(plan.metrics),
            "seconds": round(run.seconds, 2),
            "clips_per_minute": round(60 * run.fresh / run.seconds, 2),
            "failed": run.failed,
        }
        if args.device != "cpu":
            report["largest_relative_differences_from_cpu"] = dict(list(devices_apart(subjects[0], args).items())[:12])
    print(json.dumps(report, indent=1))
    if args.out:
        args.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
