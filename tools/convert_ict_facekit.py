"""Make ``src/vivant/assets/rig/head.safetensors`` from ICT-FaceKit's light head (run by developers only).

Usage: python tools/convert_ict_facekit.py SOURCE.npz PAIRS.npz
where SOURCE.npz holds the morphable head as arrays: ``neutral`` (26719, 3) in cm with y up and z towards the camera,
``identity`` (100, 26719, 3) and ``expression`` (57, 26719, 3) differences, ``expression_names``, and ``quads``
(Q, 4) with -1 where a face is a triangle. PAIRS.npz holds ``best`` (478,), the face vertex nearest to each
point of the detector's mesh, and ``rms`` (478,), their distance in cm over near-frontal stills, to which the head had
been fitted by 68 points.

Kept are face, head, mouth socket, gums, tongue and teeth; each eyeball becomes the six vertices that its box needs.
Identities are stored as int8 with one scale for each part and component (rms error 0.007 cm of 0.59 cm), expressions
as fp16 at the vertices that they move by more than 0.001 cm.
"""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

TARGET = Path(__file__).resolve().parent.parent / "src" / "vivant" / "assets" / "rig" / "head.safetensors"
PARTS = {"face": (0, 9409), "head": (9409, 11248), "socket": (11248, 13294), "gums": (14062, 17039)}
PARTS |= {"teeth": (17039, 21451)}
EYEBALLS = {"eye_left": (21451, 23021), "eye_right": (23021, 24591)}
LEAST = 1e-3  # cm
MESH_POINTS = 468


def box_vertices(neutral: np.ndarray, first: int, end: int) -> np.ndarray:
    """The six vertices of a range that touch its box: lowest x, y, z, then highest x, y, z."""
    part = neutral[first:end]
    return first + np.concatenate([part.argmin(0), part.argmax(0)])


def triangles_of(quads: np.ndarray, new_index: np.ndarray) -> np.ndarray:
    """(T, 3) triangles of all faces whose vertices are kept, in new numbers."""
    halves = [quads[:, [0, 1, 2]], quads[quads[:, 3] >= 0][:, [0, 2, 3]]]
    triangles = np.concatenate(halves)
    kept = (new_index[triangles] >= 0).all(1)
    return new_index[triangles[kept]]


def main(source: Path, pairs_file: Path) -> None:
    """Convert ``source`` and the pairs to TARGET."""
    data, pairs = np.load(source, allow_pickle=False), np.load(pairs_file, allow_pickle=False)
    neutral = data["neutral"].astype(np.float32)
    eyes = [box_vertices(neutral, *bounds) for bounds in EYEBALLS.values()]
    kept = np.concatenate([*(np.arange(*bounds) for bounds in PARTS.values()), *eyes])
    new_index = np.full(len(neutral), -1)
    new_index[kept] = np.arange(len(kept))
    starts = np.cumsum([0, *(b - a for a, b in PARTS.values()), 6, 6])
    identity = data["identity"].astype(np.float32)[:, kept]
    small, scales = np.zeros(identity.shape, np.int8), np.zeros((len(identity), len(starts) - 1), np.float32)
    for part, (a, b) in enumerate(pairwise(starts)):
        scales[:, part] = np.maximum(np.abs(identity[:, a:b]).max((1, 2)), 1e-9) / 127
        small[:, a:b] = np.round(identity[:, a:b] / scales[:, part, None, None])
    units = np.array([not str(name).startswith("Pupil") for name in data["expression_names"]])
    expression = data["expression"][units][:, kept]
    moved = np.abs(expression.astype(np.float32)).max(2) > LEAST
    names = ",".join(str(name) for name in data["expression_names"][units])
    TARGET.parent.mkdir(exist_ok=True)
    save_file(
        {
            "neutral": np.ascontiguousarray(neutral[kept]),
            "identity": np.ascontiguousarray(small),
            "identity_scale": scales,
            "part_starts": starts.astype(np.int32),
            "expression": np.ascontiguousarray(expression[moved].astype(np.float16)),
            "mesh_vertex": pairs["best"][:MESH_POINTS].astype(np.uint16),
            "mesh_rms": pairs["rms"][:MESH_POINTS].astype(np.float16),
            "expression_moved": np.ascontiguousarray(np.packbits(moved, axis=1)),
            "triangles": np.ascontiguousarray(triangles_of(data["quads"], new_index).astype(np.uint16)),
        },
        TARGET,
        metadata={"expression_names": names, "parts": ",".join([*PARTS, *EYEBALLS])},
    )
    print(f"{TARGET}: {TARGET.stat().st_size / 1e6:.1f} MB, {len(kept)} vertices")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
