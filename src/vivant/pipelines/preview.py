"""What will happen to a picture, shown before any work: its faces, the square that a method gets, where it returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from vivant.compose.paste import Paster
from vivant.core.errors import ConfigError
from vivant.core.face import Face
from vivant.pipelines.choose import FaceChoice, check_face, choose_faces, where
from vivant.pipelines.crops import crop_of, native_side
from vivant.pipelines.inputs import Media, as_clip, first_frame, name_of
from vivant.pipelines.sources import crop_side

CHOSEN, OTHER = (255, 140, 0), (255, 255, 255)
OUTSIDE = 0.35
"""Brightness left of what the result does not touch."""


@dataclass(frozen=True)
class Look:
    """A picture and its faces, largest first. ``frame``: (H, W, 3) uint8 RGB; ``name``: how messages call it."""

    frame: np.ndarray
    faces: list[Face]
    name: str

    def labels(self) -> list[tuple[str, str]]:
        """Choices for a person: (words, the choice as ``--face`` takes it)."""
        several = [("All faces", "all")] if len(self.faces) > 1 else []
        return [(f"Face {i} {where(face)}", str(i)) for i, face in enumerate(self.faces)] + several

    def face_at(self, x: float, y: float) -> int | None:
        """Index of the smallest face whose box holds the pixel, None where there is none."""
        inside = [i for i, f in enumerate(self.faces) if f.box[0] <= x <= f.box[2] and f.box[1] <= y <= f.box[3]]
        return min(inside, key=lambda i: self.faces[i].size, default=None)

    def chosen(self, choice: FaceChoice) -> list[Face]:
        """The meant faces.

        Raises:
            FaceError: there is none, it is too small, or a profile.
        """
        size = (self.frame.shape[0], self.frame.shape[1])
        faces, _ = choose_faces(self.faces, choice, self.name, size)
        if choice != "all":
            check_face(faces[0], self.name, size)
        return faces


def look(finder: Any, source: Media) -> Look:
    """Find the faces of a still, or of a video's first frame.

    Raises:
        MediaError: the file cannot be read.
        FaceError: there is no face.
    """
    name = name_of(source, "source")
    frame = first_frame(as_clip(source, "source"), name)
    found = Look(frame, finder.find(frame), name)
    choose_faces(found.faces, "all", name, (frame.shape[0], frame.shape[1]))
    return found


def shrink(picture: np.ndarray, side: int) -> tuple[np.ndarray, float]:
    """``picture`` with its longer side at most ``side`` pixels, and its pixels over the original's."""
    scale = min(1.0, side / max(picture.shape[:2]))
    if scale == 1.0:
        return picture, 1.0
    size = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA), scale


def annotated(found: Look, choice: FaceChoice, side: int = 640) -> tuple[np.ndarray, float]:
    """The picture with a numbered box around every face, the chosen ones in orange, and its scale; at most ``side``
    pixels."""
    picture, scale = shrink(found.frame, side)
    picture = picture.copy()
    chosen = found.chosen(choice)
    thick = max(1, round(max(picture.shape[:2]) / 250))
    for index, face in enumerate(found.faces):
        colour = CHOSEN if any(face is other for other in chosen) else OTHER
        x0, y0, x1, y1 = (round(float(v) * scale) for v in face.box)
        cv2.rectangle(picture, (x0, y0), (x1, y1), (0, 0, 0), thick + 2)
        cv2.rectangle(picture, (x0, y0), (x1, y1), colour, thick)
        for ink, width in (((0, 0, 0), thick + 3), (colour, thick)):
            cv2.putText(picture, str(index), (x0 + 4, y0 - 6), cv2.FONT_HERSHEY_SIMPLEX, thick / 2.5, ink, width)
    return picture, scale


def crop_and_mask(config: Any, found: Look, choice: FaceChoice, side: int = 320) -> tuple[np.ndarray, np.ndarray]:
    """(S, S x faces, 3): the squares that a method with ``config`` works on; and the picture in which what the result
    leaves as it is stays dark.

    Raises:
        ConfigError: the method cuts no square around a face.
        FaceError: the face cannot be used.
    """
    view = getattr(config, "source_crop", None)
    if view is None:
        raise ConfigError("This method works on the whole person: there is no square around the face to show.")
    faces = found.chosen(choice)
    height, width = found.frame.shape[:2]
    weight, squares = np.zeros((height, width), np.float32), []
    for face in faces:
        size = native_side(face, config) if getattr(config, "native", False) else crop_side(config)
        crop = crop_of(found.frame, face, view, size)
        paster = Paster((height, width), crop.to_frame, size)
        x0, y0, x1, y1 = paster.box
        if paster.weight.size:
            region = weight[y0:y1, x0:x1]
            np.maximum(region, paster.weight, out=region)
        squares.append(cv2.resize(crop.image, (side, side), interpolation=cv2.INTER_AREA))
    light = OUTSIDE + (1 - OUTSIDE) * weight[..., None]
    shown, _ = shrink((found.frame * light).astype(np.uint8), side)
    return np.concatenate(squares, axis=1), shown
