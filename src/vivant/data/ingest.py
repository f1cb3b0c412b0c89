"""Face clips and stills become training rows: a fixed square crop, landmarks, head pose, the person's neutral shape.

One row of a data set (:class:`vivant.data.manifest.Row`) is a video or still of 256x256 and an ``.npz`` of labels:
  points (P,) int: which of the 478 mesh landmarks are kept; landmarks (F, P, 3) float16 in -1..1 of the crop (x right,
  y down, z in the same unit, 0 at the head's centre); rotation (F, 3) radians pitch, yaw, roll; scale (F,) and
  translation (F, 2) of the head, scale 1 means a face as high as the crop's half side; neutral (P, 3): the person's
  own face without pose and expression, lips closed; trust (P,) 1 for exact labels, less for detected ones.
Pose convention: x = scale (neutral R + expression) + translation with R = transpose(Rz Ry Rx), row vectors.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from vivant.core.errors import FaceError
from vivant.core.face import Face
from vivant.core.facemesh import MIRROR

CROP_SCALE, CROP_SHIFT, CROP_SIZE = 2.0, -0.06, 256
# the skull and what hardly moves on it: forehead, temples, nose, eye corners, cheek bones
RIGID = np.array(
    [10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 127, 234, 93, 162, 21, 54, 103, 67, 109, 168, 6, 197, 195, 5, 4,
     1, 9, 8, 151, 108, 337, 33, 133, 362, 263, 50, 280, 117, 346, 118, 347, 205, 425, 129, 358, 98, 327]
)  # fmt: skip
IRISES = tuple(range(468, 478))
# how much of a gap between the lips is taken out of each point below it
LOWER_LIP = {14: 1.0, 178: 1.0, 402: 1.0, 87: 1.0, 317: 1.0, 88: 0.9, 318: 0.9, 17: 0.7, 84: 0.7, 314: 0.7, 152: 0.4}


@dataclass(frozen=True)
class Square:
    """A fixed crop: left, top and side in pixels of the frame."""

    left: float
    top: float
    side: float

    def cut(self, frame: np.ndarray, size: int = CROP_SIZE) -> np.ndarray:
        """(H, W, 3) -> (size, size, 3); beyond the border the edge repeats."""
        k = size / self.side
        matrix = np.array([[k, 0, (0.5 - self.left) * k - 0.5], [0, k, (0.5 - self.top) * k - 0.5]])
        inter = cv2.INTER_AREA if k < 1 else cv2.INTER_CUBIC
        if k < 0.5:  # warpAffine does not average: shrink first
            frame = cv2.resize(frame, None, fx=2 * k, fy=2 * k, interpolation=cv2.INTER_AREA)
            matrix = np.array([[0.5, 0, -self.left * k - 0.25], [0, 0.5, -self.top * k - 0.25]])
        return cv2.warpAffine(frame, matrix, (size, size), flags=inter, borderMode=cv2.BORDER_REPLICATE)

    def normalise(self, landmarks: np.ndarray) -> np.ndarray:
        """Pixels of the frame (..., 3) -> -1..1 of the crop."""
        out = landmarks.astype(np.float64) * (2 / self.side)
        out[..., 0] -= self.left * 2 / self.side + 1
        out[..., 1] -= self.top * 2 / self.side + 1
        return out


def square_around(landmarks: np.ndarray, height: int, width: int) -> Square:
    """The crop two face heights wide around (N, 478, 3) landmarks' median box, inside the picture where it fits."""
    p = np.median(landmarks[..., :2], axis=0)
    low, high = p.min(0), p.max(0)
    face = float((high - low).max())
    side = min(CROP_SCALE * face, float(width), float(height))
    centre = (low + high) / 2 + [0, CROP_SHIFT * face]
    centre = np.clip(centre, side / 2, np.array([width, height]) - side / 2)
    return Square(centre[0] - side / 2, centre[1] - side / 2, side)


def rigid_fit(template: np.ndarray, points: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Umeyama (1991): points = scale * template @ R + shift. (P, 3) twice -> scale, R (3, 3), shift (3,)."""
    mt, mp = template.mean(0), points.mean(0)
    a, b = template - mt, points - mp
    u, s, vt = np.linalg.svd(b.T @ a / len(a))
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    q = (u * sign) @ vt
    scale = float((s * sign).sum() / (a**2).sum() * len(a))
    return scale, q.T, mp - scale * mt @ q.T


def euler(rotation: np.ndarray) -> np.ndarray:
    """R = transpose(Rz Ry Rx) -> pitch, yaw, roll in radians."""
    q = rotation.T
    return np.array([np.arctan2(q[2, 1], q[2, 2]), np.arcsin(np.clip(-q[2, 0], -1, 1)), np.arctan2(q[1, 0], q[0, 0])])


def standard_face() -> np.ndarray:
    """(478, 3) the face against which poses are told: MediaPipe's canonical face made symmetric, face height (10 to
    152) one, centred, irises between the corners of their eyes.

    It is the same for every data set, so their labels have one zero; people who look straight ahead have a pitch of
    about 10 degrees against it, as in ``vivant.perception.pose``.
    """
    from vivant.perception.mesh import canonical_face

    face = np.zeros((478, 3))
    face[:468] = canonical_face().vertices
    for start, corners in ((468, (33, 133)), (473, (362, 263))):
        face[start : start + 5] = face[list(corners)].mean(0)
    face = (face + face[list(MIRROR)] * [-1, 1, 1]) / 2
    face -= face[RIGID].mean(0)
    return np.asarray(face / (face[152, 1] - face[10, 1]))


def label(
    landmarks: np.ndarray,
    template: np.ndarray,
    keep: np.ndarray,
    exact: tuple[np.ndarray, np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
    """Labels of one clip.

    landmarks (F, 478, 3) in -1..1; template (478, 3), usually :func:`standard_face`; keep (P,) indices;
    exact: (indices (E,), points (F, E, 2)) that replace detected ones.
    """
    fits = [rigid_fit(template[RIGID], frame[RIGID]) for frame in landmarks]
    shift = np.array([f[2] for f in fits])
    centred = landmarks - shift[:, None] * [0, 0, 1]
    trust = np.full(478, 0.5 if exact is not None else 1.0)
    if exact is not None:
        centred[:, exact[0], :2] = exact[1]
        trust[exact[0]] = 1.0
        trust[list(IRISES)] = 1.0
    normal = np.array([(p - s * [1, 1, 0]) @ r.T / k for p, (k, r, s) in zip(centred, fits)])
    return {
        "points": keep.astype(np.int16),
        "landmarks": centred[:, keep].astype(np.float16),
        "rotation": np.array([euler(f[1]) for f in fits], np.float32),
        "scale": np.array([f[0] for f in fits], np.float32),
        "translation": shift[:, :2].astype(np.float32),
        "neutral": _neutral(normal)[keep].astype(np.float32),
        "trust": trust[keep].astype(np.float16),
    }


def _neutral(normal: np.ndarray) -> np.ndarray:
    """Median over the frames with the most closed lips, what gap remains taken out of the lower lip."""
    gap = np.linalg.norm(normal[:, 13] - normal[:, 14], axis=1)
    lids = np.linalg.norm(normal[:, 159] - normal[:, 145], axis=1)
    awake = lids >= np.percentile(lids, 40)
    calm = gap <= np.percentile(gap[awake], 30)
    shape = np.median(normal[calm & awake] if (calm & awake).any() else normal[calm], axis=0)
    opening = shape[14] - shape[13]
    for index, share in LOWER_LIP.items():
        shape[index] -= share * opening
    return shape


def full_track(faces: Iterable[Face | None]) -> np.ndarray:
    """(F, 478, 3) landmarks; a clip with a frame without a face is refused: labels must be whole.

    Raises:
        FaceError: names the first such frame.
    """
    tracked = []
    for i, face in enumerate(faces):
        if face is None:
            raise FaceError(f"No face in frame {i}: training clips need one in every frame.")
        tracked.append(face.landmarks)
    if not tracked:
        raise FaceError("The clip has no frames.")
    return np.stack(tracked)
