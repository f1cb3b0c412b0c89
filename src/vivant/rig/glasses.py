"""Are there glasses? A bar across the nose, and a ring under both eyes."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from vivant.rig.anatomy import LID_RING_LEFT, LID_RING_RIGHT

_EYES = ((33, 133), (362, 263))  # corners of each eye, the one on the left of the picture first
_BRIDGE = (133, 362)
_CHEEKS = (50, 280, 205, 425)
_WORN = (
    1.15  # 97 of 1,120 portraits lie above it, about 80 of them with glasses; most others are deep bags under the eyes
)
_DARK = 0.12  # contrast between the lids over the cheek's light, below which glasses hide the eyes
_DARK_LIGHT = 0.45


@dataclass(frozen=True)
class Glasses:
    """``score``: how much it looks like glasses. ``worn``: whether that is enough. ``dark``: they hide the eyes."""

    score: float
    worn: bool
    dark: bool


def find_glasses(image: np.ndarray, landmarks: np.ndarray) -> Glasses:
    """Glasses on the face of ``image`` (S, S, 3) float32 0..255."""
    grey = image.mean(-1).astype(np.float32)
    points = landmarks[:, :2].astype(np.float64)
    score = 5 * min(_bar(grey, points), 0.1) + 10 * min(_ring(grey, points, eye) for eye in _EYES)
    worn = score > _WORN
    return Glasses(float(score), bool(worn), bool(worn and _hides_eyes(grey, points)))


def _sampled(grey: np.ndarray, at: np.ndarray, width: float) -> np.ndarray:
    """Brightness at pixels (H, W, 2) over its median; ``width``: scale of the face in pixels."""
    soft = cv2.GaussianBlur(grey, (0, 0), max(0.5, width / 40))
    x, y = (at[..., k].astype(np.float32) for k in (0, 1))
    values = cv2.remap(soft, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return values / max(float(np.median(values)), 20.0)


def _ridge(values: np.ndarray, reach: int) -> np.ndarray:
    """How far each row differs, to the same side, from the rows ``reach`` above and below."""
    above, below = values[: -2 * reach] - values[reach:-reach], values[2 * reach :] - values[reach:-reach]
    return np.where(above * below > 0, np.minimum(np.abs(above), np.abs(below)), 0) * np.sign(above)


def _bar(grey: np.ndarray, points: np.ndarray) -> float:
    """A line straight across the bridge of the nose, seen in nearly every column."""
    first, second = points[list(_BRIDGE)]
    width = float(np.linalg.norm(second - first))
    right = (second - first) / max(width, 1e-6)
    down = np.array([-right[1], right[0]])
    x, y = np.linspace(-0.3, 0.3, 9), np.linspace(-0.9, 0.9, 73)
    at = (first + second) / 2 + (x[None, :, None] * right + y[:, None, None] * down) * width
    ridge = np.sort(np.abs(_ridge(_sampled(grey, at, width), 5)), axis=1)[:, 1]
    return float(ridge[8:-6].max())


def _ring(grey: np.ndarray, points: np.ndarray, eye: tuple[int, int]) -> float:
    """The strongest unbroken curve under an eye, mean over its length; dark ones count more than bright ones."""
    first, second = points[list(eye)]
    width = float(np.linalg.norm(second - first))
    right = (second - first) / max(width, 1e-6)
    down = np.array([-right[1], right[0]])
    angle, radius = np.radians(np.linspace(15, 165, 31)), np.linspace(0.45, 1.25, 41)
    arms = np.cos(angle)[:, None] * right + np.sin(angle)[:, None] * down
    at = (first + second) / 2 + arms[:, None] * radius[None, :, None] * width
    ridge = _ridge(_sampled(grey, at, width).T, 4).T
    strength = np.minimum(np.where(ridge > 0, ridge, -0.7 * ridge), 0.25)
    best = strength[0]
    for row in strength[1:]:  # the curve may step in or out by one radius from arm to arm
        padded = np.pad(best, 1, constant_values=-1)
        best = row + np.maximum(np.maximum(padded[:-2], padded[1:-1]), padded[2:])
    return float(best.max() / len(strength))


def _hides_eyes(grey: np.ndarray, points: np.ndarray) -> bool:
    mask = np.zeros(grey.shape, np.uint8)
    for ring in (LID_RING_LEFT, LID_RING_RIGHT):
        cv2.fillPoly(mask, [np.round(points[list(ring)]).astype(np.int32)], 1)
    x, y = np.clip(np.round(points[list(_CHEEKS)]), 0, len(grey) - 1).astype(int).T
    cheek, eyes = max(float(grey[y, x].mean()), 20.0), grey[mask > 0]
    return bool(len(eyes) == 0 or eyes.std() < _DARK * cheek or np.percentile(eyes, 90) < _DARK_LIGHT * cheek)
