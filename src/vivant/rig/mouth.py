"""The inside of the mouth: teeth, gums, tongue and dark, in the light of the face; or the photo's own."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from vivant.rig.anatomy import LOWER_LIP, UPPER_LIP, anatomy
from vivant.rig.head import HeadModel
from vivant.rig.shape import Shape
from vivant.rig.teeth import PhotoTeeth, find_teeth

OPEN_GAP = 0.12  # cm; lips further apart than this show the photo's own mouth
_CHEEKS = (205, 425, 50, 280)
_SOCKET, _GUMS, _TEETH = (85.0, 40.0, 45.0), (165.0, 84.0, 92.0), (222.0, 210.0, 190.0)  # RGB
_DEEP = np.array([1.3, 1.9, 1.9])  # deep in the mouth light is weak, and red from gums and tongue
_FRONT = 10.7  # cm; z of the front teeth, from where it grows dark


@dataclass(frozen=True)
class Mouth:
    """``colours``: (V, 3) float32 of the vertices of the mouth, 0 elsewhere. ``photo``: (S, S) float32 weight of the
    photo's own mouth, all 0 when the lips are shut. ``teeth``: those that the photo shows, or None."""

    colours: np.ndarray
    photo: np.ndarray
    teeth: PhotoTeeth | None = None


def make_mouth(image: np.ndarray, landmarks: np.ndarray, shape: Shape) -> Mouth:
    """The mouth of ``image`` (S, S, 3) float32."""
    head = HeadModel.load()
    cheek = _cheek_colour(image, shape)
    exposure = float(np.clip(0.45 + 0.75 * cheek.mean() / 255, 0.4, 1.1))
    colourful = np.clip((cheek.max() - cheek.min()) / max(cheek.max(), 1) / 0.25, 0, 1)  # grey stills have grey gums

    def lit(colour: tuple[float, float, float], strength: float) -> np.ndarray:
        rgb = np.array(colour)
        return (rgb.mean() * (1 - colourful) + rgb * colourful) * exposure * strength

    colours = np.zeros((len(head.neutral), 3), np.float32)
    colours[head.parts["socket"]] = lit(_SOCKET, 0.6)
    colours[head.parts["gums"]] = lit(_GUMS, 1.0)
    colours[head.parts["teeth"]] = lit(_TEETH, 0.85)
    depth = np.clip((_FRONT - head.neutral[:, 2]) / 6, 0, 1)
    colours *= (1 - 0.85 * depth)[:, None] ** _DEEP
    photo = np.zeros(image.shape[:2], np.float32)
    if shape.gap > OPEN_GAP:
        photo, seen = _photo_mouth(image, landmarks)
        _match_teeth(colours[head.parts["teeth"]], seen)
        return Mouth(colours, photo, find_teeth(image, landmarks, shape))
    return Mouth(colours, photo)


def _cheek_colour(image: np.ndarray, shape: Shape) -> np.ndarray:
    at = np.round(shape.pixels[anatomy().mesh_vertex[list(_CHEEKS)]]).astype(int)
    x, y = np.clip(at, 0, len(image) - 1).T
    colour: np.ndarray = image[y, x].mean(0)
    return colour


def _photo_mouth(image: np.ndarray, landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(S, S) weight of the opening between the lips, and the pixels (N, 3) well inside."""
    outline = landmarks[[*UPPER_LIP, *LOWER_LIP[::-1]], :2]
    side = len(image)
    fine = np.zeros((2 * side, 2 * side), np.uint8)
    cv2.fillPoly(fine, [np.round((outline + 0.5) * 2 - 0.5).astype(np.int32)], 255)
    mask = cv2.resize(fine, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    return cv2.GaussianBlur(cv2.dilate(mask, np.ones((3, 3))), (0, 0), 0.7), image[mask > 0.9]


def _match_teeth(teeth: np.ndarray, seen: np.ndarray) -> None:
    """Scale ``teeth`` (N, 3) in place to the brightest fifth of the mouth's pixels, if that can be teeth."""
    if len(seen) <= 20:
        return
    light = seen.mean(1)
    bright = seen[light >= np.percentile(light, 80)].mean(0)
    if bright.mean() > 80:
        teeth *= bright / np.maximum(teeth.max(0), 1) * 0.95
