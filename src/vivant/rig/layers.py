"""The photograph taken apart: who moves (matte), what is behind (background), colours of the moving layer."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from vivant.rig.anatomy import OVAL, smoothstep

_NOSE = 1
_GRAIN = 6.0  # of 255
_COARSE = 64  # cells of the grid on which colours behind the person are found


@dataclass(frozen=True)
class Layers:
    """``matte``: (S, S) float32 in 0..1. ``background``: (S, S, 3) float32 0..255, filled behind the person.
    ``person``: (S, S, 4) float32, colour times matte, and the matte in 0..255."""

    matte: np.ndarray
    background: np.ndarray
    person: np.ndarray


def take_apart(image: np.ndarray, landmarks: np.ndarray, matte: np.ndarray | None) -> Layers:
    """Layers of ``image`` (S, S, 3) float32; without a matte (S, S) everything belongs to the person."""
    alpha = np.ones(image.shape[:2], np.float32) if matte is None else person_of_face(matte, landmarks)
    background = fill_background(image, alpha)
    opaque = alpha[..., None]
    colour = np.clip((image - (1 - opaque) * background) / np.maximum(opaque, 0.15), 0, 255)
    colour = np.where(opaque > 0.9, image, colour)
    return Layers(alpha, background, np.concatenate([colour * opaque, opaque * 255], -1).astype(np.float32))


def person_of_face(matte: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """``matte`` restricted to the piece that holds the face, and the face forced into it."""
    side = len(matte)
    oval = np.zeros((side, side), np.uint8)
    cv2.fillPoly(oval, [np.round(landmarks[list(OVAL), :2]).astype(np.int32)], 1)
    face = cv2.GaussianBlur(cv2.erode(oval, np.ones((5, 5))).astype(np.float32), (0, 0), 2)
    alpha = np.maximum(matte.astype(np.float32), face)
    pieces = cv2.connectedComponents((alpha > 0.3).astype(np.uint8))[1]
    x, y = np.clip(np.round(landmarks[_NOSE, :2]), 0, side - 1).astype(int)
    kept = cv2.dilate((pieces == pieces[y, x]).astype(np.float32), np.ones((9, 9)))
    result: np.ndarray = alpha * cv2.GaussianBlur(kept, (0, 0), 1.5)
    return result


def fill_background(image: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """(S, S, 3) float32: the picture without the person.

    Behind the person colours go over smoothly from edge to edge (Laplace's equation), and the texture of the background
    is continued by its mirror image; a plain patch would show as a ghost of the outline as soon as the head moves.
    """
    side = len(image)
    width = max(3, side // 24) | 1
    known = (cv2.dilate(alpha, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))) < 0.06).astype(np.float32)
    if known.mean() < 0.02:
        return push_pull(image, np.clip(1 - alpha, 0.001, 1))
    sigma = side / 24
    weight = cv2.GaussianBlur(known, (0, 0), sigma)[..., None]
    smooth = cv2.GaussianBlur(image * known[..., None], (0, 0), sigma) / np.maximum(weight, 1e-4)
    base = _harmonic(smooth, known)
    grain = _GRAIN * np.tanh((image - smooth) / _GRAIN)  # texture, but no contours: mirrored they would be spikes
    texture = _mirrored(grain * known[..., None], known)
    filled = np.clip(base + texture, 0, 255)
    distance = cv2.distanceTransform((known > 0.5).astype(np.uint8), cv2.DIST_L2, 5)
    real = smoothstep(0.0, side / 20, distance)[..., None]
    result: np.ndarray = (image * real + filled * (1 - real)).astype(np.float32)
    return result


def _harmonic(image: np.ndarray, known: np.ndarray) -> np.ndarray:
    """``image`` (H, W, 3) where ``known`` (H, W) is 1, elsewhere the smoothest surface between, from a coarse grid."""
    size = (_COARSE, _COARSE)
    share = cv2.resize(known, size, interpolation=cv2.INTER_AREA)
    colour = (
        cv2.resize(image * known[..., None], size, interpolation=cv2.INTER_AREA) / np.maximum(share, 1e-4)[..., None]
    )
    fixed = (share > 0.5)[..., None]
    surface = push_pull(np.where(fixed, colour, 0), fixed[..., 0].astype(np.float32))
    for _ in range(300):
        surface = np.where(fixed, colour, cv2.blur(surface, (3, 3), borderType=cv2.BORDER_REPLICATE))
    fine = cv2.resize(surface, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_CUBIC)
    trust = cv2.GaussianBlur(known, (0, 0), image.shape[0] / _COARSE)[..., None] * known[..., None]
    result: np.ndarray = image * trust + fine * (1 - trust)
    return result


def _mirrored(texture: np.ndarray, known: np.ndarray) -> np.ndarray:
    """``texture`` (H, W, 3) continued over the edge of ``known`` (H, W) by its mirror image, which fades away."""
    unknown = (known < 0.5).astype(np.uint8)
    distance, label = cv2.distanceTransformWithLabels(unknown, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    rows, columns = np.nonzero(unknown == 0)
    edge = np.zeros((label.max() + 1, 2), np.float32)
    edge[label[rows, columns]] = np.stack([columns, rows], 1)
    height, width = known.shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    nearest = cv2.GaussianBlur(edge[label], (0, 0), len(known) / 80)  # less jitter where two edges are equally near
    across, down = 2 * nearest[..., 0] - x, 2 * nearest[..., 1] - y
    found = cv2.remap(texture, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    there = cv2.remap(known, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    fade = (there * smoothstep(len(known) / 6, 0, distance))[..., None]
    return np.where(unknown[..., None] > 0, found * fade, texture)


def push_pull(image: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """``image`` (H, W, 3) where ``weight`` (H, W) is, smoothly continued elsewhere (Gortler et al. 1996)."""
    levels = [(image.astype(np.float32) * weight[..., None], weight.astype(np.float32))]
    while min(levels[-1][1].shape) > 2:
        size = (levels[-1][1].shape[1] + 1) // 2, (levels[-1][1].shape[0] + 1) // 2
        levels.append(_halved(*levels[-1], size))
    colour, known = levels[-1]
    filled = colour / np.maximum(known, 1e-6)[..., None]
    for colour, known in levels[-2::-1]:
        coarse = cv2.resize(filled, (known.shape[1], known.shape[0]), interpolation=cv2.INTER_LINEAR)
        own = np.where(known[..., None] > 1e-4, colour / np.maximum(known, 1e-6)[..., None], coarse)
        trust = np.clip(known, 0, 1)[..., None]
        filled = own * trust + coarse * (1 - trust)
    return filled


def _halved(colour: np.ndarray, known: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    return cv2.resize(colour, size, interpolation=cv2.INTER_AREA), cv2.resize(known, size, interpolation=cv2.INTER_AREA)
