"""The spatial transformer of reference-net diffusion: self, reference, context and attribute attention.

Axis letters: R videos, F frames, C channels, h w latent grid, N = h w tokens, M key tokens. Frames are folded into the
rows, (R F). The first ``free`` videos are the unconditional ones of classifier-free guidance: they see no reference and
an all-zero context. Because keys and values have no bias, such an attention gives its output bias for every token, so
it is added and not computed.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vivant.nn.attention import Attention, Blind, FeedForward, KeyValue
from vivant.nn.group_norm import GroupNorm

ReferenceKind = Literal["none", "cross", "concat"]
Tap = Literal["norm1", "norm2"]


class BlockContext(NamedTuple):
    """What one transformer block looks at besides its own tokens, for the R - free conditional videos.

    ``reference``: keys and values of the reference net's tokens, one row a video, or one for all of them. ``keep``:
    (R - free, F) float, 0 for frames whose reference is dropped. ``context``: keys and values of context tokens, one
    row a video or a frame. ``vector``: (R - free, 1, C), stands for ``context`` where that is a single token.
    ``attributes``: keys and values of attribute tokens, one row a video.
    """

    reference: KeyValue | None = None
    keep: Tensor | None = None
    context: KeyValue | None = None
    vector: Tensor | None = None
    attributes: KeyValue | None = None


class Strength(NamedTuple):
    """Factors on the outputs of the reference and the context attention, biases included."""

    reference: float | Tensor = 1.0
    context: float | Tensor = 1.0


class TransformerBlock(nn.Module):
    """Pre-norm attentions and a gated feed-forward, all residual.

    ``reference``: how the reference is seen. "concat": its tokens are further keys of the self-attention (Animate
    Anyone, section 3.2); "cross": an attention of its own, ``attn1_5`` (V-Express, section 3.2).
    """

    def __init__(self, channels: int, context: int, heads: int, reference: ReferenceKind, attributes: int) -> None:
        super().__init__()
        self.reference = reference
        self.norm1, self.attn1 = nn.LayerNorm(channels), Attention(channels, heads=heads)
        if reference == "cross":
            self.norm1_5, self.attn1_5 = nn.LayerNorm(channels), Attention(channels, heads=heads)
        self.norm2, self.attn2 = nn.LayerNorm(channels), Attention(channels, context, heads)
        if attributes:
            self.norm_attributes = nn.LayerNorm(channels)
            self.attn_attributes = Attention(channels, attributes, heads)
            for parameter in self.attn_attributes.to_out.parameters():
                nn.init.zeros_(parameter)
        self.norm3, self.ff = nn.LayerNorm(channels), FeedForward(channels)

    def project(
        self, reference: Tensor | None, context: Tensor | None, attributes: Tensor | None = None
    ) -> BlockContext:
        """Tokens to what the block looks at; once for a video.

        ``reference``: (R, M, C). ``context``: (R, T, context), or (R, F, T, context) with tokens of each frame.
        ``attributes``: (R, T, attributes).
        """
        own = self.attn1_5 if self.reference == "cross" else self.attn1
        one = context is not None and context.ndim == 3 and context.shape[1] == 1
        rows = context if context is None or context.ndim == 3 else context.flatten(0, 1)
        return BlockContext(
            reference=None if reference is None else own.keys_values(reference),
            context=self.attn2.keys_values(rows) if rows is not None and not one else None,
            vector=self.attn2.single(rows) if rows is not None and one else None,
            attributes=None if attributes is None else self.attn_attributes.keys_values(attributes),
        )

    def forward(self, x: Tensor, frames: int, free: int, seen: BlockContext, strength: Strength) -> Tensor:
        """x (R F, N, C) to the same shape."""
        skip = free * frames
        if self.reference == "concat" and seen.reference is not None:
            x = x + attend_with_reference(self.attn1, self.norm1(x), skip, seen)
        else:
            x = x + self.attn1(self.norm1(x))
        if self.reference == "cross":
            x = self._reference(x, skip, seen, strength.reference)
        x = self._context(x, skip, seen, strength.context)
        if seen.attributes is not None:
            h = self.norm_attributes(x[skip:])
            found = self.attn_attributes.project(self.attn_attributes.attend(h, seen.attributes))
            x = add_behind(x, found, None, skip, 1.0)
        return x + self.ff(self.norm3(x))

    def _reference(self, x: Tensor, skip: int, seen: BlockContext, strength: float | Tensor) -> Tensor:
        if seen.reference is None:
            return x + strength * self.attn1_5.bias
        found = self.attn1_5.attend(self.norm1_5(x[skip:]), seen.reference)
        if seen.keep is not None:  # a reference of zeros gives zero before the projection
            found = found * seen.keep.reshape(-1, 1, 1).to(found.dtype)
        return add_behind(x, self.attn1_5.project(found), self.attn1_5.bias, skip, strength)

    def _context(self, x: Tensor, skip: int, seen: BlockContext, strength: float | Tensor) -> Tensor:
        bias = self.attn2.bias
        if seen.vector is not None:
            rows = x[skip:].reshape(seen.vector.shape[0], -1, x.shape[-1])
            added = (rows + strength * seen.vector).view(x[skip:].shape)
            return torch.cat([x[:skip] + strength * bias, added]) if skip else added
        if seen.context is None:
            return x + strength * bias
        found = self.attn2.attend(self.norm2(x[skip:]), seen.context)
        return add_behind(x, self.attn2.project(found), bias, skip, strength)

    def read(self, x: Tensor, tap: Tap, vector: Tensor, last: bool) -> tuple[Tensor, Tensor]:
        """A block of the reference net: (x after the block, the tokens that ``tap`` names).

        ``vector``: (R, 1, C), the context attention's answer to its single token. After the ``last`` tap nothing is
        needed any more, so x is returned as it stands.
        """
        h = self.norm1(x)
        if tap == "norm1" and last:
            return x, h
        x = x + self.attn1(h)
        if tap == "norm2":
            h = self.norm2(x)
            if last:
                return x, h
        x = x + vector
        return x + self.ff(self.norm3(x)), h


def attend_with_reference(
    attn: Attention, h: Tensor, skip: int, seen: BlockContext, blind: Blind | None = None
) -> Tensor:
    """Self-attention whose keys are a frame's own tokens and, for conditional videos, the reference's.

    Args:
        attn: the attention.
        h: tokens (R F, N, C), normed.
        skip: rows of unconditional videos, the first ones, which see no reference and all their own tokens.
        seen: its ``reference`` and ``keep`` are used.
        blind: of the other rows: which queries do not see which own tokens of their frame.
    """
    own = attn.keys_values(h)
    if seen.reference is None and blind is None:
        return attn.project(attn.attend(h, own))
    both = KeyValue(*(t[skip:] for t in own))
    if seen.reference is not None:
        reference = seen.reference.frames((len(h) - skip) // len(seen.reference.key))
        if seen.keep is not None:  # a frame's own keys twice give what they give once, and need no mask
            keep = seen.keep.reshape(-1, 1, 1, 1).bool()
            reference = KeyValue(*(torch.where(keep, a, b) for a, b in zip(reference, both)))
        both = KeyValue(*(torch.cat([a, b], 2) for a, b in zip(both, reference)))
        if blind is not None:
            blind = blind.beside(reference.key.shape[2])
    found = attn.attend(h[skip:], both, blind)
    if skip:
        found = torch.cat([attn.attend(h[:skip], KeyValue(*(t[:skip] for t in own))), found])
    return attn.project(found)


def add(x: Tensor, found: Tensor, strength: float | Tensor) -> Tensor:
    """x + strength * found, in one pass."""
    if isinstance(strength, Tensor):
        return torch.addcmul(x, found, strength)
    return torch.add(x, found, alpha=strength)


def add_behind(x: Tensor, found: Tensor, bias: Tensor | None, skip: int, strength: float | Tensor) -> Tensor:
    """x with ``found`` added to the rows from ``skip`` on, and ``bias`` to those before."""
    if not skip:
        return add(x, found, strength)
    before = x[:skip] if bias is None else add(x[:skip], bias, strength)
    return torch.cat([before, add(x[skip:], found, strength)])


class SpatialTransformer(nn.Module):
    """Group norm, 1x1 convolution, one :class:`TransformerBlock` on the grid's tokens, 1x1 convolution, residual."""

    def __init__(
        self, channels: int, context: int, heads: int, groups: int, reference: ReferenceKind, attributes: int = 0
    ) -> None:
        super().__init__()
        self.norm = GroupNorm(groups, channels, eps=1e-6)
        self.proj_in = nn.Conv2d(channels, channels, 1)
        self.transformer_blocks = nn.ModuleList([TransformerBlock(channels, context, heads, reference, attributes)])
        self.proj_out = nn.Conv2d(channels, channels, 1)

    @property
    def block(self) -> TransformerBlock:
        """The one transformer block."""
        block = self.transformer_blocks[0]
        assert isinstance(block, TransformerBlock)
        return block

    def forward(self, x: Tensor, frames: int, free: int, seen: BlockContext, strength: Strength) -> Tensor:
        """x (R F, C, h, w) to the same shape."""
        return self._out(self.block(self._tokens(x), frames, free, seen, strength), x)

    def read(self, x: Tensor, tap: Tap, vector: Tensor, last: bool) -> tuple[Tensor, Tensor]:
        """x (R, C, h, w) of the reference net to (x, tapped tokens (R, N, C)); see :meth:`TransformerBlock.read`."""
        tokens, tapped = self.block.read(self._tokens(x), tap, vector, last)
        return (x if last else self._out(tokens, x)), tapped

    def _tokens(self, x: Tensor) -> Tensor:
        return _pointwise(self.norm(x).flatten(2).transpose(1, 2), self.proj_in)

    def _out(self, tokens: Tensor, x: Tensor) -> Tensor:
        return _pointwise(tokens, self.proj_out).transpose(1, 2).unflatten(2, x.shape[2:]) + x


def _pointwise(tokens: Tensor, conv: nn.Conv2d) -> Tensor:
    """A 1x1 convolution on tokens (R, N, C): no change of memory order when maps are channels-last."""
    return F.linear(tokens, conv.weight.flatten(1), conv.bias)
