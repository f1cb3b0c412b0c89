"""Stills under head motion: small rotations of a face in a photograph, rendered once when the data is loaded.

The landmarks of a still are turned in space about a pivot in the neck. Rings of points outside the face follow less
and less (hair fully, shoulders hardly), the border not at all. A thin-plate spline through all of them (Bookstein
1989) gives a smooth field that says where each pixel of the new picture comes from. Expressions do not change.

Axis letters: B pictures, H W pixels, P landmarks, N control points. Coordinates -1..1 of the crop, row vectors, pose
convention R = transpose(Rz Ry Rx) as in the labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vivant.core.errors import ConfigError
from vivant.data.labels import Labels
from vivant.data.manifest import Row

OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
"""Landmarks of the face's outline, clockwise from the forehead."""
_FIELD = 64  # cells along each side of the warp field
_BLOCK = 32  # pictures rendered at once


@dataclass(frozen=True)
class MotionRange:
    """How far heads move. Standard deviations in degrees of ``pitch``, ``yaw``, ``roll``, cut off at ``limit``;
    ``shift`` in crop half-widths; ``zoom`` of the logarithm of the size.

    ``ease``: heads already turned by this many degrees hardly nod or turn further, because what would come into view
    is not in the picture. ``pivot``: where the head turns, in face heights down and back from its centre;
    ``smoothness``: of the spline."""

    pitch: float = 6.0
    yaw: float = 9.0
    roll: float = 6.0
    limit: float = 18.0
    shift: float = 0.02
    zoom: float = 0.025
    ease: float = 35.0
    pivot: tuple[float, float] = (0.4, 0.45)
    smoothness: float = 2e-3


def rotation_matrices(angles: Tensor) -> Tensor:
    """(B,3) pitch, yaw, roll in radians -> (B,3,3) for row vectors: transpose(Rz Ry Rx)."""
    (cx, cy, cz), (sx, sy, sz) = angles.cos().unbind(1), angles.sin().unbind(1)
    zero, one = torch.zeros_like(cx), torch.ones_like(cx)

    def matrix(*rows: Tensor) -> Tensor:
        return torch.stack(rows, 1).view(-1, 3, 3)

    x = matrix(one, zero, zero, zero, cx, -sx, zero, sx, cx)
    y = matrix(cy, zero, sy, zero, one, zero, -sy, zero, cy)
    z = matrix(cz, -sz, zero, sz, cz, zero, zero, zero, one)
    return (z @ y @ x).transpose(1, 2)


def euler_angles(rotation: Tensor) -> Tensor:
    """Inverse of :func:`rotation_matrices`, for yaw within a quarter turn."""
    q = rotation.transpose(1, 2)
    pitch = torch.atan2(q[:, 2, 1], q[:, 2, 2])
    yaw = torch.asin((-q[:, 2, 0]).clamp(-1, 1))
    return torch.stack([pitch, yaw, torch.atan2(q[:, 1, 0], q[:, 0, 0])], 1)


@dataclass(frozen=True)
class Poses:
    """A change of head pose for each of B pictures: ``x -> zoom ((x - pivot) turn + pivot) + shift``.

    ``turn`` (B,3,3), ``pivot`` (B,1,3), ``zoom`` (B,1,1), ``shift`` (B,1,3)."""

    turn: Tensor
    pivot: Tensor
    zoom: Tensor
    shift: Tensor

    def __call__(self, points: Tensor) -> Tensor:
        """Move points (B,N,3)."""
        return self.zoom * ((points - self.pivot) @ self.turn + self.pivot) + self.shift


def draw_poses(
    rotation: Tensor, scale: Tensor, translation: Tensor, motion: MotionRange, generator: torch.Generator
) -> Poses:
    """Random changes of heads of pose ``rotation`` (B,3), ``scale`` (B,), ``translation`` (B,2)."""
    count, device = len(scale), scale.device

    def normal(*shape: int) -> Tensor:
        return torch.randn(count, *shape, generator=generator, device=device).clamp(-2.5, 2.5)

    spread = torch.tensor([motion.pitch, motion.yaw, motion.roll], device=device)
    turned = torch.rad2deg(rotation[:, :2].norm(dim=1, keepdim=True))
    ease = F.pad((1.15 - turned / motion.ease).clamp(0.05, 1).expand(-1, 2), (0, 1), value=1.0)
    angles = (normal(3) * spread * ease).clamp(-motion.limit, motion.limit)
    down, back = motion.pivot
    neck = torch.tensor([0.0, down, back], device=device).expand(count, 1, 3)
    centre = F.pad(translation, (0, 1))[:, None]
    pivot = centre + scale[:, None, None] * (neck @ rotation_matrices(rotation))
    shift = F.pad(normal(1, 2) * motion.shift, (0, 1))
    return Poses(rotation_matrices(torch.deg2rad(angles)), pivot, (normal(1, 1) * motion.zoom).exp(), shift)


def _rings(outline: Tensor, centre: Tensor, up: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """Points outside the face (B,N,3) and how much of the head's motion they take part in (B,N,1).

    outline (B,M,3), centre (B,1,3), up (B,1,2) unit vector towards the crown, scale (B,)."""
    out = outline - centre
    direction = F.normalize(out[..., :2], dim=-1)
    height = (direction * up).sum(-1, keepdim=True)  # 1 above the head, -1 below the chin
    upper = torch.sigmoid(6 * (height + 0.25))
    points, follow = [], []
    for reach, depth, above, below in ((1.3, 0.3, 1.0, 0.55), (1.7, 0.4, 0.75, 0.12), (2.2, 0.4, 0.25, 0.0)):
        flat = centre[..., :2] + out[..., :2] * reach
        z = (centre[..., 2:] + depth * scale[:, None, None]).expand(-1, flat.shape[1], -1)
        points.append(torch.cat([flat, z], -1))
        follow.append(below + (above - below) * upper)
    return torch.cat(points, 1), torch.cat(follow, 1)


def _border(count: int, device: torch.device, side: int = 9, edge: float = 1.05) -> Tensor:
    """Points around the picture (B,N,3), just outside."""
    line = torch.linspace(-edge, edge, side, device=device)
    fixed = torch.full_like(line, edge)
    sides = [torch.stack(pair, 1) for pair in ((line, -fixed), (line, fixed), (-fixed, line), (fixed, line))]
    return F.pad(torch.cat(sides), (0, 1)).expand(count, -1, -1)


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    """Thin-plate kernel r^2 log r between points (B,M,2) and (B,N,2)."""
    squared = (a[:, :, None] - b[:, None]).square().sum(-1)
    return 0.5 * squared * torch.log(squared + 1e-8)


def _solve(system: Tensor, right: Tensor) -> Tensor:
    """Batched linear systems; one by one on the CPU, where batches of a few hundred unknowns fail in some builds of
    the maths library when several threads work on them."""
    if system.is_cuda:
        return torch.linalg.solve(system, right)
    return torch.stack([torch.linalg.solve(a, b) for a, b in zip(system, right)])


def fit_spline(points: Tensor, values: Tensor, where: Tensor, stiffness: Tensor) -> Tensor:
    """Thin-plate spline through ``values`` (B,N,2) at ``points`` (B,N,2), read at ``where`` (M,2) -> (B,M,2).

    ``stiffness`` (B,N): how loosely each point is held, 0 for exactly (smoothing spline, Wahba 1990)."""
    count, number, _ = points.shape
    affine = torch.cat([torch.ones_like(points[..., :1]), points], -1)
    system = points.new_zeros(count, number + 3, number + 3)
    system[:, :number, :number] = _kernel(points, points) + torch.diag_embed(stiffness)
    system[:, :number, number:] = affine
    system[:, number:, :number] = affine.transpose(1, 2)
    right = F.pad(values, (0, 0, 0, 3))
    solution = _solve(system, right)
    there = where.expand(count, -1, -1)
    flat = torch.cat([torch.ones_like(there[..., :1]), there], -1)
    return _kernel(there, points) @ solution[:, :number] + flat @ solution[:, number:]


def warp_field(
    landmarks: Tensor, outline: Tensor, scale: Tensor, rotation: Tensor, poses: Poses, smoothness: float
) -> Tensor:
    """Where each pixel of the moved picture comes from, (B,h,w,2) on a coarse grid.

    landmarks (B,P,3), outline (B,M,3), scale (B,), rotation (B,3) of the heads before they move."""
    device = landmarks.device
    centre = outline.mean(1, keepdim=True)
    up = F.normalize(-rotation_matrices(rotation)[:, 1:2, :2], dim=-1)
    ring, follow = _rings(outline, centre, up, scale)
    before = torch.cat([landmarks, ring, _border(len(landmarks), device)], 1)[..., :2]
    moved_ring = ring + follow * (poses(ring) - ring)
    after = torch.cat([poses(landmarks), moved_ring, _border(len(landmarks), device)], 1)[..., :2]
    loose = torch.full(after.shape[:2], smoothness, device=device)
    cells = (torch.arange(_FIELD, device=device) + 0.5) * (2 / _FIELD) - 1
    where = torch.stack(torch.meshgrid(cells, cells, indexing="xy"), -1).view(-1, 2)
    move = fit_spline(after, before - after, where, loose)
    return (where + move).view(-1, _FIELD, _FIELD, 2)


def warp_images(images: Tensor, field: Tensor) -> Tensor:
    """Read images (B,H,W,3) uint8 at a coarse field (B,h,w,2) -> (B,H,W,3) uint8, edges repeated."""
    size = list(images.shape[1:3])
    fine = F.interpolate(field.permute(0, 3, 1, 2), size=size, mode="bicubic", align_corners=False)
    read = F.grid_sample(
        images.permute(0, 3, 1, 2).float(), fine.permute(0, 2, 3, 1), mode="bicubic",
        padding_mode="border", align_corners=False,
    )  # fmt: skip
    return read.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)


@torch.no_grad()
def render_stills(
    images: Tensor,
    labels: Sequence[Labels],
    poses_per_still: int,
    seed: int = 0,
    motion: MotionRange | None = None,
    device: torch.device | str = "cpu",
) -> tuple[Tensor, list[Labels]]:
    """Each still followed by ``poses_per_still`` renderings of it under other head poses.

    images (S,H,W,3) uint8, their labels (one frame each) -> frames (S, 1 + poses, H, W, 3) uint8 on the CPU, labels of
    1 + poses frames each.

    Raises:
        ConfigError: the labels do not keep the outline of the face.
    """
    motion = motion or MotionRange()
    rows = _outline_rows(labels[0].points)
    generator = torch.Generator(device).manual_seed(seed)
    frames, found = [], []
    for at in range(0, len(images), _BLOCK):
        block = images[at : at + _BLOCK].to(device)
        part = labels[at : at + _BLOCK]
        state = _pose_state(part, device)
        renders, states = [block], [state]
        for _ in range(poses_per_still):
            image, moved = _render(block, state, rows, motion, generator)
            renders.append(image)
            states.append(moved)
        frames.append(torch.stack(renders, 1).cpu())
        found += _as_labels(part, states)
    return torch.cat(frames), found


def _outline_rows(points: np.ndarray) -> Tensor:
    where = {int(point): row for row, point in enumerate(points)}
    if any(point not in where for point in OVAL):
        raise ConfigError("Stills can only be moved if their labels keep the outline of the face: label them again.")
    return torch.tensor([where[point] for point in OVAL])


def _pose_state(labels: Sequence[Labels], device: torch.device | str) -> dict[str, Tensor]:
    """Landmarks (B,P,3), rotation (B,3), scale (B,) and translation (B,2) of the first frame of each, float32."""
    names = ("landmarks", "rotation", "scale", "translation")
    arrays = {name: np.stack([getattr(item, name)[0] for item in labels]) for name in names}
    return {name: torch.from_numpy(value).float().to(device) for name, value in arrays.items()}


def _render(
    images: Tensor,
    state: dict[str, Tensor],
    outline: Tensor,
    motion: MotionRange,
    generator: torch.Generator,
) -> tuple[Tensor, dict[str, Tensor]]:
    """One new pose of each picture, and its labels."""
    marks, rotation, scale = state["landmarks"], state["rotation"], state["scale"]
    poses = draw_poses(rotation, scale, state["translation"], motion, generator)
    edge = marks.index_select(1, outline.to(marks.device))
    field = warp_field(marks, edge, scale, rotation, poses, motion.smoothness)
    centre = poses(F.pad(state["translation"], (0, 1))[:, None])
    moved = {
        "landmarks": poses(marks) - F.pad(centre[..., 2:], (2, 0)),  # depth stays relative to the head's centre
        "rotation": euler_angles(rotation_matrices(rotation) @ poses.turn),
        "scale": scale * poses.zoom[:, 0, 0],
        "translation": centre[:, 0, :2],
    }
    return warp_images(images, field), moved


def _as_labels(before: Sequence[Labels], states: Sequence[dict[str, Tensor]]) -> list[Labels]:
    arrays = {name: torch.stack([s[name] for s in states], 1).cpu().numpy() for name in states[0]}
    arrays["landmarks"] = arrays["landmarks"].astype(np.float16)
    return [
        Labels(
            **{name: value[i] for name, value in arrays.items()}, neutral=b.neutral, weight=b.weight, points=b.points
        )
        for i, b in enumerate(before)
    ]


def add_poses(
    frames: Tensor, rows: Sequence[Row], labels: Sequence[Labels], poses: int, seed: int, device: torch.device
) -> tuple[Tensor, list[Labels]]:
    """Frames (N,H,W,3) and labels of clips and stills -> the same in the same order, every still with ``poses``
    renderings behind it."""
    ends = np.cumsum([len(item) for item in labels])
    stills = [i for i, row in enumerate(rows) if row.kind == "still"]
    pictures = frames[torch.tensor([int(ends[i]) - len(labels[i]) for i in stills])]
    rendered, moved = render_stills(pictures, [labels[i] for i in stills], poses, seed, device=device)
    result = list(labels)
    parts = [frames[end - len(item) : end] for end, item in zip(ends.tolist(), labels)]
    for i, picture, item in zip(stills, rendered, moved):
        parts[i], result[i] = picture, item
    return torch.cat(parts), result
