"""Against drift: each frame is drawn from frames that were drawn, so small mistakes add up over a long clip.

Three remedies, the first two at inference: the oldest motion frame becomes the portrait again every few frames (an
option of the published training code); colours are held at those of the portrait; and motion frames are disturbed in
training (:mod:`vivant.methods.diffused_heads.train`), so that a net has seen mistakes.
"""

from __future__ import annotations

from collections import deque

import torch
from torch import Tensor

_MEMORY = 0.96
"""Share of the running colours that stays at each frame: they forget in about a second."""


def grey(frame: Tensor) -> Tensor:
    """Luminance (B, 1, S, S) of a frame (B, 3, S, S), ITU-R 601."""
    return 0.2989 * frame[:, :1] + 0.587 * frame[:, 1:2] + 0.114 * frame[:, 2:3]


class MotionFrames:
    """The last frames that were drawn, at first the portrait (B, 3, S, S) in all places."""

    def __init__(self, identity: Tensor, count: int, as_grey: bool, anchor_every: int = 0) -> None:
        self._grey, self._every = as_grey, anchor_every
        self._identity = self._seen(identity)
        self._frames = deque([self._identity] * count, maxlen=count)
        self._empty = identity[:, :0]

    def _seen(self, frame: Tensor) -> Tensor:
        return grey(frame) if self._grey else frame

    def before(self, number: int) -> Tensor:
        """What the net is shown for frame ``number``, oldest first, (B, channels, S, S); the oldest is the portrait
        every so many frames."""
        if self._frames and self._every and number and number % self._every == 0:
            self._frames[0] = self._identity
        return torch.cat([self._empty, *self._frames], 1)

    def add(self, frame: Tensor) -> None:
        """A frame (B, 3, S, S) was drawn."""
        if self._frames:
            self._frames.append(self._seen(frame))


class ColourHold:
    """Takes back how far running mean and deviation of each colour have gone from the portrait's."""

    def __init__(self, identity: Tensor, strength: float) -> None:
        self._strength = strength
        self._mean, self._spread = self._colours(identity)
        self._now = (self._mean, self._spread)

    @staticmethod
    def _colours(frame: Tensor) -> tuple[Tensor, Tensor]:
        return frame.mean((2, 3), keepdim=True), frame.std((2, 3), keepdim=True).clamp_min(1e-3)

    def __call__(self, frame: Tensor) -> Tensor:
        """(B, 3, S, S) in -1..1 to the same, corrected."""
        mean, spread = self._colours(frame)
        mean, spread = torch.lerp(mean, self._now[0], _MEMORY), torch.lerp(spread, self._now[1], _MEMORY)
        self._now = (mean, spread)
        gain = 1 + self._strength * (self._spread / spread - 1)
        return ((frame - mean) * gain + mean + self._strength * (self._mean - mean)).clamp(-1, 1)
