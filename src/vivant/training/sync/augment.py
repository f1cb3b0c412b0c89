"""Augmentation of lower faces and sound on the device, so that the net learns lips and phones, not people and voices.

Everything is drawn from one generator, once for a segment (and a little for each frame), without host synchronisation.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from vivant.perception.sync_lite import SIZE

_ZOOM, _ASPECT, _ROLL, _SHIFT, _JITTER = 0.16, 0.12, 0.14, 0.07, 0.006
_GAMMA, _LIGHT, _NOISE = 0.5, 0.4, 0.04
_GAIN, _TONE, _WARP = 2.0, 0.7, 0.16  # natural logarithms: loudness, colour of the room, length of the vocal tract
_FLOOR = (-2.0, 8.0)  # logarithm of the energy of added noise


def augment_frames(frames: Tensor, generator: Generator | None) -> Tensor:
    """(B, F, H, W) uint8 -> (B, F, 96, 96) in 0..1: moved, turned, flipped, relit, blurred, noisy."""
    count, length = frames.shape[:2]
    device = frames.device

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.rand(count, *shape, device=device, generator=generator) * (high - low) + low

    image = frames.flatten(0, 1)[:, None].float() / 255
    grid = F.affine_grid(_geometry(frames, uniform, generator), [count * length, 1, SIZE, SIZE], align_corners=False)
    image = F.grid_sample(image, grid, padding_mode="border", align_corners=False)[:, 0]
    image = image.unflatten(0, (count, length))
    axis = torch.linspace(-1, 1, SIZE, device=device)
    light = 1 + uniform(-_LIGHT, _LIGHT, 1, 1, 1) * axis + uniform(-_LIGHT, _LIGHT, 1, 1, 1) * axis[:, None]
    image = (image * light).clamp(1e-4, 1) ** torch.exp(uniform(-_GAMMA, _GAMMA, 1, 1, 1))
    coarse = F.interpolate(F.avg_pool2d(image, 3, 3), size=SIZE, mode="bilinear")
    image = torch.lerp(image, coarse, (uniform(-0.8, 1.0, 1, 1, 1)).clamp_min(0))
    noise = torch.randn(image.shape, device=device, generator=generator)
    return image + noise * uniform(-_NOISE, _NOISE, 1, 1, 1).clamp_min(0)


def _geometry(frames: Tensor, uniform, generator: Generator | None) -> Tensor:  # type: ignore[no-untyped-def]
    """(B * F, 2, 3): where the pixels of the 96 px crop read in the wider one; the frame's tremble is that of a
    tracker."""
    count, length, side = frames.shape[:3]
    zoom = torch.exp(uniform(-_ZOOM, _ZOOM)) * (SIZE / side)
    aspect, angle = torch.exp(uniform(-_ASPECT, _ASPECT) / 2), uniform(-_ROLL, _ROLL)
    flip = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)
    cosine, sine = angle.cos() * zoom, angle.sin() * zoom
    rows = [cosine * aspect * flip, -sine / aspect, sine * aspect * flip, cosine / aspect]
    linear = torch.stack(rows, 1).view(-1, 1, 2, 2).expand(-1, length, -1, -1)
    tremble = _JITTER * torch.randn(count, length, 2, device=frames.device, generator=generator)
    shift = uniform(-_SHIFT, _SHIFT, 1, 2) + tremble
    return torch.cat([linear, shift[..., None]], 3).flatten(0, 1)


def augment_mel(mel: Tensor, generator: Generator | None) -> Tensor:
    """Log-mel energies (B, T, M): louder or softer, in another room, by another throat, in noise."""
    count, steps, bins = mel.shape
    device = mel.device

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.rand(count, *shape, device=device, generator=generator) * (high - low) + low

    energy = torch.expm1(_warped(mel, torch.exp(uniform(-_WARP, _WARP))))
    wave = torch.arange(1, 4, device=device)[:, None] * torch.linspace(0, torch.pi, bins, device=device)
    tone = (uniform(-_TONE, _TONE, 3, 1) * torch.cos(wave + uniform(-3.1, 3.1, 3, 1))).sum(1)
    gain = torch.exp(uniform(-_GAIN, _GAIN, 1) + tone)[:, None]
    colour = torch.exp(uniform(*_FLOOR, 1) + uniform(-1.5, 1.5, 1) * torch.linspace(-1, 1, bins, device=device))
    spread = -torch.log(torch.rand(count, steps, bins, device=device, generator=generator) + 1e-6)
    return torch.log1p(energy * gain + colour[:, None] * spread)


def _warped(mel: Tensor, factor: Tensor) -> Tensor:
    """The mel axis stretched by ``factor`` (B,); what lies beyond its end repeats the last bin."""
    bins = mel.shape[2]
    at = (torch.arange(bins, device=mel.device) * factor[:, None]).clamp(0, bins - 1)
    low = at.floor().long().clamp(0, bins - 2)
    share = (at - low)[:, None]
    low = low[:, None].expand(-1, mel.shape[1], -1)
    return mel.gather(2, low) * (1 - share) + mel.gather(2, low + 1) * share
