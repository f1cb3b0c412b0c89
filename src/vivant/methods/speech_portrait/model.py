"""What is computed: speech features, the face's shape and the motion before to the velocity of a motion's flow.

``motion`` (:class:`MotionNet`): noisy rows (B, N, C) and times (B,) to velocities (B, N, C); N frames, C the numbers of
a frame (``core.face_motion``), normalised.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vivant.core.face_motion import NUMBERS
from vivant.core.speech import SPEECH_FEATURES
from vivant.methods.speech_portrait.config import STYLES, Config
from vivant.methods.speech_portrait.prepare import SHAPE, Template

RIGID = 33
"""Points of the canonical face that give the head's frame."""


class Condition(NamedTuple):
    """What is known of B windows: ``sound`` (B, N, T H) features that were kept, ``voiced`` (B, N) in 0..1, ``before``
    (B, N, C) normalised rows where ``known`` (B, N) is 1, ``shape`` (B, S) normalised, zero where unknown, ``style``
    (B,) int64, ``deaf`` (B,) 1 where the sound is not to be heard, ``there`` (B, N) bool, the frames that exist."""

    sound: Tensor
    voiced: Tensor
    before: Tensor
    known: Tensor
    shape: Tensor
    style: Tensor
    deaf: Tensor
    there: Tensor | None = None


class MotionNet(nn.Module):
    """A transformer over the frames of a window, modulated frame by frame (adaptive layer norms with one shared table
    and a bias for each block, as in arXiv 2310.00426) by sound, time, shape and style.

    Frames that are known enter clean, so that attention sees the motion it continues.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        steps, told = SPEECH_FEATURES[config.encoder]
        width = config.width
        self.ear = nn.ModuleList(
            [nn.Conv1d(steps * config.heard + 1, width, 5, padding=2), nn.Conv1d(width, width, 5, padding=2)]
        )
        self.silence = nn.Parameter(torch.zeros(width))
        self.enter = nn.Linear(2 * NUMBERS + 1, width)
        self.clock = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.face = nn.Sequential(nn.Linear(SHAPE, width), nn.SiLU(), nn.Linear(width, width))
        self.style = nn.Embedding(len(STYLES), width)
        self.modulate = nn.Linear(width, 6 * width)
        self.blocks = nn.ModuleList(_Block(width, config.heads, config.dropout) for _ in range(config.layers))
        self.last = nn.Linear(width, 2 * width)
        self.leave = nn.Linear(width, NUMBERS)
        nn.init.normal_(self.leave.weight, std=0.02)
        self.register_buffer("number_mean", torch.zeros(NUMBERS))
        self.register_buffer("number_spread", torch.ones(NUMBERS))
        self.register_buffer("shape_mean", torch.zeros(SHAPE))
        self.register_buffer("shape_spread", torch.ones(SHAPE))
        self.register_buffer("heard_mean", torch.zeros(told))
        self.register_buffer("heard_basis", torch.randn(told, config.heard) / math.sqrt(told))
        self.register_buffer("rigid_rows", torch.zeros(RIGID, dtype=torch.int64))
        self.register_buffer("rigid_points", torch.zeros(RIGID, 3))

    @property
    def template(self) -> Template:
        """The rigid points of the canonical face."""
        return Template(self.get_buffer("rigid_rows"), self.get_buffer("rigid_points"))

    def keep(self, features: Tensor) -> Tensor:
        """Features (N, T, D) of the encoder -> (N, T H), what the net hears of them."""
        mean, basis = self.get_buffer("heard_mean"), self.get_buffer("heard_basis")
        return ((features - mean) @ basis).flatten(-2)

    def normalised(self, rows: Tensor) -> Tensor:
        """Rows (..., C) with mean 0 and spread 1."""
        return (rows - self.get_buffer("number_mean")) / self.get_buffer("number_spread")

    def plain(self, rows: Tensor) -> Tensor:
        """The inverse of :meth:`normalised`."""
        return rows * self.get_buffer("number_spread") + self.get_buffer("number_mean")

    def shape(self, numbers: Tensor) -> Tensor:
        """Numbers (..., S) of ``prepare.shape_of``, normalised."""
        return (numbers - self.get_buffer("shape_mean")) / self.get_buffer("shape_spread")

    def listen(self, condition: Condition) -> Tensor:
        """(B, N, W): what is heard around each frame, or nothing."""
        x = torch.cat([condition.sound, condition.voiced[..., None]], -1).transpose(1, 2)
        first, second = self.ear
        x = second(F.silu(first(x))).transpose(1, 2)
        return torch.where(condition.deaf[:, None, None] > 0.5, self.silence.to(x.dtype), x)

    def forward(self, noisy: Tensor, t: Tensor, condition: Condition, heard: Tensor | None = None) -> Tensor:
        """Velocities (B, N, C). ``t``: (B,) in 0..1. ``heard``: what :meth:`listen` gave, computed if None."""
        known = condition.known[..., None]
        rows = torch.where(known > 0.5, condition.before, noisy)
        h = self.enter(torch.cat([rows, condition.before * known, known], -1))
        heard = self.listen(condition) if heard is None else heard
        told = self.clock(_times(t, h.shape[-1]).to(h.dtype)) + self.face(condition.shape) + self.style(condition.style)
        c = F.silu(heard + told[:, None])
        shared = self.modulate(c).unflatten(-1, (6, -1))
        turn = _turns(h.shape[1], self.blocks[0].attention.each, h.device)  # type: ignore[union-attr, arg-type]
        mask = None if condition.there is None else condition.there[:, None, None, :]
        for block in self.blocks:
            h = block(h, shared, turn, mask)
        scale, shift = self.last(c).chunk(2, -1)
        return _guess(rows, t) + self.leave(F.layer_norm(h, h.shape[-1:]) * (1 + scale) + shift)


class _Block(nn.Module):
    """Attention and a feed-forward net, each behind a modulated layer norm and a gate."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.table = nn.Parameter(torch.randn(6, width) * 0.02)
        self.attention = _Attention(width, heads)
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor, shared: Tensor, turn: tuple[Tensor, Tensor], mask: Tensor | None) -> Tensor:
        """x (B, N, W), shared (B, N, 6, W)."""
        shift, scale, gate, shift2, scale2, gate2 = (shared + self.table).unbind(-2)
        x = x + gate * self.dropout(self.attention(F.layer_norm(x, x.shape[-1:]) * (1 + scale) + shift, turn, mask))
        h = F.layer_norm(x, x.shape[-1:]) * (1 + scale2) + shift2
        return x + gate2 * self.narrow(self.dropout(F.gelu(self.wide(h), approximate="tanh")))


class _Attention(nn.Module):
    """Self-attention with rotary positions (arXiv 2104.09864), so only the distance of two frames counts."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.each = heads, width // heads
        self.take, self.give = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor, turn: tuple[Tensor, Tensor], mask: Tensor | None) -> Tensor:
        q, k, v = self.take(x).unflatten(-1, (3, self.heads, self.each)).permute(2, 0, 3, 1, 4)
        q, k = _turned(q, turn), _turned(k, turn)
        found = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.give(found.transpose(1, 2).flatten(2))


def _guess(x: Tensor, t: Tensor) -> Tensor:
    """The velocity at x_t if the data were normal with mean 0 and spread 1: what is left to the net is what it knows
    better."""
    t = t[:, None, None].float()
    return x * ((2 * t - 1) / (t.square() + (1 - t).square()))


def _turns(count: int, each: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and sines (N, each / 2) of the rotary positions."""
    rates = 1000.0 ** (-torch.arange(each // 2, device=device, dtype=torch.float32) / (each // 2))
    angles = torch.arange(count, device=device, dtype=torch.float32)[:, None] * rates
    return angles.cos(), angles.sin()


def _turned(x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    cosine, sine = (values.to(x.dtype) for values in turn)
    one, other = x.chunk(2, -1)
    return torch.cat([one * cosine - other * sine, other * cosine + one * sine], -1)


def _times(t: Tensor, width: int) -> Tensor:
    """(B, W) sines and cosines of times in 0..1."""
    rates = torch.exp(-math.log(1000.0) * torch.arange(width // 2, device=t.device, dtype=torch.float32) / (width // 2))
    angles = 100.0 * t.float()[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], -1)


def build_modules(config: Config) -> dict[str, nn.Module]:
    """The net of ``config`` with random weights."""
    return {"motion": MotionNet(config)}


def optimize_for_inference(modules: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    """Copies that cannot be trained; there is nothing to fold."""
    return {name: copy.deepcopy(module).eval().requires_grad_(False) for name, module in modules.items()}
