"""A dressed person as one mesh, and that mesh in every frame of a plan.

Axis letters: F frames, V vertices, T triangles, J joints.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vivant.data.figures.body import Shape, body_model, joint_transforms, skinning
from vivant.data.figures.hair import Hair
from vivant.data.figures.paint import Face
from vivant.data.figures.posing import Plan, solve
from vivant.data.figures.surface import EYES, SKIN, Piece, skin_piece
from vivant.data.figures.wardrobe import Garment, Outfit

_BATCH = 8  # frames posed at once
_SKIN_MARGIN = 0.018  # metres of skin kept under the edge of a garment


@dataclass(frozen=True)
class Figure:
    """All pieces of a person in one mesh; the skin comes first, with all V vertices of the body in their order."""

    shape: Shape
    rest: np.ndarray
    normals: np.ndarray
    weights: np.ndarray
    carried: np.ndarray
    triangles: np.ndarray
    material: np.ndarray
    part: np.ndarray
    open: np.ndarray
    face: Face
    hair: Hair
    garments: dict[int, Garment]


def assemble(shape: Shape, outfit: Outfit, hair: Hair, face: Face) -> Figure:
    """Put a person together; skin that clothes hide is left out."""
    model = body_model()
    tags = np.stack([model.tags["lips"], hair.stubble, model.tags["lids"]], 1)
    skin = skin_piece(shape, SKIN, tags)
    shown = (outfit.covered[skin.triangles] < _SKIN_MARGIN).any(1)
    eyes = _eye_triangles(skin)
    pieces: list[Piece] = [skin, *outfit.pieces, *hair.pieces]
    first = np.cumsum([0, *(len(piece.rest) for piece in pieces)])
    materials = [np.full(len(piece.triangles), piece.material) for piece in pieces]
    materials[0][eyes] = EYES
    keep = np.concatenate([shown, np.ones(sum(len(piece.triangles) for piece in pieces[1:]), bool)])

    def all_of(values: list[np.ndarray]) -> np.ndarray:
        return np.concatenate(values)[keep]

    return Figure(
        shape,
        np.concatenate([piece.rest for piece in pieces]).astype(np.float32),
        np.concatenate([piece.normals for piece in pieces]).astype(np.float32),
        np.concatenate([piece.weights for piece in pieces]).astype(np.float32),
        np.concatenate([np.concatenate([piece.place, piece.tag], 1) for piece in pieces]).astype(np.float32),
        all_of([piece.triangles + start for piece, start in zip(pieces, first)]).astype(np.int32),
        all_of(materials),
        all_of([piece.part for piece in pieces]),
        all_of([np.full(len(piece.triangles), piece.open) for piece in pieces]),
        face, hair, outfit.garments,
    )  # fmt: skip


def _eye_triangles(skin: Piece) -> np.ndarray:
    model = body_model()
    eye = skin.weights[:, [model.joint["eye.L"], model.joint["eye.R"]]].sum(1) > 0.9
    return np.asarray(eye[skin.triangles].all(1))


@dataclass(frozen=True)
class Posed:
    """One frame in the room, float32: ``vertices``, ``normals`` (V, 3), ``joints`` (J, 3)."""

    vertices: np.ndarray
    normals: np.ndarray
    joints: np.ndarray


def posed(figure: Figure, plan: Plan) -> Iterator[Posed]:
    """The figure in every frame of a plan."""
    model = body_model()
    turns, root = solve(figure.shape, plan)
    transforms = joint_transforms(figure.shape.joints, model.parents, turns, root)
    joints = np.einsum("fjab,jb->fja", transforms[..., :3], figure.shape.joints) + transforms[..., 3]
    moves = np.zeros((len(plan), len(model.action_vertices), 3), np.float32)
    for name, amount in plan.actions.items():
        moves += amount[:, None, None].astype(np.float32) * model.actions[name]
    for start in range(0, len(plan), _BATCH):
        blended = skinning(figure.weights, transforms[start : start + _BATCH])
        for offset, matrix in enumerate(blended):
            rest = figure.rest.copy()
            rest[model.action_vertices] += moves[start + offset]
            turn = matrix[:, :, :3]
            vertices = (turn @ rest[..., None])[..., 0] + matrix[:, :, 3]
            normals = (turn @ figure.normals[..., None])[..., 0]
            yield Posed(vertices, unit(normals), joints[start + offset].astype(np.float32))


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors (N, 3) of length one."""
    return np.asarray(vectors / (np.sqrt(np.einsum("nk,nk->n", vectors, vectors)) + 1e-9)[:, None])
