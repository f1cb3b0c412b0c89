"""Which framing of the portrait a driven method does best with: clips are made again from their first frames.

    python tools/measure_framing.py STILLS --method megactor-sigma --crops 2.0:-0.06 1.4:-0.02 [--clips CLIPS]

From held-out stills (number 7 modulo 20) the photo rig draws short clips of random motion with much room around the
head; CLIPS are filmed ones. A crop is scale:shift of `CropConfig`. Errors are taken in the whole picture, so that
framings can be compared: PSNR in the boxes of eyes, mouth and face; distance of landmarks, and of the opening of the
lids, in eye distances. Results are printed as one JSON object.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from prepare_lite_data import held_out
from tqdm import tqdm

from vivant.data.synthesis.people import find_stills, read_still
from vivant.data.synthesis.random_motion import random_motion
from vivant.media.video import open_clip
from vivant.media.writer import VideoWriter
from vivant.perception.faces import FaceFinder
from vivant.perception.matte import MatteFinder
from vivant.pipelines.evaluation.generate import shortened
from vivant.pipelines.load import Pipeline, load
from vivant.rig.build import PhotoRig
from vivant.rig.limits import within_reach

SIZE, MOST_TURNED, MOST_RESIDUAL = 320, 12.0, 0.15
EYES = (33, 133, 159, 145, 263, 362, 386, 374)  # of both: corners, then middle of the upper and the lower lid
LIPS = (61, 291, 0, 17)


def rendered(stills: Path, count: int, frames: int, out: Path, finder: FaceFinder) -> list[Path]:
    """Clips of ``count`` held-out stills that the head model fits well."""
    matte, rng, made = MatteFinder(), np.random.default_rng(5), []
    for still in find_stills(stills):
        if len(made) == count:
            break
        faces = finder.find(read_still(still.path)) if held_out(still.id) else []
        if len(faces) != 1:
            continue
        image = read_still(still.path)
        rig = PhotoRig.build(image, faces[0].landmarks, matte.find(image), window="all")
        if abs(rig.shape.placement.angles()[0]) > MOST_TURNED or rig.fit.residual > MOST_RESIDUAL:
            continue
        motion = within_reach(random_motion(rng, "free", frames, Fraction(25)), rig)
        made.append(out / f"{still.id}.mp4")
        with VideoWriter(made[-1], 25, (SIZE, SIZE), quality=8) as writer:
            for frame in rig.render(motion, SIZE, sway=0.0):
                writer.write(frame.image)
    return made


def errors(true: np.ndarray, made: np.ndarray, finder: FaceFinder) -> dict[str, float]:
    """Of one frame: squared errors in boxes, and of landmarks and lids where a face is found again."""
    points = finder.find(true)[0].landmarks[:, :2]
    found, unit = {}, float(np.linalg.norm(points[468] - points[473]))
    for name, chosen, margin in (("eyes", EYES, 0.3), ("mouth", LIPS, 0.3), ("face", range(468), 0.0)):
        area = points[list(chosen)]
        low = np.maximum(np.floor(area.min(0) - margin * unit), 0).astype(int)
        high = np.ceil(area.max(0) + margin * unit).astype(int)
        part = slice(low[1], high[1]), slice(low[0], high[0])
        found[name] = float(np.square(true[part].astype(float) - made[part]).mean())
    again = finder.find(made)
    if again:
        other = again[0].landmarks[:, :2]
        found["landmarks"] = float(np.linalg.norm(points[:468] - other[:468], axis=1).mean() / unit)
        found["lids"] = abs(_opening(points) - _opening(other)) / unit
    return found


def _opening(points: np.ndarray) -> float:
    return float(np.linalg.norm(points[159] - points[145]) + np.linalg.norm(points[386] - points[374])) / 2


def of_clip(pipe: Pipeline, path: Path, frames: int, finder: FaceFinder) -> dict[str, float]:
    """Means over the frames of a clip behind the first one; boxes as PSNR in dB."""
    true = [frame for frame, _ in zip(open_clip(path).frames, range(frames))]
    made = pipe.animate(true[0], shortened(open_clip(path), frames), fps=25).frames
    rows = [errors(a, b, finder) for a, b in list(zip(true, made))[1:]]
    means = {k: float(np.mean([row[k] for row in rows if k in row] or [np.nan])) for k in rows[0] | {"landmarks": 0.0}}
    return {k: 10 * float(np.log10(255**2 / v)) if k in ("eyes", "mouth", "face") else v for k, v in means.items()}


def measure(pipe: Pipeline, clips: Sequence[Path], crop: str, frames: int, finder: FaceFinder) -> dict[str, float]:
    """Means over clips for one framing, ``scale:shift``."""
    scale, shift = (float(part) for part in crop.split(":"))
    view = replace(pipe.config.source_crop, scale=scale, shift_y=shift)
    framed = replace(pipe, config=replace(pipe.config, source_crop=view))
    rows = [of_clip(framed, path, frames, finder) for path in tqdm(clips, desc=crop)]
    return {name: round(float(np.nanmean([row[name] for row in rows])), 3) for name in rows[0]}


def main() -> None:
    """Parse arguments, make the clips, measure every framing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stills", type=Path)
    parser.add_argument("--method", default="megactor-sigma")
    parser.add_argument("--crops", nargs="+", required=True, help="framings, each scale:shift")
    parser.add_argument("--clips", type=Path, nargs="*", default=[], help="filmed clips")
    parser.add_argument("--count", type=int, default=8, help="stills that move")
    parser.add_argument("--frames", type=int, default=13)
    args = parser.parse_args()
    pipe, finder = load(args.method), FaceFinder()
    with tempfile.TemporaryDirectory() as folder:
        sets = {"rendered": rendered(args.stills, args.count, args.frames, Path(folder), finder), "filmed": args.clips}
        found = {
            name: {crop: measure(pipe, clips, crop, args.frames, finder) for crop in args.crops}
            for name, clips in sets.items()
            if clips
        }
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
