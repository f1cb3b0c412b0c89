"""Who is in front: an opacity for every pixel of a portrait (MediaPipe selfie segmentation, made finer by a guided
filter; He, Sun, Tang 2010, "Guided image filtering")."""

from __future__ import annotations

import cv2
import numpy as np

from vivant.perception.faces import check_image
from vivant.perception.runtime import Runtime

INPUT = 256
_LOW, _HIGH = 0.08, 0.75  # of the filtered mask: background, person
_SMOOTH = 1e-4  # guided filter: variance of colours in 0..1 that counts as an edge


class MatteFinder:
    """Finds the people of a portrait. Not safe to call from two threads at once."""

    def __init__(self, threads: int = 2) -> None:
        """``threads``: CPU threads of the net.

        Raises:
            WeightsError: the bundled file is missing or damaged.
        """
        self._net = Runtime("perception/selfie_segmentation.tflite", threads)

    def coarse(self, image: np.ndarray) -> np.ndarray:
        """(256, 256) float32 in 0..1, how sure the net is of a person, over all of ``image`` (H, W, 3) uint8 RGB."""
        check_image(image)
        view = cv2.resize(image, (INPUT, INPUT), interpolation=cv2.INTER_AREA)
        return self._net(view[None].astype(np.float32) / 255)[0].reshape(INPUT, INPUT).copy()

    def find(self, image: np.ndarray) -> np.ndarray:
        """(H, W) float32 opacity in 0..1 of ``image`` (H, W, 3) uint8 RGB: 1 on people, soft at hair and edges.

        Raises:
            MediaError: ``image`` is not an (H, W, 3) uint8 array.
        """
        coarse = self.coarse(image)
        height, width = image.shape[:2]
        mask = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
        fine = guided_filter(image.astype(np.float32) / 255, mask, max(3, min(height, width) // 48), _SMOOTH)
        t = np.clip((fine - _LOW) / (_HIGH - _LOW), 0, 1)
        opacity: np.ndarray = (t * t * (3 - 2 * t)).astype(np.float32)
        return opacity


def guided_filter(guide: np.ndarray, mask: np.ndarray, radius: int, epsilon: float) -> np.ndarray:
    """``mask`` (H, W) float32 with the edges of ``guide`` (H, W, 3) float32: in every window of ``radius`` pixels the
    mask becomes a linear function of the colour (equations 19 to 21)."""
    window = (2 * radius + 1, 2 * radius + 1)

    def mean(values: np.ndarray) -> np.ndarray:
        return cv2.boxFilter(values, -1, window, borderType=cv2.BORDER_REFLECT)

    colour, level = mean(guide), mean(mask)
    covariance = mean(guide * mask[..., None]) - colour * level[..., None]
    pairs = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]
    spread = np.empty((*mask.shape, 3, 3), np.float32)
    for i, j in pairs:
        spread[..., i, j] = spread[..., j, i] = mean(guide[..., i] * guide[..., j]) - colour[..., i] * colour[..., j]
    spread[..., range(3), range(3)] += epsilon
    slope = np.linalg.solve(spread, covariance[..., None])[..., 0]
    offset = level - (slope * colour).sum(-1)
    result: np.ndarray = (mean(slope) * guide).sum(-1) + mean(offset)
    return result
