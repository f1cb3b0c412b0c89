"""V-Kps of V-Express: three points of a face drawn as a V, and carried from a driver's face to another one.

Axis letters: F frames, H W pixels. The points are the eye on the left of the picture, the eye on the right, and the
nose tip (arXiv:2406.02511, section 3.2); x right and y down.
"""

from __future__ import annotations

from typing import Literal, get_args

import cv2
import numpy as np
import torch
from torch import Tensor

from vivant.core.errors import ConfigError

Retargeting = Literal["none", "fix", "naive", "offset"]
STRATEGIES: tuple[str, ...] = get_args(Retargeting)
_COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255))
_STICK, _DOT = 4, 4  # half width and radius in pixels of a 512 x 512 picture
_EYE_CORNERS = ((33, 133), (362, 263))
_NOSE_TIP = 1


def face_points(landmarks: np.ndarray) -> np.ndarray:
    """(..., 478, 2 or 3) landmarks of a face -> (..., 3, 2) V-Kps in the same unit."""
    eyes = [landmarks[..., list(pair), :2].mean(-2) for pair in _EYE_CORNERS]
    return np.stack([*eyes, landmarks[..., _NOSE_TIP, :2]], -2).astype(np.float32)


def draw_v_kps(points: np.ndarray, size: tuple[int, int], scale: float = 1.0) -> np.ndarray:
    """One frame's V-Kps (3, 2) in pixels -> (H, W, 3) uint8 RGB, to the pixel as the released code draws them.

    ``size``: (H, W). ``scale``: multiplies the thickness of lines and dots, which is meant for 512 x 512.
    """
    canvas = np.zeros((*size, 3), np.uint8)
    half, radius = max(1, round(_STICK * scale)), max(1, round(_DOT * scale))
    nose = points[2].astype(np.float64)
    for number in (0, 1):
        eye = points[number].astype(np.float64)
        middle, along = (eye + nose) / 2, eye - nose
        axes = (int(np.hypot(*along) / 2), half)
        angle = int(np.degrees(np.arctan2(along[1], along[0])))
        outline = cv2.ellipse2Poly((int(middle[0]), int(middle[1])), axes, angle, 0, 360, 1)
        dim = [int(value * 0.6) for value in _COLOURS[number]]
        cv2.fillConvexPoly(canvas, np.asarray(outline), dim)
    for point, colour in zip(points, _COLOURS):
        cv2.circle(canvas, (int(point[0]), int(point[1])), radius, colour, -1)
    return canvas


def draw_v_kps_smooth(points: Tensor, size: int, scale: float = 1.0) -> Tensor:
    """V-Kps (..., 3, 2) in -1..1 -> (..., 3, size, size) in 0..1, drawn on the device with soft edges.

    The same V, but places between pixels show, so that small motions do not jump. ``scale``: of the thickness, which
    is meant for 512 x 512.
    """
    grid = torch.arange(size, device=points.device, dtype=torch.float32) + 0.5
    x, y = grid[None, :], grid[:, None]
    px, py = ((points.float() + 1) * (size / 2)).unbind(-1)
    px, py = px[..., None, None], py[..., None, None]  # (..., 3, 1, 1)
    dots = ((x - px).square() + (y - py).square()).sqrt()
    ax, ay, bx, by = px[..., :2, :, :], py[..., :2, :, :], px[..., 2:, :, :], py[..., 2:, :, :]
    dx, dy = bx - ax, by - ay
    share = (((x - ax) * dx + (y - ay) * dy) / (dx.square() + dy.square()).clamp_min(1e-6)).clamp(0, 1)
    sticks = ((x - ax - share * dx).square() + (y - ay - share * dy).square()).sqrt()
    dots, sticks = (((radius * scale + 0.5) - d).clamp(0, 1) for radius, d in ((_DOT, dots), (_STICK, sticks)))
    return _painted(sticks, dots, 0.6)


def draw_v_kps_whole(points: Tensor, size: int, scale: float = 1.0) -> Tensor:
    """V-Kps (..., 3, 2) in -1..1 -> (..., 3, size, size) in 0..1, drawn on the device as :func:`draw_v_kps` draws them.

    Ellipses and discs of whole pixels; where their outlines run, a few pixels of a hundred are drawn on one side only.
    ``scale``: of the thickness, which is meant for 512 x 512.
    """
    half = max(1, round(_STICK * scale))
    grid = torch.arange(size, device=points.device, dtype=torch.float32)
    pixels = (points.float() + 1) * (size / 2)
    eyes, nose = pixels[..., :2, :], pixels[..., 2:, :]
    across = eyes - nose
    angle = torch.deg2rad(torch.rad2deg(torch.atan2(across[..., 1], across[..., 0])).trunc())[..., None, None]
    long = (across.norm(dim=-1) / 2).floor()[..., None, None] + _OUTLINE

    def away(centres: Tensor) -> tuple[Tensor, Tensor]:
        x, y = centres.trunc()[..., None, None].unbind(-3)
        return grid[None, :] - x, grid[:, None] - y

    x, y = away((eyes + nose) / 2)
    along, beside = x * angle.cos() + y * angle.sin(), y * angle.cos() - x * angle.sin()
    sticks = ((along / long).square() + (beside / (half + _OUTLINE)).square() <= 1).float()
    x, y = away(pixels)
    dots = (x.square() + y.square() <= max(1, round(_DOT * scale)) ** 2).float()
    return _painted(sticks, dots, int(0.6 * 255) / 255)


_OUTLINE = 0.65  # how far the outlines of drawn ellipses reach beyond their axes, in pixels


def _painted(sticks: Tensor, dots: Tensor, dim: float) -> Tensor:
    """Masks of two sticks (..., 2, H, W) and three dots (..., 3, H, W) in red, green and blue, dots above."""
    colours = torch.eye(3, device=dots.device)
    canvas = torch.zeros_like(dots)
    for masks, light in ((sticks, dim), (dots, 1.0)):
        for number in range(masks.shape[-3]):
            mask = masks[..., number : number + 1, :, :]
            canvas = canvas * (1 - mask) + mask * (light * colours[number])[:, None, None]
    return canvas


def retarget(
    driving: np.ndarray, reference: np.ndarray, strategy: Retargeting, upstream: bool = False, gain: float = 1.0
) -> np.ndarray:
    """A driver's V-Kps (F, 3, 2) on the face whose own are ``reference`` (3, 2), in pixels or any square unit.

    Args:
        driving: the driver's points.
        reference: the portrait's points.
        strategy: "none" takes the driver's as they are; "fix" repeats the portrait's; "naive" scales the driver's face
            to the portrait's size and starts at its nose; "offset" keeps the portrait's shape and adds the movement of
            the driver's nose.
        upstream: as the released code has it: the frame that is most like the portrait is sought wrongly, the nose's
            movement is halved and mirrored, and points are scaled about the picture's corner.
        gain: of the nose's movement in "offset".

    Raises:
        ConfigError: unknown strategy, or no frames.
    """
    if strategy not in STRATEGIES:
        raise ConfigError(f"There is no V-Kps retargeting '{strategy}': use {', '.join(STRATEGIES)}.")
    if len(driving) == 0:
        raise ConfigError("The V-Kps have no frames: give at least one.")
    driving, reference = np.asarray(driving, np.float64), np.asarray(reference, np.float64)
    if strategy == "none":
        return driving.astype(np.float32)
    if strategy == "fix":
        return np.repeat(reference[None], len(driving), 0).astype(np.float32)
    chosen = driving[_most_alike(driving, reference, upstream)]
    scale = np.array([_eye_distance(reference), _nose_height(reference)])
    scale /= np.maximum([_eye_distance(chosen), _nose_height(chosen)], 1e-6)
    scaled = driving * scale
    if strategy == "naive":
        return (scaled - (scaled[0, 2] - reference[2])).astype(np.float32)
    movement = scaled[:, 2] - scaled[0, 2]
    movement = -movement / 2 if upstream else movement * gain
    return (reference + movement[:, None]).astype(np.float32)


def _most_alike(driving: np.ndarray, reference: np.ndarray, upstream: bool) -> int:
    """Frame whose ratio of the two eye-nose distances is closest to the portrait's (paper section 3.5)."""
    ratios, wanted = _ratio(driving), _ratio(reference)
    if not upstream:
        return int(np.abs(ratios - wanted).argmin())
    best, chosen = np.inf, 0
    for index, ratio in enumerate(ratios):
        if abs(ratio - wanted) < best:
            best, chosen = float(ratio), index  # the released code keeps the ratio where the distance belongs
    return chosen


def _ratio(points: np.ndarray) -> np.ndarray:
    left, right = (np.linalg.norm(points[..., eye, :] - points[..., 2, :], axis=-1) for eye in (0, 1))
    found: np.ndarray = left / (right + 1e-6)
    return found


def _eye_distance(points: np.ndarray) -> float:
    return float(np.linalg.norm(points[0] - points[1]))


def _nose_height(points: np.ndarray) -> float:
    """Distance of the nose from the segment between the eyes."""
    along = points[1] - points[0]
    share = np.dot(points[2] - points[0], along) / max(float(np.dot(along, along)), 1e-12)
    return float(np.linalg.norm(points[2] - points[0] - np.clip(share, 0, 1) * along))
