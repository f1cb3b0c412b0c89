"""Motion frames as a net would have drawn them, made from true ones, so that in training a net sees its own mistakes.

Frames are drawn from frames that were drawn, and mistakes of geometry add up fastest: a jaw one pixel too low becomes
the next frame's truth. So true predecessors are bent and moved, discoloured, partly replaced, coarse and noisy, by
chance and by a strength of each sample's own. What is asked for stays the true frame, so the net learns to go back to
the portrait. Shapes are fixed and nothing branches on values: a training step stays one CUDA graph.

Axis letters: B batch, M motion frames, S side of the frames.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from vivant.methods.diffused_heads.guard import coarse, grain
from vivant.nn.geometry import grid_2d, sample_2d

_BEND = 0.02
"""Standard deviation of each of two random fields in halves of the side; both reach about 3 % of the side."""
_FIELDS = (4, 12)
"""Random shifts on an axis of each field: bends of the whole face, and of a mouth or an eye."""
_OWN = 0.35
"""How much a motion frame is bent by itself, beside what all of a sample are bent by: mistakes last."""
_SIMILAR = 0.02
"""Standard deviation of shift (halves of the side), turn, growth and shear."""
_COLOUR = 0.12
_NOISE = 0.3
_REPLACED = 0.3
"""Share of samples in which a rectangle of the motion frames shows the portrait or somebody else."""
_ANCHORED, _ANCHORED_OLDEST = 0.10, 0.12
"""Shares of samples with the portrait in all motion frames, and in the oldest alone."""
_COARSER = ((8, 0.3), (16, 0.2))
"""(Pixels a side at 128 px that are averaged, share of samples)."""

Uniform = Callable[..., Tensor]


def before(rows: Tensor) -> Tensor:
    """For each row the one before it, for the first the last."""
    return rows.roll(1, 0)


def mistaken(
    motion: Tensor, identity: Tensor, strength: float, generator: Generator | None,
    neighbour: Callable[[Tensor], Tensor] = before,
) -> Tensor:  # fmt: skip
    """Motion frames (B, M, 3, S, S) in -1..1 with mistakes of ``strength`` 0..1 in geometry, colour and content;
    ``identity`` (B, 3, S, S) is the portrait, ``neighbour`` gives each row another sample's."""
    count, device = len(motion), motion.device

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(count, *shape, generator=generator, device=device)

    amount = strength * uniform(-0.25, 1, 1, 1, 1, 1).clamp_min(0)
    motion = sample_2d(motion.flatten(0, 1), _places(motion, amount, generator)).unflatten(0, motion.shape[:2])
    gain = 1 + _COLOUR * amount * uniform(-1, 1, 1, 3, 1, 1)
    lift = _COLOUR * amount * uniform(-1, 1, 1, 3, 1, 1)
    motion = motion * gain + lift
    portrait = identity[:, None]
    foreign = torch.where(uniform(0, 1, 1, 1, 1, 1) < 0.5, portrait, neighbour(motion))
    replaced = _rectangles(motion, uniform) & (uniform(0, 1, 1, 1, 1, 1) < _REPLACED * strength)
    motion = torch.where(replaced, foreign, motion)
    chance, oldest = uniform(0, 1, 1, 1, 1, 1), torch.arange(motion.shape[1], device=device).view(1, -1, 1, 1, 1) == 0
    anchored = (chance < _ANCHORED * strength) | (oldest & (chance < (_ANCHORED + _ANCHORED_OLDEST) * strength))
    return torch.where(anchored, portrait, motion).clamp(-1, 1)


def _places(motion: Tensor, amount: Tensor, generator: Generator | None) -> Tensor:
    """Where each pixel of B x M frames is read, (BM, S, S, 2): bent and moved by ``amount`` (B, 1, 1, 1, 1)."""
    count, number, _, side, _ = motion.shape

    def normal(*shape: int) -> Tensor:
        """(B, M, ...), mostly alike in all frames of a sample."""
        shared = torch.randn(count, 1, *shape, generator=generator, device=motion.device)
        return shared + _OWN * torch.randn(count, number, *shape, generator=generator, device=motion.device)

    bend = torch.zeros_like(motion[:, :, :2])
    for cells in _FIELDS:
        field = F.interpolate(normal(2, cells, cells).flatten(0, 1), (side, side), mode="bicubic", align_corners=False)
        bend = bend + _BEND * field.unflatten(0, (count, number))
    grid = grid_2d(side, side, motion.device)
    affine = _SIMILAR * normal(2, 3)
    moved = torch.einsum("hwi,bmji->bmjhw", grid, affine[..., :2]) + affine[..., 2][..., None, None]
    shift = amount * (bend + moved)
    return (grid + shift.permute(0, 1, 3, 4, 2)).flatten(0, 1)


def _rectangles(motion: Tensor, uniform: Uniform) -> Tensor:
    """One rectangle a sample of a tenth to a half of the side, true inside: (B, 1, 1, S, S)."""
    side = motion.shape[-1]
    place = (torch.arange(side, device=motion.device) + 0.5) / side
    half, middle = uniform(0.05, 0.25, 2, 1), uniform(0.1, 0.9, 2, 1)
    inside = (place - middle).abs() < half
    return (inside[:, 0, :, None] & inside[:, 1, None, :])[:, None, None]


def roughened(shown: Tensor, factor: int, strength: float, generator: Generator | None) -> Tensor:
    """Motion frames as the net sees them, (B, channels, S, S): coarse by ``factor`` as always, and in some samples
    coarser and noisy, which takes from all that comes from motion frames a part of its weight."""
    side, device = shown.shape[-1], shown.device
    chance = torch.rand(len(shown), 1, 1, 1, generator=generator, device=device)
    noisy = torch.rand(len(shown), 1, 1, 1, generator=generator, device=device).square()
    seen, share = coarse(shown, factor), 0.0
    for pixels, part in _COARSER:
        share += part * strength
        coarser = coarse(shown, max(factor, round(pixels * side / 128)))
        seen = torch.where((chance < share) & (chance >= share - part * strength), coarser, seen)
    return (seen + strength * _NOISE * noisy * grain(shown, factor, generator)).clamp(-1, 1)
