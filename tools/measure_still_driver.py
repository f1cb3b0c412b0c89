"""How quietly LivePortrait's `lite` stands when the driver does not move.

    python tools/measure_still_driver.py STILLS OUT CLIP [CLIP ...]

The first frame of each CLIP is repeated for two seconds under a camera's noise (Gaussian, another one in every frame)
and encoded as H.264; that clip drives the held-out portraits of STILLS. Prints a Markdown table: of the driver and of
each result the metric `jitter` (second difference), the mean step of a landmark from frame to frame, and the wobble of
scale, all in percent of the face's size. OUT keeps drivers and results.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from prepare_lite_data import held_out
from tqdm import tqdm

from vivant.media.video import open_clip
from vivant.media.writer import VideoWriter
from vivant.metrics.measure import Plan, make_plan, measure
from vivant.metrics.motion import jitter
from vivant.metrics.probes.base import Lab
from vivant.metrics.subject import Subject
from vivant.metrics.view import View
from vivant.metrics.warp import similarity
from vivant.perception.tracking import follow
from vivant.pipelines.load import load

FPS = 25


def write_driver(clip: Path, out: Path, seconds: float, noise: float) -> Path:
    """One repeated frame with noise of ``noise`` levels, as H.264 of the writer's usual quality."""
    picture = next(iter(open_clip(clip).frames))
    rng = np.random.default_rng(0)
    with VideoWriter(out, FPS) as writer:
        for _ in range(round(seconds * FPS)):
            noisy = picture + rng.normal(0, noise, picture.shape)
            writer.write(np.clip(noisy, 0, 255).round().astype(np.uint8))
    return out


def look(path: Path, plan: Plan) -> tuple[float, float, float]:
    """Metric `jitter`, mean step from frame to frame, and standard deviation of scale, in percent of face size."""
    bent = measure(Subject(path.stem, made=path), plan).findings.values["jitter"]
    faces = follow(open_clip(path).frames)
    seen = [face.landmarks if face is not None else None for face in faces]
    known = [points for points in seen if points is not None]
    scales = [similarity(known[0][:, :2], points[:, :2])[0] for points in known]
    return bent, jitter(seen), float(100 * np.std(scales))


def main() -> None:
    """Make the drivers, animate, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("stills", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--limit", type=int, default=3, help="held-out stills (default: 3)")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--noise", type=float, default=2.0, help="standard deviation in levels of 255 (default: 2)")
    parser.add_argument("--dtype", default="fp32")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    stills = [path for path in sorted(args.stills.glob("*.jpg")) if held_out(path.stem)][: args.limit]
    pipe = load(preset="lite", dtype=args.dtype, device="cpu")
    plan = make_plan(["jitter"], View(), Lab())
    print("| driver | clip | `jitter`, % | step, % | scale, % |\n|---|---|---|---|---|")
    for clip in tqdm(args.clips, desc="drivers", file=sys.stderr):
        driver = write_driver(clip, args.out / f"{clip.stem}_held.mp4", args.seconds, args.noise)
        rows = [("the driver itself", driver)]
        for still in stills:
            result = args.out / f"{clip.stem}_{still.stem}.mp4"
            pipe.animate(still, driver).save(result)
            rows.append((still.stem, result))
        for name, path in rows:
            print(f"| {clip.stem} | {name} | " + " | ".join(f"{value:.3f}" for value in look(path, plan)) + " |")


if __name__ == "__main__":
    main()
