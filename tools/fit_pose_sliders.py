"""What LivePortrait's motion extractor M says besides the rotation when a head turns, and how far it is turned.

    python tools/fit_pose_sliders.py CLIPS RENDERED OUT.safetensors [--clips 216]

CLIPS: folder of clips (.mp4) of turning heads; RENDERED: folder of clips that `vivant synthesize` made, their truth
beside them. In both, those whose number is 7 modulo 20 are held out of training and are not used.

For frames of one clip, told as differences from the clip's mean, M's expression (K, 3) is regressed on its rotation R
as ``delta R``, and its shift over the scale as ``-pivot R``; both are made equal on the left and right of the face. For
frames of one rendered clip, told in the same way, the true rotation vector is regressed, axis by axis, on those of M
and of the tracker. OUT gets ``delta`` (K, 3), ``pivot`` (3,), of which :data:`SHARE` is kept, ``heads`` (2, 3) and the
points of the canonical face by which the tracker's rotation is found. Bundle OUT with ``tools/bundle_weights.py`` as
``live_portrait/lite_turns.safetensors``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from prepare_lite_data import held_out
from tqdm import tqdm

from vivant.data.synthesis.truth import read_truth
from vivant.methods.live_portrait.config import LITE_MIRROR
from vivant.methods.live_portrait.motion import Motion
from vivant.methods.live_portrait.prepare import crop_ratios, image_batch, motion_of, with_seen_shape
from vivant.methods.live_portrait.turns import rotation_vectors
from vivant.metrics.reenactment import Reading, read_take
from vivant.perception.faces import FaceFinder
from vivant.perception.mesh import canonical_face
from vivant.perception.pose import euler_rotation, head_pose
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


def fit(motions: Sequence[Motion]) -> tuple[np.ndarray, np.ndarray]:
    """``delta`` (K, 3) and the whole ``pivot`` (3,) of clips, by least squares."""
    rotation = np.concatenate([changes(m.rotation.numpy()) for m in motions])
    exp = np.concatenate([changes(m.exp.numpy()) for m in motions])
    shift = np.concatenate([changes((m.translation / m.scale).numpy()) for m in motions])
    given = rotation.transpose(0, 2, 1).reshape(-1, 3)  # one row for every axis of the picture
    delta = np.linalg.lstsq(given, exp.transpose(0, 2, 1).reshape(len(given), -1), rcond=None)[0].T
    in_plane = rotation[:, :, :2].transpose(0, 2, 1).reshape(-1, 3)
    pivot = -np.linalg.lstsq(in_plane, shift[:, :2].reshape(-1), rcond=None)[0]
    return (delta + mirrored(delta)) / 2, pivot * np.array([0.0, 1.0, 1.0])


def fit_heads(heads: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> np.ndarray:
    """(2, 3) weights of M's and the tracker's rotation vectors; ``heads``: the rotations (F, 3, 3) of M, of the tracker
    and the true ones of each clip."""
    told = [np.concatenate([changes(rotation_vectors(clip[k])) for clip in heads]) for k in range(3)]
    fits = [np.linalg.lstsq(np.stack([m, t], 1), y, rcond=None)[0] for m, t, y in zip(*(v.T for v in told))]
    return np.stack(fits, 1)


def skull() -> np.ndarray:
    """(N, 5) float32: number, place in cm and weight of the canonical face's points that tell its pose."""
    face = canonical_face()
    chosen = np.flatnonzero(face.weights)
    weights = face.weights[chosen] / face.weights[chosen].sum()
    return np.concatenate([chosen[:, None], face.vertices[chosen], weights[:, None]], 1).astype(np.float32)


def usable(folder: Path) -> list[Path]:
    """The folder's clips that are not held out, shuffled."""
    files = [f for f in sorted(folder.glob("*.mp4")) if not held_out(f.stem)]
    return [files[i] for i in np.random.default_rng(0).permutation(len(files))]


class Reader:
    """Reads clips in which every frame shows a face, by M alone (lids, brows and lips from the tracker)."""

    def __init__(self, threads: int) -> None:
        self._generator = load("live-portrait", preset="lite", dtype="fp32").generator
        self._finder = FaceFinder(threads=threads)

    def clips(self, files: Sequence[Path], most: int) -> Iterator[tuple[Path, Motion, np.ndarray]]:
        """Up to ``most`` clips: the file, M's motion of F frames, and the landmarks (F, 478, 3)."""
        bar, config = tqdm(total=min(most, len(files)), file=sys.stderr), self._generator.config
        for file in files:
            take = read_take(file, self._finder, READING)
            crops = [crop for crop in take.crops() if crop is not None]
            if len(crops) < len(take.images) or len(crops) < 2:
                continue
            with torch.inference_mode():
                found = self._generator.modules["motion_extractor"](image_batch(crops, config.input_size))
                motion = with_seen_shape(motion_of(found, *crop_ratios(crops)), crops, config.space)
            yield file, motion, np.stack([crop.landmarks for crop in crops])
            bar.update()
            if bar.n == most:
                return


def true_rotations(file: Path, count: int) -> np.ndarray:
    """(count, 3, 3): the rotations of the frames that are read of a rendered clip.

    Raises:
        MediaError: no truth lies beside it.
    """
    yaw, pitch, roll = read_truth(file.with_suffix(".truth.npz"))["pose_absolute"][:, :3].T
    return euler_rotation(pitch, yaw, roll)[:: READING.stride][:count]


def main() -> None:
    """Read clips, fit, write."""
    from safetensors.numpy import save_file

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folder", metavar="CLIPS", type=Path)
    parser.add_argument("rendered", metavar="RENDERED", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--clips", type=int, default=216, help="most clips that are read of each folder")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    reader = Reader(args.threads)
    motions = [motion for _, motion, _ in reader.clips(usable(args.folder), args.clips)]
    heads = [
        (motion.rotation.numpy(), head_pose(landmarks).rotation, true_rotations(file, len(landmarks)))
        for file, motion, landmarks in reader.clips(usable(args.rendered), args.clips)
    ]
    if not motions or not heads:
        empty = args.rendered if motions else args.folder
        raise SystemExit(f"{empty} holds no clip that can be used: give a folder of .mp4 files with faces.")
    delta, pivot = fit(motions)
    weights = fit_heads(heads)
    tensors = {"delta": delta, "pivot": SHARE * pivot, "heads": weights, "skull": skull()}
    save_file({name: np.ascontiguousarray(value, np.float32) for name, value in tensors.items()}, args.out)
    print(f"{len(motions)} clips; whole pivot {pivot.round(3).tolist()}; largest delta {np.abs(delta).max():.3f}")
    print(f"{len(heads)} rendered clips; M's share {weights[0].round(3)}, the tracker's {weights[1].round(3)}")


if __name__ == "__main__":
    main()
