"""What LivePortrait's motion extractor M says besides the rotation when a head turns, for the pose sliders of `lite`.

    python tools/fit_pose_sliders.py CLIPS OUT.safetensors [--clips 216]

CLIPS: folder of clips (.mp4) of turning heads; those whose number is 7 modulo 20 are held out of training and are not
used. For frames of one clip, told as differences from the clip's mean, M's expression (K, 3) is regressed on its
rotation R as ``delta R``, and its shift over the scale as ``-pivot R``; both are made equal on the left and right of
the face. OUT gets ``delta`` (K, 3) and ``pivot`` (3,), of which :data:`SHARE` is kept. Bundle OUT with
``tools/bundle_weights.py`` as ``live_portrait/lite_turns.safetensors``.
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

from vivant.methods.live_portrait.config import LITE_MIRROR
from vivant.methods.live_portrait.motion import MotionTemplate
from vivant.metrics.reenactment import Reading, read_take
from vivant.perception.faces import FaceFinder
from vivant.pipelines.load import load

SHARE = 0.5
"""The clips' heads turn about a point behind and below them. Half of that way keeps the face nearer to its place, and
heads turned as far as they were asked; chosen among 0, 0.5, 0.75 and 1 on five training stills."""
READING = Reading(stride=5, frames=7)


def changes(values: np.ndarray) -> np.ndarray:
    """Values (F, ...) of one clip less their mean, float64."""
    whole = values.astype(np.float64)
    return np.asarray(whole - whole.mean(0))


def mirrored(delta: np.ndarray) -> np.ndarray:
    """(K, 3) of a face, as those of its mirror image."""
    return np.asarray(delta[list(LITE_MIRROR)] * np.array([-1.0, 1.0, 1.0]))


def fit(motions: Sequence[MotionTemplate]) -> tuple[np.ndarray, np.ndarray]:
    """``delta`` (K, 3) and the whole ``pivot`` (3,) of clips, by least squares."""
    rotation = np.concatenate([changes(m.rotation) for m in motions])
    exp = np.concatenate([changes(m.exp) for m in motions])
    shift = np.concatenate([changes(m.translation / m.scale) for m in motions])
    given = rotation.transpose(0, 2, 1).reshape(-1, 3)  # one row for every axis of the picture
    delta = np.linalg.lstsq(given, exp.transpose(0, 2, 1).reshape(len(given), -1), rcond=None)[0].T
    in_plane = rotation[:, :, :2].transpose(0, 2, 1).reshape(-1, 3)
    pivot = -np.linalg.lstsq(in_plane, shift[:, :2].reshape(-1), rcond=None)[0]
    return (delta + mirrored(delta)) / 2, pivot * np.array([0.0, 1.0, 1.0])


def read(files: Sequence[Path], most: int, finder: FaceFinder) -> list[MotionTemplate]:
    """The motion of up to ``most`` clips in which every frame shows a face."""
    generator = load("live-portrait", preset="lite", dtype="fp32").generator
    found: list[MotionTemplate] = []
    bar = tqdm(total=most, file=sys.stderr)
    for file in files:
        take = read_take(file, finder, READING)
        if all(points is not None for points in take.landmarks):
            found.append(generator.motion(take.crops()))
            bar.update()
        if len(found) == most:
            break
    return found


def main() -> None:
    """Read clips, fit, write."""
    from safetensors.numpy import save_file

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folder", metavar="CLIPS", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--clips", type=int, default=216, help="most clips that are read")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    files = [f for f in sorted(args.folder.glob("*.mp4")) if not held_out(f.stem)]
    files = [files[i] for i in np.random.default_rng(0).permutation(len(files))]
    motions = read(files, args.clips, FaceFinder(threads=args.threads))
    if not motions:
        raise SystemExit(f"{args.folder} holds no clip that can be used: give a folder of .mp4 files with faces.")
    delta, pivot = fit(motions)
    tensors = {"delta": delta.astype(np.float32), "pivot": (SHARE * pivot).astype(np.float32)}
    save_file({name: np.ascontiguousarray(value) for name, value in tensors.items()}, args.out)
    print(f"{len(motions)} clips; whole pivot {pivot.round(3).tolist()}; largest delta {np.abs(delta).max():.3f}")


if __name__ == "__main__":
    main()
