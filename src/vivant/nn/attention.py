"""Attention and feed-forward layers with the key names of published Stable-Diffusion nets.

Axis letters: R rows (pictures or videos), N query tokens, M key tokens, C channels, D channels of a head. Keys and
values can be computed once and used many times (:meth:`Attention.keys_values`), and one row of them can serve all
frames of a video without being copied (:meth:`Attention.attend`).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MOST_ROWS = 65_535
"""What CUDA's fused attention takes at once."""


class KeyValue(NamedTuple):
    """Projected context: ``key`` and ``value`` (R, heads, M, D)."""

    key: Tensor
    value: Tensor

    def frames(self, count: int) -> KeyValue:
        """The same context seen by ``count`` frames: (R * count, heads, M, D)."""
        return KeyValue(*(t[:, None].expand(-1, count, -1, -1, -1).flatten(0, 1) for t in self))


class Blind(NamedTuple):
    """Queries that do not see some keys of their row, told without a mask of N x M numbers.

    ``query`` (R, N, 1) and ``key`` (R, M, 1): :data:`_FAR` at marked queries, - :data:`_FAR` at marked keys, else 0. As
    further channels of queries and keys they add - :data:`_FAR` squared to the product of a marked query and a marked
    key, whose weight then is exactly 0, and 0 to all others. CUDA's flash attention takes no mask, but this; the kernel
    that does take one reads all its numbers again for each head.
    """

    query: Tensor
    key: Tensor

    @classmethod
    def of(cls, queries: Tensor, keys: Tensor, like: Tensor) -> Blind:
        """Marked ``queries`` (R, N) and ``keys`` (R, M), bool, as numbers of the type of ``like``."""
        return cls(*(far * marks[..., None].to(like.dtype) for far, marks in ((_FAR, queries), (-_FAR, keys))))

    def beside(self, count: int) -> Blind:
        """With ``count`` further keys, which all queries see."""
        return self._replace(key=F.pad(self.key, (0, 0, 0, count)))

    def attention(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Scaled dot-product attention of (R, heads, N, D) and (R, heads, M, D)."""
        width = query.shape[-1]
        more = 8 - width % 8  # flash attention takes multiples of 8, as many for values as for keys

        def widened(t: Tensor, marks: Tensor | None) -> Tensor:
            if marks is None:
                return F.pad(t, (0, more))
            marks = F.pad(marks.to(t.dtype), (0, more - 1))
            return torch.cat([t, marks[:, None].expand(-1, t.shape[1], -1, -1)], -1)

        query, key, value = widened(query, self.query), widened(key, self.key), widened(value, None)
        return attention(query, key, value, scale=width**-0.5)[..., :width]


_FAR = 200.0  # its square, times the scale of any width of a head, is far beyond all logits, and is a number in float16


def attention(query: Tensor, key: Tensor, value: Tensor, scale: float | None = None) -> Tensor:
    """Scaled dot-product attention of (R, heads, N, D) for any number of rows R; ``scale`` as in torch.

    CUDA's fused kernels take at most :data:`MOST_ROWS` rows. Attention over frames has one row a place of the latent
    grid, so a few windows of 512 px at once have more.
    """
    if len(query) <= MOST_ROWS:
        return F.scaled_dot_product_attention(query, key, value, scale=scale)
    parts = [t.split(MOST_ROWS) for t in (query, key, value)]
    return torch.cat([F.scaled_dot_product_attention(q, k, v, scale=scale) for q, k, v in zip(*parts)])


class Attention(nn.Module):
    """Multi-head attention; the output projection has a bias, queries, keys and values have one only with ``bias``.

    Args:
        channels: C of the queries and of the result.
        context: channels of the tokens that keys and values come from, None for C.
        heads: number of heads; D = C / heads.
        bias: whether queries, keys and values have a bias (PixArt); :attr:`bias` and :meth:`single` are then not right.
    """

    def __init__(self, channels: int, context: int | None = None, heads: int = 8, bias: bool = False) -> None:
        super().__init__()
        if channels % heads:
            raise ValueError(f"{channels} channels do not divide by {heads} heads")
        self.heads = heads
        self.to_q = nn.Linear(channels, channels, bias=bias)
        self.to_k = nn.Linear(context or channels, channels, bias=bias)
        self.to_v = nn.Linear(context or channels, channels, bias=bias)
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])

    def split(self, tokens: Tensor) -> Tensor:
        """(R, N, C) to (R, heads, N, D)."""
        return tokens.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def keys_values(self, tokens: Tensor) -> KeyValue:
        """Tokens (R, M, context) to keys and values."""
        return KeyValue(self.split(self.to_k(tokens)), self.split(self.to_v(tokens)))

    def attend(self, x: Tensor, seen: KeyValue, blind: Blind | None = None) -> Tensor:
        """Queries from ``x`` (R, N, C) on ``seen``, heads joined, before the output projection: (R, N, C).

        ``seen`` may have fewer rows, R = rows * F: then each of its rows serves F neighbouring rows of ``x``, whose
        tokens stand behind each other as queries. ``blind``: which queries do not see which keys; R = rows then.
        """
        rows = seen.key.shape[0]
        query = self.split(self.to_q(x.reshape(rows, -1, x.shape[-1])))
        found = (attention if blind is None else blind.attention)(query, *seen)
        return found.transpose(1, 2).flatten(2).view(x.shape)

    def project(self, found: Tensor) -> Tensor:
        """The output projection."""
        return self.to_out[0](found)

    @property
    def bias(self) -> Tensor:
        """(C,): what a query gets from tokens that are all zero, because keys and values have no bias."""
        return self.to_out[0].get_parameter("bias")

    def single(self, token: Tensor) -> Tensor:
        """What every query gets from one token (R, 1, context), whatever the query: (R, 1, C)."""
        return self.project(self.to_v(token))

    def forward(self, x: Tensor, tokens: Tensor | None = None) -> Tensor:
        """x (R, N, C) on tokens (R, M, context), None for itself: (R, N, C)."""
        return self.project(self.attend(x, self.keys_values(x if tokens is None else tokens)))


class GatedLinear(nn.Module):
    """Linear to two halves, the first times the GELU of the second (GEGLU, Shazeer 2020, arXiv:2002.05202)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.proj = nn.Linear(inputs, 2 * outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) to (..., outputs)."""
        value, gate = self.proj(x).chunk(2, dim=-1)
        return value * F.gelu(gate)


class CurvedLinear(nn.Module):
    """Linear, then GELU in its tanh approximation, as PixArt has it."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.proj = nn.Linear(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) to (..., outputs)."""
        return F.gelu(self.proj(x), approximate="tanh")


class FeedForward(nn.Module):
    """Four times wider in the middle, gated or not."""

    def __init__(self, channels: int, gated: bool = True) -> None:
        super().__init__()
        first = GatedLinear(channels, 4 * channels) if gated else CurvedLinear(channels, 4 * channels)
        # the place in between held a dropout when the published files were written
        self.net = nn.ModuleList([first, nn.Identity(), nn.Linear(4 * channels, channels)])

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) to (..., C)."""
        for layer in self.net:
            x = layer(x)
        return x


def sinusoid(positions: int, channels: int) -> Tensor:
    """Position codes (positions, channels): sine on even channels, cosine on odd ones, base 10000."""
    steps = torch.arange(positions, dtype=torch.float32)[:, None]
    rates = torch.exp(torch.arange(0, channels, 2, dtype=torch.float32) * (-torch.log(torch.tensor(1e4)) / channels))
    return torch.stack([torch.sin(steps * rates), torch.cos(steps * rates)], -1).flatten(1)
