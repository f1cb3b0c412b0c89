"""Draws a rig: background, sheet, then face, mouth and eyes; with the truth about every frame."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vivant.core.errors import ConfigError
from vivant.rig.camera import DISTANCE
from vivant.rig.motion import RigMotion
from vivant.rig.posing import Posed, Poser
from vivant.rig.raster import rasterize
from vivant.rig.shade import Parts, Shader, box_of, parts_of
from vivant.rig.torso import torso_motion

if TYPE_CHECKING:
    from vivant.rig.build import PhotoRig


_GPU_SIDE = 512  # drawn pixels; larger frames are drawn in smaller batches, so that memory stays the same


class Region(IntEnum):
    """Labels of :attr:`Rendered.regions`."""

    BACKGROUND = 0
    BODY = 1  # hair, ears, neck, clothes: whatever the matte holds beside the face
    SKIN = 2
    LIPS = 3
    MOUTH = 4  # inside of the lips: teeth, gums, tongue, dark
    EYES = 5


@dataclass(frozen=True)
class Rendered:
    """One frame with the truth about it. Pixel coordinates are OpenCV's: the centre of the first pixel is (0, 0).

    ``image``: (S, S, 3) uint8 RGB.
    ``landmarks``: (478, 3) float32, points of the face mesh in pixels of ``image``, x right and y down, z in the same
    unit, smaller is nearer, 0 at the mean of the mesh. They are read from the vertices that were drawn, after all
    corrections: 462 points have a vertex of their own, the six others share the vertex of a neighbour; the ten iris
    points are the drawn iris (its centre and four points of its rim), also where a lid hides it.
    ``regions``: (S, S) uint8, labels of :class:`Region`.
    ``depth``: (S, S) float32, distance from the camera in cm (the fitted head is 80 cm away), nan on the background.
    ``pose``: (6,) float32 and ``expression``: (E,) float32, absolute: the head's own yaw, pitch, roll in degrees and
    shift in cm with the signs of ``RigMotion``, log scale relative to the still, and the expression as drawn.
    ``gaze``: (2,) float32 as in ``RigMotion``, relative to the still.
    """

    image: np.ndarray
    landmarks: np.ndarray
    regions: np.ndarray
    depth: np.ndarray
    pose: np.ndarray
    expression: np.ndarray
    gaze: np.ndarray


@dataclass(frozen=True)
class _Drawn:
    """B frames as drawn: ``image`` (B, 3, H, H) 0..255, ``regions`` (B, H, H) uint8, ``depth`` (B, H, H) cm."""

    image: Tensor
    regions: Tensor
    depth: Tensor


class Renderer:
    """Draws one rig at one size; see :meth:`vivant.rig.build.PhotoRig.render`."""

    def __init__(
        self,
        rig: PhotoRig,
        size: int,
        supersample: int = 2,
        background: np.ndarray | None = None,
        device: str = "auto",
        sway: float = 1.0,
    ) -> None:
        if size < 16 or supersample < 1:
            raise ConfigError(f"Frames of {size} px drawn {supersample} times finer cannot be made: use 16 px or more.")
        if background is not None and background.shape != (size, size, 3):
            raise ConfigError(f"The background has shape {background.shape}, the frames {(size, size, 3)}: resize it.")
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self.device = torch.device(device)
        self._rig, self._size, self._fine, self._supersample = rig, size, size * supersample, supersample
        self._sway = sway
        self._poser, self._shader = Poser(rig, self.device), Shader(rig, self.device)
        self._triangles = self._integers(self._poser.triangles)
        self._sheet_triangles = self._integers(rig.sheet.triangles)
        self._sheet_pixels = torch.as_tensor(rig.sheet.pixels, device=self.device)[None]
        self._lips = torch.as_tensor(self._poser.lip_triangles, device=self.device)
        self._background = self._make_background(background)

    def _integers(self, values: np.ndarray) -> Tensor:
        return torch.as_tensor(values, dtype=torch.int32, device=self.device)

    def _make_background(self, given: np.ndarray | None) -> Tensor:
        """(3, H, H)."""
        fine, window = self._fine, self._rig.window
        if given is not None:
            picture = cv2.resize(given.astype(np.float32), (fine, fine), interpolation=cv2.INTER_LINEAR)
        else:
            scale = fine / window.side
            matrix = np.array(
                [[scale, 0, (0.5 - window.left) * scale - 0.5], [0, scale, (0.5 - window.top) * scale - 0.5]]
            )
            picture = cv2.warpAffine(
                self._rig.layers.background,
                matrix,
                (fine, fine),
                flags=cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REPLICATE,
            )
        return torch.as_tensor(picture.transpose(2, 0, 1).copy(), device=self.device)

    def frames(self, motion: RigMotion, batch: int | None = None) -> Iterator[Rendered]:
        """The frames of ``motion``. On a GPU ``batch`` at a time (None: 16 of 512 drawn pixels, fewer of larger ones);
        on the CPU one frame for each of torch's threads."""
        torso = torso_motion(motion, self._sway)
        threads = torch.get_num_threads() if self.device.type == "cpu" else 1
        batch = batch or (1 if self.device.type == "cpu" else max(1, min(16, 16 * _GPU_SIDE**2 // self._fine**2)))
        starts = range(0, len(motion), batch)
        if threads == 1 or len(starts) == 1:
            for start in starts:
                yield from self._render(motion[start : start + batch], torso[start : start + batch])
            return
        with ThreadPoolExecutor(threads, "rig", initializer=torch.set_num_threads, initargs=(1,)) as pool:
            for first in range(0, len(starts), threads):
                parts = [slice(start, start + batch) for start in starts[first : first + threads]]
                for frames in pool.map(lambda part: self._render(motion[part], torso[part]), parts):
                    yield from frames

    @torch.inference_mode()
    def _render(self, motion: RigMotion, torso: np.ndarray) -> list[Rendered]:
        posed = self._poser.pose(motion, torso)
        return list(self._finished(motion, posed))

    def _finished(self, motion: RigMotion, posed: Posed) -> Iterator[Rendered]:
        drawn = self._draw(posed)
        small = _averaged(drawn.image, self._supersample)
        images = small.clamp(0, 255).round().byte().movedim(1, 3).cpu().numpy()
        pick = slice(self._supersample // 2, None, self._supersample)
        regions, depth = (part[:, pick, pick].cpu().numpy() for part in (drawn.regions, drawn.depth))
        landmarks = self._to_output(posed.landmarks).cpu().numpy()
        for k in range(len(images)):
            yield Rendered(
                images[k], landmarks[k], regions[k], depth[k], posed.pose[k], posed.expression[k], motion.gaze[k]
            )

    def _to_output(self, landmarks: Tensor) -> Tensor:
        window, scale = self._rig.window, self._size / self._rig.window.side
        corner = landmarks.new_tensor([window.left - 0.5, window.top - 0.5, 0.0])
        return (landmarks - corner) * scale - landmarks.new_tensor([0.5, 0.5, 0.0])

    def _to_fine(self, points: Tensor) -> Tensor:
        """Pixels of the still (B, V, 2) as pixels of what is drawn."""
        window, scale = self._rig.window, self._fine / self._rig.window.side
        return (points - points.new_tensor([window.left - 0.5, window.top - 0.5])) * scale - 0.5

    def _draw(self, posed: Posed) -> _Drawn:
        drawn = self._draw_sheet(posed)
        points = self._to_fine(posed.points)
        whole = rasterize(points, posed.depth, self._triangles, self._fine, self._fine)
        box = box_of(whole.triangle >= 0, 0)
        if box is None:
            return drawn
        rows, columns = box
        seen = whole.cut(rows, columns)
        parts = parts_of(seen, self._poser.starts, self._opening(points)[:, rows, columns])
        carried = seen.interpolate(torch.cat([posed.depth[..., None], posed.carried], 2))
        colour = self._shader.face(
            carried[:, 1:], parts, posed, self._fine / self._rig.window.side, self._teeth(posed, rows, columns)
        )
        opacity = torch.where(parts.skin, carried[:, 3], parts.any.float())
        under = drawn.image[:, :, rows, columns]
        under += (colour - under) * opacity[:, None]
        self._label(drawn, box, parts, opacity, seen.triangle, carried[:, 0])
        return drawn

    def _draw_sheet(self, posed: Posed) -> _Drawn:
        points = self._to_fine(posed.sheet_points)
        seen = rasterize(points, posed.sheet_depth, self._sheet_triangles, self._fine, self._fine)
        own = torch.stack([posed.sheet_light, posed.sheet_depth], 2)
        carried = torch.cat([self._sheet_pixels.expand(len(points), -1, -1), own], 2)
        values = seen.interpolate(carried)
        covered = (seen.triangle >= 0)[:, None]
        person = self._shader.person(values[:, :2]) * covered
        opacity = person[:, 3:] / 255
        image = person[:, :3] * values[:, 2:3] + (1 - opacity) * self._background
        body = opacity[:, 0] > 0.5
        depth = torch.where(body, DISTANCE - values[:, 3], torch.nan)
        return _Drawn(image, body.byte() * int(Region.BODY), depth)

    def _teeth(self, posed: Posed, rows: slice, columns: slice) -> tuple[Tensor, Tensor] | None:
        """Texture coordinates (B, 2, H, W) of upper and lower photographed teeth in a part of the picture."""
        teeth = self._rig.mouth.teeth
        if teeth is None or posed.teeth is None:
            return None
        points, count = self._to_fine(posed.teeth), len(teeth.pixels)
        pixels = torch.as_tensor(teeth.pixels, device=self.device)[None]
        found = []
        for surface in (points[:, :count], points[:, count:]):
            seen = rasterize(surface, surface[..., 0] * 0, self._integers(teeth.triangles), self._fine, self._fine)
            part = seen.cut(rows, columns)
            outside = (part.triangle < 0)[:, None] * -1e4  # beyond the cut-out there is nothing
            found.append(part.interpolate(pixels) + outside)
        return found[0], found[1]

    def _opening(self, points: Tensor) -> Tensor:
        """(B, H, H) bool: between the lips, and two pixels around."""
        rim, triangles = self._poser.lip_opening(points)
        seen = rasterize(rim, torch.zeros_like(rim[..., 0]), self._integers(triangles), self._fine, self._fine)
        opening = seen.triangle >= 0
        box = box_of(opening, 4)
        if box is not None:
            part = opening[:, None, box[0], box[1]].float()
            opening[:, box[0], box[1]] = F.max_pool2d(part, 5, 1, 2)[:, 0] > 0
        return opening

    def _label(
        self, drawn: _Drawn, box: tuple[slice, slice], parts: Parts, opacity: Tensor, triangle: Tensor, depth: Tensor
    ) -> None:
        """Write regions and depth of the face layer in place, where it is more opaque than not."""
        rows, columns = box
        lips = parts.skin & self._lips[triangle.clamp_min(0).long()]
        region = parts.skin * int(Region.SKIN) + lips * (int(Region.LIPS) - int(Region.SKIN))
        region = region + parts.mouth * int(Region.MOUTH) + (parts.eyes[0] | parts.eyes[1]) * int(Region.EYES)
        shown = (opacity > 0.5) & parts.any
        under = drawn.regions[:, rows, columns]
        drawn.regions[:, rows, columns] = torch.where(shown, region.byte(), under)
        drawn.depth[:, rows, columns] = torch.where(shown, DISTANCE - depth, drawn.depth[:, rows, columns])


def _averaged(picture: Tensor, factor: int) -> Tensor:
    """(B, C, H, W) with every square of ``factor`` pixels averaged; twice as fast as pooling on the CPU."""
    batch, channels, height, width = picture.shape
    rows = picture.view(batch, channels, height // factor, factor, width).sum(3)
    total = rows[..., ::factor]
    for k in range(1, factor):
        total = total + rows[..., k::factor]
    return total / factor**2
