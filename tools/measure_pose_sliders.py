"""How far LivePortrait's `lite` turns heads when the sliders pitch, yaw and roll ask for it.

    python tools/measure_pose_sliders.py STILLS OUT [--stills 12]

STILLS: folder of portraits (those whose number is 7 modulo 20 are held out of training and are used). Every still is
edited by one slider at a time; our tracker reads the result and the same still without a slider. Prints Markdown: asked
against seen degrees, how far the other two angles move, mouth opening, and the dlib identity distance to the still. OUT
receives the numbers of every still (``pose_sliders.npz``) and a picture of the first ones (``sheet.png``).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from prepare_lite_data import held_out
from tqdm import tqdm

from vivant.metrics.identity import embeddings
from vivant.metrics.motion import mouth_opening
from vivant.perception.faces import FaceFinder
from vivant.perception.pose import head_pose
from vivant.pipelines.load import Pipeline, load

ANGLES = ("pitch", "yaw", "roll")
ASKED = {
    "pitch": (-15, -10, -5, 5, 10, 15),
    "yaw": (-25, -20, -15, -10, -5, 5, 10, 15, 20, 25),
    "roll": (-15, -10, -5, 5, 10, 15),
}
"""Degrees that are asked, as far as the sliders go."""
USUAL = 15
"""Gains are fitted up to this angle."""
SHOWN = {"pitch": (-15, 15), "yaw": (-25, -15, 15, 25), "roll": (15,)}
SHEET_ROWS = 8
PLAN = tuple((name, degrees) for name in ANGLES for degrees in ASKED[name])


def read(image: np.ndarray, finder: FaceFinder, person: np.ndarray | None) -> np.ndarray | None:
    """Pitch, yaw, roll, mouth opening and the distance to the embedding ``person`` (NaN if None), (5,); None without a
    face."""
    faces = finder.find(image)
    if not faces:
        return None
    points = faces[0].landmarks
    pose = head_pose(points)
    own = np.nan if person is None else np.linalg.norm(embeddings([image], [points])[0] - person)
    return np.array([pose.pitch, pose.yaw, pose.roll, mouth_opening(points), own], np.float64)


def sweep(pipe: Pipeline, finder: FaceFinder, still: Path) -> tuple[np.ndarray, list[np.ndarray]] | None:
    """(1 + len(PLAN), 5) readings, the first without a slider, and the pictures; None if one shows no face."""
    from vivant.media.image import read_image

    portrait = read_image(still)
    faces = finder.find(portrait)
    if not faces:
        return None
    person = embeddings([portrait], [faces[0].landmarks])[0]
    wishes: list[dict[str, float]] = [{}, *({name: float(degrees)} for name, degrees in PLAN)]
    pictures = [pipe.edit(still, sliders=wish, crop_only=True) for wish in wishes]
    rows = [row for picture in pictures if (row := read(picture, finder, person)) is not None]
    return (np.stack(rows), pictures) if len(rows) == len(pictures) else None


def gains(changes: np.ndarray) -> dict[str, np.ndarray]:
    """Slider -> (3,) slopes through zero of the seen pitch, yaw and roll over the asked angle up to :data:`USUAL`;
    ``changes`` (N, len(PLAN), 5) since the picture without a slider."""
    found = {}
    for name in ANGLES:
        rows = [i for i, (slider, degrees) in enumerate(PLAN) if slider == name and abs(degrees) <= USUAL]
        asked = np.array([PLAN[i][1] for i in rows], np.float64)
        found[name] = np.einsum("f,nfa->a", asked, changes[:, rows, :3]) / (len(changes) * (asked**2).sum())
    return found


def table(readings: np.ndarray) -> str:
    """Markdown of (N, 1 + len(PLAN), 5) readings, means over stills."""
    changes = readings[:, 1:] - readings[:, :1]
    lines = [
        "| slider | asked | seen, mean (deviation) | other two angles, mean size | mouth opening, change | identity |",
        "|---|---|---|---|---|---|",
    ]
    for i, (name, degrees) in enumerate(PLAN):
        own = ANGLES.index(name)
        seen, other = changes[:, i, own], np.abs(np.delete(changes[:, i, :3], own, 1)).mean()
        mouth, person = changes[:, i, 3].mean(), readings[:, 1 + i, 4].mean()
        lines.append(
            f"| `{name}` | {degrees} | {seen.mean():.1f} ({seen.std():.1f}) | {other:.1f} | {mouth:+.3f} "
            f"| {person:.3f} |"
        )
    lines.append(f"| none | | | | | {readings[:, 0, 4].mean():.3f} |")
    told = (f"`{name}` {', '.join(f'{value:.2f}' for value in row)}" for name, row in gains(changes).items())
    return "\n".join([*lines, "", f"Gain of pitch, yaw, roll up to {USUAL} degrees: {'; '.join(told)}."])


def sheet(pictures: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """One row a still: without a slider, then :data:`SHOWN`."""
    chosen = [0, *(1 + PLAN.index((name, degrees)) for name in ANGLES for degrees in SHOWN[name])]
    return np.concatenate([np.concatenate([row[i] for i in chosen], 1) for row in pictures], 0)


def main() -> None:
    """Edit, measure, print."""
    from vivant.media.image import write_image

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("stills", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--stills", dest="count", type=int, default=12, help="most stills that are used")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    files = sorted(file for file in args.stills.iterdir() if file.suffix in (".jpg", ".png") and held_out(file.stem))
    pipe, finder = load("live-portrait", preset="lite", dtype="fp32"), FaceFinder(threads=args.threads)
    found: dict[str, np.ndarray] = {}
    shown: list[list[np.ndarray]] = []
    for still in tqdm(files[: args.count], file=sys.stderr):
        swept = sweep(pipe, finder, still)
        if swept is None:
            print(f"{still.name}: a picture without a face, left out")
            continue
        found[still.stem] = swept[0]
        shown += [swept[1]] if len(shown) < SHEET_ROWS else []
    if not found:
        raise SystemExit(f"{args.stills} holds no held-out still that can be measured: give another folder.")
    args.out.mkdir(parents=True, exist_ok=True)
    np.savez(args.out / "pose_sliders.npz", **found)  # type: ignore[arg-type]
    write_image(args.out / "sheet.png", sheet(shown))
    print(f"{len(found)} stills\n\n{table(np.stack(list(found.values())))}")


if __name__ == "__main__":
    main()
