"""Names and numbers of the 478-point face mesh and its 52 blendshapes (MediaPipe's order).

The person's right is on the left of the picture. Points 0..467 are the mesh, 468..472 the iris on the left of
the picture (centre, then four points of its rim), 473..477 the other one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

POINTS = 478
MESH_POINTS = 468

# Outer and inner eye corners, nose base: the person's right eye (picture's left) first.
RIGHT_EYE_OUTER, RIGHT_EYE_INNER = 33, 133
LEFT_EYE_INNER, LEFT_EYE_OUTER = 362, 263
NOSE_BASE = 2

# fmt: off
BLENDSHAPE_NAMES: tuple[str, ...] = (
    "_neutral", "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft",
    "browOuterUpRight", "cheekPuff", "cheekSquintLeft", "cheekSquintRight", "eyeBlinkLeft",
    "eyeBlinkRight", "eyeLookDownLeft", "eyeLookDownRight", "eyeLookInLeft", "eyeLookInRight",
    "eyeLookOutLeft", "eyeLookOutRight", "eyeLookUpLeft", "eyeLookUpRight", "eyeSquintLeft",
    "eyeSquintRight", "eyeWideLeft", "eyeWideRight", "jawForward", "jawLeft", "jawOpen",
    "jawRight", "mouthClose", "mouthDimpleLeft", "mouthDimpleRight", "mouthFrownLeft",
    "mouthFrownRight", "mouthFunnel", "mouthLeft", "mouthLowerDownLeft", "mouthLowerDownRight",
    "mouthPressLeft", "mouthPressRight", "mouthPucker", "mouthRight", "mouthRollLower",
    "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthSmileLeft", "mouthSmileRight",
    "mouthStretchLeft", "mouthStretchRight", "mouthUpperUpLeft", "mouthUpperUpRight",
    "noseSneerLeft", "noseSneerRight",
)
"""The 52 outputs of the blendshape net, in its order."""

BLENDSHAPE_POINTS: tuple[int, ...] = (
    0, 1, 4, 5, 6, 7, 8, 10, 13, 14, 17, 21, 33, 37, 39, 40, 46, 52, 53, 54, 55, 58, 61, 63, 65, 66,
    67, 70, 78, 80, 81, 82, 84, 87, 88, 91, 93, 95, 103, 105, 107, 109, 127, 132, 133, 136, 144,
    145, 146, 148, 149, 150, 152, 153, 154, 155, 157, 158, 159, 160, 161, 162, 163, 168, 172,
    173, 176, 178, 181, 185, 191, 195, 197, 234, 246, 249, 251, 263, 267, 269, 270, 276, 282,
    283, 284, 285, 288, 291, 293, 295, 296, 297, 300, 308, 310, 311, 312, 314, 317, 318, 321,
    323, 324, 332, 334, 336, 338, 356, 361, 362, 365, 373, 374, 375, 377, 378, 379, 380, 381, 382,
    384, 385, 386, 387, 388, 389, 390, 397, 398, 400, 402, 405, 409, 415, 454, 466, 468, 469, 470,
    471, 472, 473, 474, 475, 476, 477,
)
"""The 146 mesh points the blendshape net reads."""

IBUG_POINTS: tuple[int, ...] = (
    127, 234, 93, 58, 172, 136, 150, 176, 152, 400, 379, 365, 397, 288, 323, 454, 356,
    70, 63, 105, 66, 107, 336, 296, 334, 293, 300, 168, 197, 5, 4, 98, 97, 2, 326, 327,
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,
    61, 40, 37, 0, 267, 270, 291, 321, 314, 17, 84, 91, 78, 81, 13, 311, 308, 402, 14, 178,
)
"""The mesh points nearest to the 68 of the iBUG layout: jaw, brows, nose, eyes, outer and inner lips."""
# fmt: on


@dataclass(frozen=True)
class CanonicalFace:
    """An average neutral face looking straight ahead.

    ``vertices``: (468, 3) float32 in cm, x right in the picture, y down, z away from the camera (the nose is
    nearest, most negative), the orientation of :class:`vivant.core.face.Face` landmarks.
    ``uv``: (468, 2) in 0..1. ``triangles``: (898, 3) int.
    ``weights``: (468,) float32, nonzero at the points that expressions move least.
    """

    vertices: np.ndarray
    uv: np.ndarray
    triangles: np.ndarray
    weights: np.ndarray


@cache
def canonical_face() -> CanonicalFace:
    """The bundled canonical face.

    Raises:
        WeightsError: the bundled file is damaged.
    """
    from safetensors.numpy import load_file

    from vivant.weights.assets import asset

    tensors = load_file(asset("perception/canonical_face.safetensors"))
    vertices = tensors["vertices"] * np.array([1, -1, -1], np.float32)  # stored with y up and z towards the camera
    return CanonicalFace(vertices, tensors["uv"], tensors["triangles"], tensors["weights"])
