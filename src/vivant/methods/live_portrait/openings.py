"""Lips and lids that open as the driver's do, for spaces whose keypoints are named landmarks.

Relative motion adds the driver's change since its first frame. If that frame shows parted lips, a portrait with closed
lips is asked to open them by less than nothing whenever the driver's close, and it speaks half; if the portrait's eyes
are wider than the driver's, a blink leaves a slit. Where keypoints have names, the openings themselves can be carried
over: the gap between the lips in units of the head, and the lids at least as far shut as the driver's, by the share of
its own wide-open eye.

Axis letters: B batch, K keypoints, P pairs of an upper and a lower point. Keypoints are row vectors, x right, y down.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vivant.methods.live_portrait.config import MotionSpace
from vivant.methods.live_portrait.motion import Motion

# (upper, lower) mesh landmarks; outer lips and chin follow the middle of the lips by the share that is given. That of
# the chin is small: lips and chin that go down together look to the warp like a nod (half the gap: a nod of a degree).
_LIPS = ((13, 14), (81, 178), (311, 402))
_UPPER_SHARE = 0.3
_FOLLOW = ((0, -_UPPER_SHARE), (17, 1 - _UPPER_SHARE), (152, 0.1))
# upper points of each eye above its lower lid, and how far above it each still stands when the eye is shut
_EYES = (((159, 160, 158), 145), ((386, 387, 385), 374))
_SHUT = (0.0, 0.25, 0.25)
_CORNERS = ((33, 263),)
WIDEST = 1.6
"""Eyes open to at most this many times the portrait's own opening."""
SMALLEST_REST = 0.15
"""An opening ratio below this is no rest: that eye was shut, and :data:`USUAL_REST` stands for it."""
USUAL_REST = 0.3


class Openings:
    """Moves driven keypoints so that lips and lids have the driver's openings.

    ``rest`` (1, 2): opening ratio of the driver's eyes at rest, left and right of the picture; None leaves the lids.
    """

    def __init__(self, space: MotionSpace, lips: bool, rest: Tensor | None, device: torch.device) -> None:
        index = space.landmarks.index

        def rows(points: tuple[int, ...]) -> Tensor:
            return torch.tensor([index(p) for p in points], device=device)

        self._lips = lips
        self._rest = None if rest is None else rest_ratio(rest)
        self._upper, self._lower = (rows(part) for part in zip(*_LIPS))
        self._followers = rows(tuple(point for point, _ in _FOLLOW))
        self._follow = torch.tensor([share for _, share in _FOLLOW], device=device)
        self._eyes = [(rows(upper), rows((lower,))) for upper, lower in _EYES]
        self._shut = torch.tensor(_SHUT, device=device)
        self._corners = rows(_CORNERS[0])

    def __call__(self, x: Tensor, target: Motion, source: Motion, driver: Motion) -> Tensor:
        """Driven keypoints (B, K, 3) -> the same with the driver's openings.

        ``target``: the motion ``x`` was made of (B rows), for the head's direction and size. ``source``: the portrait
        (1 or B rows). ``driver``: B rows.
        """
        down, own_down = _down(target), _down(driver)
        if self._lips:
            width, own_width = (self._eye_distance(m.canonical) for m in (target, driver))
            wanted = _gaps(driver.keypoints(), self._upper, self._lower, own_down).clamp_min(0)
            x = self.parted(x, wanted / driver.scale * target.scale * (width / own_width), target)
        if self._rest is not None:
            x = self._move_lids(x, target, source, driver, down)
        return x

    def parted(self, x: Tensor, wanted: Tensor, target: Motion) -> Tensor:
        """Keypoints (B, K, 3) with the gaps ``wanted`` (B, P) between the lips, along the head of ``target``."""
        down = _down(target)
        missing = (wanted - _gaps(x, self._upper, self._lower, down))[..., None] * down[:, None]
        x = x.index_add(1, self._upper, -_UPPER_SHARE * missing).index_add(1, self._lower, (1 - _UPPER_SHARE) * missing)
        return x.index_add(1, self._followers, missing[:, :1] * self._follow[None, :, None])

    def _move_lids(self, x: Tensor, target: Motion, source: Motion, driver: Motion, down: Tensor) -> Tensor:
        assert self._rest is not None
        x_s, own = source.keypoints(), _down(source)
        share = (driver.eyes / self._rest).clamp(0, WIDEST)
        shut = torch.where(source.eyes < SMALLEST_REST, USUAL_REST / source.eyes.clamp_min(0.02), 1.0)
        for eye, (upper, lower) in enumerate(self._eyes):
            rest = _gaps(x_s, upper, lower, own) / source.scale * target.scale * shut[:, eye : eye + 1]
            wanted = rest * (self._shut + (1 - self._shut) * share[:, eye : eye + 1])
            # only ever further shut: where the driver's change alone closes more, the picture needs it to look shut
            missing = (wanted - _gaps(x, upper, lower, down)).clamp_max(0)[..., None] * down[:, None]
            x = x.index_add(1, upper, -missing)
        return x

    def _eye_distance(self, canonical: Tensor) -> Tensor:
        """(B, 1) between the outer corners of the eyes."""
        one, other = canonical.index_select(1, self._corners).unbind(1)
        return (one - other).norm(dim=-1, keepdim=True)


def rest_ratio(eyes: Tensor) -> Tensor:
    """Opening ratios (B, 2) of eyes at rest, those of shut eyes replaced."""
    return torch.where(eyes < SMALLEST_REST, USUAL_REST, eyes)


def _down(motion: Motion) -> Tensor:
    """(B, 3) unit vector of the head's downward direction in the picture plane."""
    down = motion.rotation[:, 1] * motion.rotation.new_tensor([1.0, 1.0, 0.0])
    return down / down.norm(dim=-1, keepdim=True).clamp_min(1e-6)


def _gaps(x: Tensor, upper: Tensor, lower: Tensor, down: Tensor) -> Tensor:
    """(B, P) how far the lower points stand below the upper ones, negative where they have crossed."""
    return ((x.index_select(1, lower) - x.index_select(1, upper)) * down[:, None]).sum(-1)
