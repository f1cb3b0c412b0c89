"""The morphable head: ICT-FaceKit's light model (Li et al. 2020, "Learning formation of physically-based face
attributes"; MIT licence, USC Institute for Creative Technologies), bundled in a compact form."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from vivant.rig.motion import EXPRESSION_NAMES

ASSET = "rig/head.safetensors"


@dataclass(frozen=True)
class HeadModel:
    """A head of V vertices in cm: x to the person's left, y up, z out of the face; the skull's middle near 0.

    ``neutral``: (V, 3) float32. ``identity``: (100, V, 3) float32, differences for one standard deviation each.
    ``expression``: (E, V, 3) float32, differences for the full unit. ``triangles``: (T, 3) int32.
    ``parts``: first and end vertex of "face", "head" (back of the head and neck), "socket" (of the mouth), "gums"
    (with the tongue), "teeth", and "eye_left", "eye_right" (the person's; six vertices each that span the eyeball:
    lowest x, y, z, highest x, y, z).
    ``mesh_vertex``: (468,) int64, face vertex nearest to each point of the detector's face mesh. ``mesh_rms``: (468,)
    float32, how far the two lay apart on average, in cm.
    """

    neutral: np.ndarray
    identity: np.ndarray
    expression: np.ndarray
    triangles: np.ndarray
    parts: dict[str, slice]
    mesh_vertex: np.ndarray
    mesh_rms: np.ndarray
    expression_names: tuple[str, ...] = EXPRESSION_NAMES

    @classmethod
    def load(cls) -> HeadModel:
        """The bundled head, read once a process.

        Raises:
            WeightsError: the bundled file is missing or damaged.
        """
        return _bundled()

    def vertices(self, identity: np.ndarray, expression: np.ndarray) -> np.ndarray:
        """(V, 3) float32 for coefficients (100,) and (E,)."""
        shape = np.tensordot(identity.astype(np.float32), self.identity, 1)
        return self.neutral + shape + np.tensordot(expression.astype(np.float32), self.expression, 1)

    def triangles_of(self, *parts: str) -> np.ndarray:
        """(T', 3) triangles whose highest vertex lies in one of the named parts, in the order of the parts."""
        highest = self.triangles.max(1)
        chosen = [(highest >= self.parts[p].start) & (highest < self.parts[p].stop) for p in parts]
        return np.concatenate([self.triangles[rows] for rows in chosen])


@cache
def _bundled() -> HeadModel:
    from safetensors import safe_open

    from vivant.weights.assets import asset

    with safe_open(asset(ASSET), framework="np") as file:
        data = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
        names = file.metadata()["expression_names"].split(",")
        part_names = file.metadata()["parts"].split(",")
    assert tuple(names) == EXPRESSION_NAMES  # the file's hash was checked: this cannot differ
    starts = data["part_starts"]
    scale = np.repeat(data["identity_scale"], np.diff(starts), axis=1)
    count = len(data["neutral"])
    moved = np.unpackbits(data["expression_moved"], axis=1, count=count).astype(bool)
    expression = np.zeros((len(names), count, 3), np.float32)
    expression[moved] = data["expression"]
    return HeadModel(
        neutral=data["neutral"],
        identity=data["identity"] * scale[:, :, None],
        expression=expression,
        triangles=data["triangles"].astype(np.int32),
        parts={name: slice(int(a), int(b)) for name, a, b in zip(part_names, starts[:-1], starts[1:])},
        mesh_vertex=data["mesh_vertex"].astype(np.int64),
        mesh_rms=data["mesh_rms"].astype(np.float32),
    )
