"""Against drift: each frame is drawn from frames that were drawn, so small mistakes add up over a long clip.

Remedies at inference: the oldest motion frame becomes the portrait again every few frames (an option of the published
training code); colours are held at those of the portrait; motion frames are shown coarse and a little noisy to nets
that were trained so, so that only coarse motion passes from frame to frame and detail comes from the portrait; and a
share of the portrait is blended into them, so that the head comes back. In training, motion frames have mistakes
(:mod:`vivant.methods.diffused_heads.mistakes`).
"""

from __future__ import annotations

from collections import deque

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

_MEMORY = 0.96
"""Share of the running colours that stays at each frame: they forget in about a second."""


def grey(frame: Tensor) -> Tensor:
    """Luminance (B, 1, S, S) of a frame (B, 3, S, S), ITU-R 601."""
    return 0.2989 * frame[:, :1] + 0.587 * frame[:, 1:2] + 0.114 * frame[:, 2:3]


def coarse(frames: Tensor, factor: int) -> Tensor:
    """Frames (B, C, S, S) averaged over squares of ``factor`` pixels a side, and smooth between their centres."""
    if factor <= 1 or not frames.shape[1]:
        return frames
    return _smooth(F.avg_pool2d(frames, factor), frames)


def grain(frames: Tensor, factor: int, generator: Generator | None) -> Tensor:
    """Normal noise as coarse as :func:`coarse` leaves frames (B, C, S, S), drawn where the generator lives."""
    side = frames.shape[-1] // max(1, factor)
    device = generator.device if generator else frames.device
    noise = torch.randn(*frames.shape[:2], side, side, generator=generator, device=device).to(frames.device)
    return _smooth(noise, frames) if factor > 1 and frames.shape[1] else noise


def _smooth(small: Tensor, frames: Tensor) -> Tensor:
    return F.interpolate(small, frames.shape[-2:], mode="bilinear", align_corners=False)


class MotionFrames:
    """The last frames that were drawn, at first the portrait (B, 3, S, S) in all places.

    They are shown coarse by ``factor`` (:func:`coarse`) with noise of deviation ``noise`` (:func:`grain`); a share
    ``leash`` of the portrait is blended into them, which draws a head that wanders back to where it began.
    """

    def __init__(
        self,
        identity: Tensor,
        count: int,
        as_grey: bool,
        anchor_every: int = 0,
        factor: int = 1,
        noise: float = 0.0,
        seed: int = 0,
        leash: float = 0.0,
    ) -> None:
        self._leash = leash
        self._grey, self._every, self._factor, self._noise = as_grey, anchor_every, factor, noise
        self._identity = self._seen(identity)
        self._frames = deque([self._identity] * count, maxlen=count)
        self._empty = identity[:, :0]
        self._generator = torch.Generator().manual_seed(seed)  # its own: the chains' noise stays where it was

    def _seen(self, frame: Tensor) -> Tensor:
        return coarse(grey(frame) if self._grey else frame, self._factor)

    def before(self, number: int) -> Tensor:
        """What the net is shown for frame ``number``, oldest first, (B, channels, S, S); the oldest is the portrait
        every so many frames."""
        if self._frames and self._every and number and number % self._every == 0:
            self._frames[0] = self._identity
        shown = torch.cat([self._empty, *(torch.lerp(f, self._identity, self._leash) for f in self._frames)], 1)
        if self._noise and self._frames:
            shown = (shown + self._noise * grain(shown, self._factor, self._generator)).clamp(-1, 1)
        return shown

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
