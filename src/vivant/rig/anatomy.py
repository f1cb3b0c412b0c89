"""What is where on the head: rims of lips and lids, distances along the skin, the face's oval, which triangles to draw.

All of it depends on the head model only and is computed once a process (about a second).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import connected_components, dijkstra
from scipy.spatial import cKDTree

from vivant.rig.head import HeadModel

# fmt: off
OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150,
    136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)
"""Outline of the face in the detector's mesh."""
UPPER_LIP = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
LOWER_LIP = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
"""Inner rims of the lips in the detector's mesh, from the corner on the left of the picture."""
OUTER_LIPS = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146)
LID_RING_LEFT = (263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249)
LID_RING_RIGHT = (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7)
"""Rims of the person's lids in the detector's mesh: outer corner, upper lid, inner corner, lower lid."""

LID_PAIRS = (
    (246, 7), (161, 163), (160, 144), (159, 145), (158, 153), (157, 154), (173, 155),
    (466, 249), (388, 390), (387, 373), (386, 374), (385, 380), (384, 381), (398, 382),
)
"""Points of the upper lid and the lower one below them."""
BROW_LEFT = (300, 293, 334, 296, 336, 285, 295, 282, 283, 276)
BROW_RIGHT = (70, 63, 105, 66, 107, 55, 65, 52, 53, 46)
"""Outlines of the person's brows in the detector's mesh."""

UPPER_RIM = (
    5702, 5674, 5646, 5915, 5596, 5595, 5579, 5578, 5589, 5606, 5630, 5657, 5656, 5711, 5712, 5736, 6037, 6023, 5781,
    5796, 5533, 6301, 6286, 6527, 6541, 6241, 6217, 6216, 6161, 6162, 6135, 6111, 6094, 6083, 6084, 6100, 6101, 6420,
    6151, 6179, 6207,
)
LOWER_RIM = (
    5702, 5703, 5994, 5754, 5895, 5802, 5820, 5836, 5847, 5858, 5867, 5966, 5952, 5981, 6009, 5880, 5938, 5517, 6443,
    6385, 6513, 6485, 6456, 6470, 6372, 6363, 6352, 6341, 6325, 6307, 6400, 6259, 6498, 6208, 6207,
)
"""Vertices where the lips meet, from the person's right corner to the left one."""
UPPER_LID_LEFT = (
    2809, 3201, 4135, 2848, 2847, 3242, 2931, 2849, 4164, 2923, 3264, 4128, 2853, 2852, 2860, 3830, 2905, 3585, 2870,
    2868, 2867, 2861,
)
LOWER_LID_LEFT = (
    2809, 2810, 3721, 4434, 3833, 2812, 2830, 2828, 3101, 2822, 3727, 3728, 2817, 2904, 2833, 2832, 2831, 2839, 3605,
    3573, 2907, 3593, 2840, 2844, 2842, 4424, 2861,
)
UPPER_LID_RIGHT = (
    568, 981, 1935, 607, 606, 1022, 690, 608, 1964, 682, 1044, 1928, 612, 611, 619, 1621, 664, 1370, 629, 627, 626, 620,
)
LOWER_LID_RIGHT = (
    568, 569, 1507, 2243, 1624, 571, 589, 587, 860, 581, 582, 579, 577, 662, 575, 591, 590, 598, 1390, 1357, 666, 1378,
    1377, 1525, 1526, 1527, 2233, 620,
)
"""Vertices on the edges of the person's lids, from the outer corner to the inner one."""
# fmt: on
NOSE_TIP, CHIN = 3927, 966  # vertices
FACE_END = 9409
_HEAD_END = 11248  # vertices below belong to face and head


def smoothstep(low: float, high: float, value: np.ndarray | float) -> np.ndarray:
    """0 at ``low``, 1 at ``high``, smooth between; ``low`` may be the larger one."""
    t = np.clip((np.asarray(value) - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


@dataclass(frozen=True)
class Edge:
    """One of two rims that can meet, with the skin beside it.

    ``rim``: (R,) vertices in order. ``along``: (R,) position along the rim, 0..1. ``skin``: (N,) vertices that move
    with it, ``nearest``: (N,) their index into ``rim``, ``distance``: (N,) cm along the skin.
    """

    rim: np.ndarray
    along: np.ndarray
    skin: np.ndarray
    nearest: np.ndarray
    distance: np.ndarray

    def at(self, where: np.ndarray) -> np.ndarray:
        """(W, R) weights that read values along this rim at the positions ``where`` (W,) of 0..1."""
        return np.stack([np.interp(where, self.along, row) for row in np.eye(len(self.rim))], 1)


@dataclass(frozen=True)
class Anatomy:
    """Sets, distances and triangles of the head. Vertex arrays are (V,) unless said otherwise.

    ``points``, ``vertices``, ``trust``: the 462 detector points with a vertex of their own, that vertex, and how much
    the pair is worth in 0..1. ``mesh_vertex``: (468,) vertex of every detector point. ``upper_lip``, ``lower_lip``:
    inner edges. ``lids``: (upper, lower) of the left, then of the right eye. ``upper_inside``, ``lower_inside``: the
    hidden inner sides of the lips. ``lip_side``: +1 on inner side and rim of the upper lip, -1 of the lower, else 0.
    ``lips``: whether a vertex belongs to the red of the lips. ``oval``: signed distance to the face's outline in cm,
    positive inside. ``alpha``: opacity of the face layer. ``mirror``: (FACE_END,) vertex on the other side of the face.
    """

    points: np.ndarray
    vertices: np.ndarray
    trust: np.ndarray
    mesh_vertex: np.ndarray
    upper_lip: Edge
    lower_lip: Edge
    lids: tuple[tuple[Edge, Edge], tuple[Edge, Edge]]
    upper_inside: Edge
    lower_inside: Edge
    lip_side: np.ndarray
    lips: np.ndarray
    oval: np.ndarray
    alpha: np.ndarray
    mirror: np.ndarray
    face_triangles: np.ndarray
    mouth_triangles: np.ndarray
    skull_triangles: np.ndarray


@cache
def anatomy() -> Anatomy:
    """The anatomy of the bundled head."""
    head = HeadModel.load()
    skin = _Skin(head)
    upper_lip, lower_lip = skin.pair(UPPER_RIM, LOWER_RIM, 1.6, 1.6)
    mesh_vertex = _mesh_vertices(head, upper_lip.rim, lower_lip.rim)
    points, vertices, trust = _pairs(head, mesh_vertex)
    upper_inside, lower_inside = _insides_of_lips(head, skin)
    lip_side = np.zeros(len(head.neutral), np.int8)
    for value, edge in ((1, upper_inside), (-1, lower_inside)):
        lip_side[edge.skin] = lip_side[edge.rim[2:-2]] = value
    lips = (_signed_distance(head, mesh_vertex[list(OUTER_LIPS)]) > 0) | (lip_side != 0)
    lips[FACE_END:] = False
    oval = _signed_distance(head, mesh_vertex[list(OVAL)])
    alpha = smoothstep(0.1, 1.5, oval).astype(np.float32)
    face = head.triangles_of("face")
    mirror = cKDTree(head.neutral[:FACE_END]).query(head.neutral[:FACE_END] * [-1, 1, 1])[1]
    return Anatomy(
        points=points,
        vertices=vertices,
        trust=trust,
        mesh_vertex=mesh_vertex,
        upper_lip=upper_lip,
        lower_lip=lower_lip,
        lids=(
            skin.pair(UPPER_LID_LEFT, LOWER_LID_LEFT, 1.4, 0.8),
            skin.pair(UPPER_LID_RIGHT, LOWER_LID_RIGHT, 1.4, 0.8),
        ),
        upper_inside=upper_inside,
        lower_inside=lower_inside,
        lip_side=lip_side,
        lips=lips,
        oval=oval,
        alpha=alpha,
        mirror=mirror,
        face_triangles=face[alpha[face].max(1) > 0],
        mouth_triangles=_mouth_triangles(head, oval),
        skull_triangles=_up_to(head.triangles_of("face", "head"), _HEAD_END),
    )


def _up_to(triangles: np.ndarray, end: int) -> np.ndarray:
    return triangles[(triangles < end).all(1)]


class _Skin:
    """Distances along the face's surface, in cm on the neutral head."""

    def __init__(self, head: HeadModel) -> None:
        self.neutral = head.neutral[:FACE_END]
        self.triangles = head.triangles_of("face")
        self.graph = self._graph(self.triangles)

    def _graph(self, triangles: np.ndarray) -> csr_matrix:
        pairs = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
        pairs = np.unique(np.sort(pairs, 1), axis=0)
        length = np.linalg.norm(self.neutral[pairs[:, 0]] - self.neutral[pairs[:, 1]], axis=1)
        return coo_matrix((length, pairs.T), shape=(FACE_END, FACE_END)).tocsr()

    def distance(self, vertices: np.ndarray) -> np.ndarray:
        """(FACE_END,) distance to the nearest of ``vertices``; infinite where the surface is cut off."""
        return dijkstra(self.graph, directed=False, indices=vertices, min_only=True)

    def pair(self, upper: tuple[int, ...], lower: tuple[int, ...], above: float, below: float) -> tuple[Edge, Edge]:
        """Two edges; each vertex belongs to the nearer one, up to ``above`` or ``below`` cm."""
        rims = np.array(upper), np.array(lower)
        up, low = (self.distance(rim) for rim in rims)
        upper_skin, lower_skin = np.flatnonzero((up <= low) & (up < above)), np.flatnonzero((low < up) & (low < below))
        return self.edge(rims[0], upper_skin, up), self.edge(rims[1], lower_skin, low)

    def edge(self, rim: np.ndarray, skin: np.ndarray, distance: np.ndarray) -> Edge:
        """A rim with its own ``skin`` vertices, given everybody's ``distance``."""
        steps = np.linalg.norm(np.diff(self.neutral[rim], axis=0), axis=1)
        along = np.concatenate([[0], np.cumsum(steps)]) / steps.sum()
        nearest = cKDTree(self.neutral[rim]).query(self.neutral[skin])[1]
        return Edge(rim, along, skin, nearest, distance[skin].astype(np.float32))

    def pieces_without(self, vertices: np.ndarray) -> np.ndarray:
        """(FACE_END,) number of the connected piece of each vertex when ``vertices`` are taken out; -1 if unused."""
        left = np.ones(FACE_END, bool)
        left[vertices] = False
        pieces = connected_components(self._graph(self.triangles[left[self.triangles].all(1)]), directed=False)[1]
        used = np.zeros(FACE_END, bool)
        used[np.unique(self.triangles)] = True
        return np.where(used & left, pieces, -1)


def _mesh_vertices(head: HeadModel, upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """(468,) vertex of each detector point. Statistics mix the inner lips of closed mouths: those points go to the
    rim they belong to, at the x that was learned."""
    vertex = head.mesh_vertex.copy()
    for points, rim in ((UPPER_LIP, upper), (LOWER_LIP, lower)):
        for point in points[1:-1]:
            vertex[point] = rim[np.abs(head.neutral[rim, 0] - head.neutral[vertex[point], 0]).argmin()]
    vertex[UPPER_LIP[0]], vertex[UPPER_LIP[-1]] = upper[0], upper[-1]
    return vertex


def _pairs(head: HeadModel, mesh_vertex: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    trust = 1 / np.maximum(head.mesh_rms, 0.08) ** 2
    trust /= trust.max()
    trust[list(OVAL)] *= 0.3
    moving = [*UPPER_LIP, *LOWER_LIP, *LID_RING_LEFT, *LID_RING_RIGHT]
    trust *= np.where(np.isin(np.arange(len(trust)), moving), 0.6, 0.3)
    vertices, points = np.unique(mesh_vertex, return_index=True)
    return points, vertices, trust[points]


def _insides_of_lips(head: HeadModel, skin: _Skin) -> tuple[Edge, Edge]:
    """The skin that the rims cut off from the nose, on the upper and on the lower side."""
    rims = np.array(UPPER_RIM), np.array(LOWER_RIM)
    up, low = (skin.distance(rim) for rim in rims)
    pieces = skin.pieces_without(np.concatenate(rims))
    cut_off = (pieces >= 0) & (pieces != pieces[NOSE_TIP]) & (np.minimum(up, low) < 3)
    cut_off &= np.abs(head.neutral[:FACE_END, 0]) < 3.5
    upper, lower = np.flatnonzero(cut_off & (up <= low)), np.flatnonzero(cut_off & (up > low))
    return skin.edge(rims[0], upper, up), skin.edge(rims[1], lower, low)


def _signed_distance(head: HeadModel, outline: np.ndarray) -> np.ndarray:
    """(V,) cm to a closed line of vertices, positive inside, measured on a cylinder round the head."""
    angle = np.arctan2(head.neutral[:, 0], head.neutral[:, 2] + 2.0) * 10
    flat = np.stack([angle, head.neutral[:, 1]], 1).astype(np.float32)
    polygon = flat[outline].reshape(-1, 1, 2)
    return np.array([cv2.pointPolygonTest(polygon, (float(x), float(y)), True) for x, y in flat], np.float32)


def _mouth_triangles(head: HeadModel, oval: np.ndarray) -> np.ndarray:
    """Socket near the lips, lower half of the gums' part, teeth: what can be seen through the lips."""
    socket = head.triangles_of("socket")
    places = head.neutral[socket]
    near = (places[..., 2].min(1) > 0.5) & (np.abs(places[..., 0]).max(1) < 3.6) & (oval[socket].min(1) > 1.0)
    near &= (places[..., 1].max(1) < -0.4) & (places[..., 1].min(1) > -6)
    gums = head.triangles_of("gums")
    return np.concatenate([socket[near], gums[head.neutral[gums][..., 1].max(1) < 0], head.triangles_of("teeth")])
