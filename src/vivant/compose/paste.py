"""Paste a generated crop back into its picture, at the picture's resolution, touching only the warped box."""

from __future__ import annotations

import cv2
import numpy as np

from vivant.compose.color import match_rim
from vivant.compose.mask import feather_mask


def _scaled(to_frame: np.ndarray, factor: float) -> np.ndarray:
    """``to_frame`` for a crop resized by ``factor``, pixel centres kept: x = (x' + 0.5) / factor - 0.5."""
    shift = 0.5 / factor - 0.5
    resize = np.array([[1 / factor, 0, shift], [0, 1 / factor, shift], [0, 0, 1]])
    return np.asarray(to_frame, np.float64) @ resize


class Paster:
    """Puts crops of one face back (LivePortrait, paste back: warp image and mask with the inverse crop, then
    blend).

    ``frame_size``: (height, width) of the picture. ``to_frame``: (2, 3), crop pixels to picture pixels.
    ``crop_size``: side in pixels of the crop that ``to_frame`` speaks of; generated crops may have another
    side, they are taken to show the same square. ``match_color``: shift the crop's colours to the picture's
    along the rim. The mask is warped once, here; make one Paster a frame where the crop moves.
    """

    def __init__(
        self,
        frame_size: tuple[int, int],
        to_frame: np.ndarray,
        crop_size: int,
        match_color: bool = False,
    ) -> None:
        self.frame_size = frame_size
        self.crop_size = crop_size
        self.match_color = match_color
        self._to_frame = np.asarray(to_frame, np.float64)
        self._scale = float(np.sqrt(abs(np.linalg.det(self._to_frame[:, :2]))))
        self.box = self._bounds()
        self.weight = self._warp(feather_mask(crop_size)).astype(np.float32) / 255
        self._rest = 1 - self.weight

    def _bounds(self) -> tuple[int, int, int, int]:
        """Box x0, y0, x1, y1 (x1, y1 exclusive) of the warped crop, inside the picture."""
        height, width = self.frame_size
        far = self.crop_size - 1
        corners = np.array([[0, 0, 1], [far, 0, 1], [0, far, 1], [far, far, 1]], np.float64) @ self._to_frame.T
        x0, y0 = np.floor(corners.min(0)).astype(int)
        x1, y1 = np.ceil(corners.max(0)).astype(int) + 1
        x0, x1 = np.clip([x0, x1], 0, width)
        y0, y1 = np.clip([y0, y1], 0, height)
        return int(x0), int(y0), int(x1), int(y1)

    def _warp(self, image: np.ndarray) -> np.ndarray:
        """Warp a square crop, (S, S) or (S, S, 3), into the box; black outside the crop."""
        x0, y0, x1, y1 = self.box
        if x1 <= x0 or y1 <= y0:
            return np.zeros((0, 0, *image.shape[2:]), image.dtype)
        scale = self._scale * self.crop_size / len(image)
        if scale < 1:  # area reduction first, bilinear sampling alone would alias
            side = max(1, round(len(image) * scale))
            image = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
        matrix = _scaled(self._to_frame, len(image) / self.crop_size)
        matrix[:, 2] -= (x0, y0)
        flags = cv2.INTER_CUBIC if scale > 1 and image.ndim == 3 else cv2.INTER_LINEAR
        border = cv2.BORDER_REPLICATE if image.ndim == 3 else cv2.BORDER_CONSTANT
        return cv2.warpAffine(image, matrix, (x1 - x0, y1 - y0), flags=flags, borderMode=border)

    def paste(self, frame: np.ndarray, crop_image: np.ndarray) -> np.ndarray:
        """``frame`` (H, W, 3) uint8 with ``crop_image`` (S, S, 3) uint8 blended in; a new array, ``frame`` is
        kept.

        Raises:
            ValueError: ``frame`` does not have the size this Paster was made for.
        """
        if frame.shape[:2] != tuple(self.frame_size):
            raise ValueError(f"This Paster was made for {self.frame_size} pictures, not {frame.shape[:2]}.")
        x0, y0, x1, y1 = self.box
        result = frame.copy()
        if self.weight.size == 0:
            return result
        patch = self._warp(np.ascontiguousarray(crop_image))
        region = np.ascontiguousarray(frame[y0:y1, x0:x1])
        if self.match_color:
            patch = match_rim(patch, region, self.weight)
        result[y0:y1, x0:x1] = cv2.blendLinear(patch, region, self.weight, self._rest)
        return result
