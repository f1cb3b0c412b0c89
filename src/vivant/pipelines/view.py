"""How made squares are shown: pasted into the portrait's picture, alone, or beside source and driver."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import cycle, islice
from typing import Any

import numpy as np

from vivant.core.clip import Clip
from vivant.pipelines.ahead import ahead
from vivant.pipelines.panels import row_size, side_by_side
from vivant.pipelines.sources import CropStream, Portrait


@dataclass
class View:
    """Renders one animation, from its first frame on every call of :meth:`frames`.

    ``generate``: a face's crop -> its squares, one for each frame. ``driver``: pictures shown beside, or None.
    """

    generate: Callable[[Any], Iterator[np.ndarray]]
    portrait: Portrait
    fps: Fraction
    count: int
    output_size: int
    driver: Clip | None = None
    crop_only: bool = False
    side_by_side: bool = False

    def frames(self) -> Iterator[np.ndarray]:
        """Result frames (H, W, 3) uint8 RGB."""
        streams: list[CropStream] = [ahead(self.generate(crop)) for crop in self.portrait.crops]
        frames = self.portrait.cropped(streams) if self.crop_only else self.portrait.pasted(streams)
        if self.side_by_side:
            frames = side_by_side([*self._others(), frames], self.result_size[0])
        return islice(frames, self.count)

    def _others(self) -> list[Iterable[np.ndarray]]:
        if self.driver is None:
            return [self.portrait.backgrounds()]
        from vivant.media.video import at_rate

        frames = at_rate(self.driver, self.fps).frames
        return [self.portrait.backgrounds(), cycle(frames) if self.driver.count == 1 else frames]

    @property
    def result_size(self) -> tuple[int, int]:
        """(height, width) of the result alone."""
        if self.crop_only:
            return self.output_size, self.output_size * len(self.portrait.crops)
        return self.portrait.clip.size

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of what :meth:`frames` yields."""
        if not self.side_by_side:
            return self.result_size
        sizes = [self.portrait.clip.size, self.result_size]
        if self.driver is not None:
            sizes.append(self.driver.size)
        return row_size(sizes, self.result_size[0])
