"""The photograph taken apart: who moves (matte), what is behind (background), colours of the moving layer."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from vivant.rig.anatomy import OVAL, smoothstep

_NOSE = 1


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
    """(S, S, 3) float32: the picture without the person. Near the person it is a blur, which turns into the real
    background further away: a sharp seam would show a ghost of the outline as soon as the head moves."""
    side = len(image)
    width = max(3, side // 26) | 1
    known = (cv2.dilate(alpha, np.ones((width, width))) < 0.06).astype(np.float32)
    if known.mean() < 0.02:
        return push_pull(image, np.clip(1 - alpha, 0.001, 1))
    sigma = side / 22
    weight = cv2.GaussianBlur(known, (0, 0), sigma)[..., None]
    near = cv2.GaussianBlur(image * known[..., None], (0, 0), sigma) / np.maximum(weight, 1e-4)
    far = cv2.GaussianBlur(push_pull(image, known), (0, 0), sigma * 0.7)
    trust = smoothstep(0.02, 0.25, weight)
    soft = near * trust + far * (1 - trust)
    distance = cv2.distanceTransform((known > 0.5).astype(np.uint8), cv2.DIST_L2, 5)
    real = smoothstep(0.0, side / 7, distance)[..., None]
    result: np.ndarray = (image * real + soft * (1 - real)).astype(np.float32)
    return result


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
