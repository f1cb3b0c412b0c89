"""Where LivePortrait's `lite` loses rotation between driver and result.

    python tools/measure_head_turns.py DATA OUT [--weights W] [--portraits 8] [--drivers 3] [--stride 4]

DATA is the folder of tools/prepare_lite_data.py. The cases are those of `vivant evaluate reenactment --task cross`. The
turn of a head since its first frame is told as a rotation vector (degrees about the head's x, y and z) of four heads:
the driver as the tracker sees it, the driver as it is read (by the motion extractor M and the tracker together, which
is what is asked of the warp), the result as the tracker sees it, and the result as it is read. Prints Markdown: the
mean angle between two of them, the gain about each axis, and the mean difference. OUT keeps the turns, case by case.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from vivant.methods.live_portrait.config import Options
from vivant.metrics.motion import read_motion
from vivant.metrics.reenactment import Reading, detect, read_take, source_of
from vivant.perception.faces import FaceFinder
from vivant.pipelines.evaluation.reenactment import make_cases
from vivant.pipelines.load import load

GROUPS = ("grid", "rig")
PAIRS = (
    ("tracker, driver", "read, driver"), ("read, driver", "tracker, result"), ("read, driver", "read, result"),
    ("tracker, driver", "tracker, result"),
)  # fmt: skip


def turns(rotations: np.ndarray) -> np.ndarray:
    """(F, 3, 3) rotations for row vectors -> (F - 1, 3) turn since the first frame in the head's own axes, degrees."""
    from scipy.spatial.transform import Rotation

    changes = rotations[1:] @ rotations[0].T
    return np.degrees(Rotation.from_matrix(np.swapaxes(changes, -1, -2)).as_rotvec())


def angle(one: np.ndarray, other: np.ndarray) -> float:
    """Mean angle in degrees between turns (F, 3)."""
    from scipy.spatial.transform import Rotation

    first, second = (Rotation.from_rotvec(np.radians(vectors)) for vectors in (one, other))
    return float(np.degrees((first.inv() * second).magnitude()).mean())


def gains(of: np.ndarray, to: np.ndarray) -> np.ndarray:
    """(3,) slope through zero of ``to`` over ``of``, (F, 3) each, about every axis."""
    return np.asarray((of * to).sum(0) / (of**2).sum(0))


def table(cases: Sequence[Mapping[str, np.ndarray]]) -> str:
    """Markdown of the pairs; ``cases`` hold the turns (F, 3) by name. Angles are means over cases, the rest over all
    frames."""
    lines = ["| of | to | angle | gain pitch, yaw, roll | mean difference |", "|---|---|---|---|---|"]
    for of, to in PAIRS:
        a, b = (np.concatenate([case[name] for case in cases]) for name in (of, to))
        mean = np.mean([angle(case[of], case[to]) for case in cases])
        gain, bias = (", ".join(f"{v:.2f}" for v in row) for row in (gains(a, b), (b - a).mean(0)))
        lines.append(f"| {of} | {to} | {mean:.2f} | {gain} | {bias} |")
    return "\n".join(lines)


def main() -> None:
    """Animate every case, measure, print by group of the driver."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--weights", help="a file of the preset lite (default: the bundled one)")
    parser.add_argument("--split", default="test")
    parser.add_argument("--portraits", type=int, default=8)
    parser.add_argument("--drivers", type=int, default=3)
    parser.add_argument("--stride", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    args.task, args.group, args.limit = "cross", [*GROUPS, "still"], 1
    reading, finder = Reading(args.stride), FaceFinder(threads=args.threads)
    generator = load("live-portrait", args.weights, preset="lite").generator
    found: dict[str, list[dict[str, np.ndarray]]] = {group: [] for group in GROUPS}
    for case in tqdm(make_cases(args)):
        driver = read_take(case.driver, finder, reading)
        motion = generator.motion(driver.crops())
        frames = generator.animate(source_of(case, driver, finder, reading), motion, Options(smoothing=0.0))
        result = detect(frames, finder)
        if any(points is None for points in (*driver.landmarks, *result.landmarks)):
            print(f"{case.id}: a frame without a face, left out")
            continue
        heads = {
            "tracker, driver": read_motion(driver.landmarks).rotations, "read, driver": motion.rotation,
            "tracker, result": read_motion(result.landmarks).rotations,
            "read, result": generator.motion(result.crops()).rotation,
        }  # fmt: skip
        seen = {name: turns(np.asarray(rotations, np.float64)) for name, rotations in heads.items()}
        np.savez(args.out / f"{case.id.replace(' ', '_')}.npz", **seen)
        found[case.driver.stem.split("_")[0]].append(seen)
    for name, cases in (*found.items(), ("all", [case for part in found.values() for case in part])):
        if cases:
            print(f"\n{name}, {len(cases)} cases\n\n{table(cases)}")


if __name__ == "__main__":
    main()
