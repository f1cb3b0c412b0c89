"""What goes in: the driver's crops become driving pictures in the portrait's square, with the amplitude asked for.

The driver's window follows the face. As in LivePortrait here, every frame is therefore told in the square of the first
one that shows the face, so that a moving window causes no motion; then the motion since that frame is amplified, and
the first face is laid onto the portrait's. All of these are similarities, so each picture is resampled once.

Axis letters: F frames, S pixels of a side, h w latent grid.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import repeat
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from vivant.core.controls import Controls
from vivant.core.errors import ConfigError
from vivant.core.face import FaceCrop
from vivant.core.facemesh import FACE_POINTS, SKULL
from vivant.core.similarity import Similarity
from vivant.methods.megactor_sigma.config import Config, Options
from vivant.methods.megactor_sigma.regions import chosen_mask, eyes_and_mouth, latent_masks, region_boxes, shown


class Drive(NamedTuple):
    """Which regions of the driver are shown."""

    eyes: bool
    mouth: bool


def asked_drive(controls: Controls, options: Options) -> Drive:
    """What of the driver is shown: what the options say; without a driver nothing."""
    if controls.driving is None:
        return Drive(False, False)
    asked = options.drive
    if asked == "auto":
        asked = "eyes" if controls.speech is not None else "both"
    return Drive(asked in ("both", "eyes"), asked in ("both", "mouth"))


def anchored(source: FaceCrop, controls: Controls, options: Options, config: Config) -> Controls:
    """The controls; where speech alone drives and an anchor is wanted, the portrait itself is the driver.

    Speech says nothing about where the head is. Training has both, speech alone and speech beside a driver's eyes; the
    second is much the commoner, and a small net keeps its place by the eyes.

    Raises:
        ConfigError: an anchor beside a driver, which is one itself.
    """
    if options.anchor == "portrait" and controls.driving is not None:
        raise ConfigError("An anchor is for speech alone: leave --anchor out beside a driver.")
    wanted = config.anchor if options.anchor == "auto" else options.anchor == "portrait"
    alone = controls.driving is None and controls.speech is not None
    return replace(controls, driving=[source]) if wanted and alone else controls


def amplified(first: np.ndarray, now: np.ndarray, amount: float, travel: bool) -> Similarity:
    """What to apply to a driving frame so that its head moves ``amount`` times as far since the first frame.

    The similarity T that carries the skull's landmarks ``first`` to ``now``, both (478, 2 or 3), is undone, and its
    amplified form is applied (section "amplitude adjustment"): angle and distance of the scale from 1 times ``amount``,
    and with ``travel`` the shift of the face's centre. 1 leaves the frame as it is, 0 stops the head; expressions stay.
    """
    if amount == 1:
        return Similarity()
    skull = list(SKULL)
    moved = Similarity.fit(first[skull], now[skull])
    x, y = first[skull, :2].astype(np.float64).mean(0)
    return moved.amplified(amount, complex(x, y), travel).after(moved.inverse)


def laid_on(first: np.ndarray, portrait: np.ndarray) -> Similarity:
    """Scale and shift, without a turn, that lay the face ``first`` onto that of ``portrait`` (478, 2 or 3)."""
    skull = list(SKULL)
    a, b = first[skull, :2].astype(np.float64), portrait[skull, :2].astype(np.float64)
    scale = float(np.sqrt(np.square(b - b.mean(0)).sum() / max(np.square(a - a.mean(0)).sum(), 1e-9)))
    shift = b.mean(0) - scale * a.mean(0)
    return Similarity(complex(scale, 0), complex(*shift))


def resized_points(landmarks: np.ndarray, side: int, size: int) -> np.ndarray:
    """Landmarks (N, 2 or 3) in pixels of a picture of ``side``, in pixels of the same picture at ``size``: (N, 2)."""
    return (landmarks[:, :2] + 0.5) * (size / side) - 0.5


class DrivingFrames:
    """Driving pictures of a clip, read in rising order; asking for earlier ones reads the driver again.

    Frames in which no face is seen repeat the one before, and those before the first face show it; a driver without any
    face gives black pictures and ``drives`` 0.
    """

    def __init__(self, source: FaceCrop, controls: Controls, config: Config, options: Options) -> None:
        assert controls.driving is not None
        self._crops, self._options, self._size = controls.driving, options, config.output_size
        self._latent = config.net.side
        self._portrait = resized_points(source.landmarks, source.image.shape[0], self._size)
        drive = asked_drive(controls, options)
        eyes, mouth = torch.tensor(float(drive.eyes)), torch.tensor(float(drive.mouth))
        self._chosen = eyes_and_mouth(eyes, mouth)
        own = torch.from_numpy(resized_points(source.landmarks, source.image.shape[0], self._size)[list(FACE_POINTS)])
        self._own = region_boxes(self._normal(own))
        self._rows: Iterator[tuple[Tensor, Tensor, Tensor]] | None = None
        self._next = 0

    def _normal(self, points: Tensor) -> Tensor:
        return (points.float() + 0.5) * (2 / self._size) - 1

    def window(self, first: int, stop: int) -> tuple[Tensor, Tensor, Tensor]:
        """Of the frames ``first``..``stop`` - 1: pictures (n, 3, S, S), masks of mouth and driven region (n, 2, h, w),
        and ``drives`` (n,), 0 for frames that nothing drives."""
        if self._rows is None or first < self._next:
            self._rows, self._next = self._walk(), 0
        rows = [next(self._rows) for _ in range(self._next, stop)][first - self._next :]
        self._next = stop
        pictures, masks, drives = zip(*rows)
        return torch.stack(pictures), torch.stack(masks), torch.stack(drives)

    def _walk(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        size, latent = self._size, self._latent
        row: tuple[Tensor, Tensor, Tensor] | None = None
        waiting = 0  # frames before the first face
        to_first: Similarity | None = None
        first: np.ndarray | None = None
        lay = Similarity()
        for crop in self._crops:
            if crop is not None:
                to_picture = Similarity.of_matrix(crop.to_frame)
                if to_first is None or first is None:
                    to_first, first = to_picture.inverse, crop.landmarks
                    lay = laid_on(first, self._portrait)
                told = to_first.after(to_picture)
                carry = lay.after(self._amplified(first, told.points(crop.landmarks))).after(told)
                row = self._row(crop, carry)
            if row is None:
                waiting += 1
                continue
            yield from repeat(row, waiting + 1)
            waiting = 0
        # a picture that drives lasts
        yield from repeat(row or (torch.zeros(3, size, size), torch.zeros(2, latent, latent), torch.zeros(())))

    def _amplified(self, first: np.ndarray, now: np.ndarray) -> Similarity:
        return amplified(first, now, self._options.strength_visual, self._options.travel)

    def _row(self, crop: FaceCrop, carry: Similarity) -> tuple[Tensor, Tensor, Tensor]:
        size = self._size
        image = cv2.warpAffine(crop.image, carry.matrix(), (size, size), flags=cv2.INTER_LINEAR)
        points = self._normal(torch.from_numpy(carry.points(crop.landmarks[list(FACE_POINTS)])))
        boxes = region_boxes(points)
        picture = torch.from_numpy(image).permute(2, 0, 1).float() / 255
        region = chosen_mask(boxes, self._chosen, size)
        masks = latent_masks(boxes, self._own, self._chosen, self._latent)
        return shown(picture, region), masks, self._chosen.amax()
