"""Baselines that learn nothing: the still itself, and the still bent to the driver's own landmarks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from vivant.core.face import FaceCrop
from vivant.core.facemesh import SKULL

BORDER_STEPS = 8
"""Fixed points on each side of the picture."""


def repeat_still(source: FaceCrop, frames: int) -> Iterator[np.ndarray]:
    """The baseline "repeat the still": the source picture for every frame."""
    for _ in range(frames):
        yield source.image


def border_points(height: int, width: int) -> np.ndarray:
    """(4 * BORDER_STEPS, 2) points around the picture's edge, which stay where they are."""
    steps = np.arange(BORDER_STEPS) / BORDER_STEPS
    zero, one = np.zeros(BORDER_STEPS), np.ones(BORDER_STEPS)
    x = np.concatenate([steps, one, 1 - steps, zero]) * (width - 1)
    y = np.concatenate([zero, steps, one, 1 - steps]) * (height - 1)
    return np.stack([x, y], 1)


class MeshWarp:
    """Piecewise-affine warp of one picture: Delaunay triangles over its landmarks and fixed points on its
    border.

    The triangulation is the source's and is kept for all targets. Triangles that fold over each other are
    painted from far to near (z of the target landmarks), so the nearer part of the face stays on top. What
    the source does not show (inside of a closed mouth, the far cheek) is stretched skin.
    """

    def __init__(self, image: np.ndarray, landmarks: np.ndarray) -> None:
        """``image``: (H, W, 3) uint8. ``landmarks``: (K, 2 or 3) of it in pixels."""
        from scipy.spatial import Delaunay

        self.image = image
        self.border = border_points(*image.shape[:2])
        self.points = np.concatenate([landmarks[:, :2], self.border]).astype(np.float64)
        self.triangles = np.asarray(Delaunay(self.points).simplices)

    def __call__(self, target: np.ndarray) -> np.ndarray:
        """The picture bent so that its landmarks lie at ``target`` (K, 2 or 3). (H, W, 3) uint8."""
        import cv2

        points = np.concatenate([target[:, :2], self.border]).astype(np.float64)
        labels = self._paint(points, _nearness(target, len(self.border)))
        x, y = self._lookup(labels, points)
        return cv2.remap(self.image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)

    def _paint(self, points: np.ndarray, z: np.ndarray) -> np.ndarray:
        """(H, W) int32: which triangle each pixel belongs to, far ones first, -1 where there is none."""
        import cv2

        labels = np.full(self.image.shape[:2], -1, np.int32)
        corners = np.round(points[self.triangles] * 16).astype(np.int32)
        for number in np.argsort(-z[self.triangles].mean(1), kind="stable"):
            cv2.fillConvexPoly(labels, corners[number], int(number), lineType=cv2.LINE_8, shift=4)
        return labels

    def _lookup(self, labels: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where each pixel comes from in the source: x and y, (H, W) float32."""
        height, width = labels.shape
        y, x = np.mgrid[:height, :width].astype(np.float64)
        maps = _affine_maps(points[self.triangles], self.points[self.triangles])[labels]
        found = np.einsum("hwij,hwj->hwi", maps, np.stack([x, y, np.ones_like(x)], -1))
        found = np.where(labels[..., None] < 0, np.stack([x, y], -1), found).astype(np.float32)
        return np.ascontiguousarray(found[..., 0]), np.ascontiguousarray(found[..., 1])


def _nearness(target: np.ndarray, border: int) -> np.ndarray:
    """z of every point (larger is farther); the border lies behind the face. Flat targets keep one depth."""
    if target.shape[1] < 3:
        return np.zeros(len(target) + border)
    z = target[:, 2].astype(np.float64)
    return np.concatenate([z, np.full(border, z.max() + np.ptp(z) + 1)])


def _affine_maps(target: np.ndarray, source: np.ndarray) -> np.ndarray:
    """(T, 2, 3) affine maps from each target triangle (T, 3, 2) to its source; a collapsed triangle maps to
    a point.
    """
    ones = np.ones((*target.shape[:2], 1))
    system = np.concatenate([target, ones], 2)
    flat = np.abs(np.linalg.det(system)) < 1e-6
    system[flat] = np.eye(3)
    maps = np.linalg.solve(system, source).transpose(0, 2, 1)
    maps[flat] = 0
    maps[flat, :, 2] = source[flat].mean(1)
    return maps


def similarity(source: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Least-squares scale, rotation (D, D) and translation (D,) with ``target = scale * source R^T +
    translation``.

    Umeyama, "Least-squares estimation of transformation parameters between two point patterns", IEEE TPAMI
    13(4), 1991, equations 40 to 42. Both (N, D).
    """
    centre_a, centre_b = source.mean(0), target.mean(0)
    a, b = source - centre_a, target - centre_b
    u, singular, vt = np.linalg.svd(b.T @ a)
    sign = np.ones(len(singular))
    sign[-1] = np.sign(np.linalg.det(u @ vt))
    rotation = (u * sign) @ vt
    scale = float((singular * sign).sum() / np.square(a).sum())
    return scale, rotation, centre_b - scale * centre_a @ rotation.T


def relative_target(portrait: np.ndarray, first: np.ndarray, driver: np.ndarray) -> np.ndarray:
    """The portrait's landmarks moved by the driver's change since its first frame. All (478, 3) pixels.

    The skull's change is a similarity fitted to landmarks that expressions hardly move; what is left is
    expression. Both are carried over in the head's own axes and in units of the face's size, as relative motion
    of LivePortrait is (section 3.4 of its paper).
    """
    skull = list(SKULL)
    first, driver, portrait = (points.astype(np.float64) for points in (first, driver, portrait))
    scale, rotation, shift = similarity(first[skull], driver[skull])
    size, own, _ = similarity(first[skull], portrait[skull])
    expression = size * ((driver - shift) @ rotation / scale - first) @ own.T
    centre, first_centre = portrait[skull].mean(0), first[skull].mean(0)
    turn = own @ rotation @ own.T
    travel = size * (scale * first_centre @ rotation.T + shift - first_centre)
    return (scale * (portrait - centre + expression) @ turn.T + centre + travel).astype(np.float32)


def mesh_warp(source: FaceCrop, drivers: Iterable[FaceCrop | None], relative: bool) -> Iterator[np.ndarray]:
    """The baseline "piecewise-affine warp told the true landmarks": it sees the geometry of the frame to be
    made.

    Absolute: bends the source to the driver's landmarks. Relative: moves the source's landmarks by the
    driver's change since its first face. A frame without a face repeats the one before.
    """
    warp = MeshWarp(source.image, source.landmarks)
    first: np.ndarray | None = None
    shown = source.image
    for driver in drivers:
        if driver is not None:
            first = driver.landmarks if first is None else first
            target = relative_target(source.landmarks, first, driver.landmarks) if relative else driver.landmarks
            shown = warp(target)
        yield shown
