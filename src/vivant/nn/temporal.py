"""Temporal attention between the frames of a window (AnimateDiff v2, arXiv:2307.04725, with its key names).

Axis letters: R videos, F frames, C channels, h w latent grid. The frames of a video are the only tokens that see each
other here; a frame's place in the window is told by a sinusoid, so a window has at most ``positions`` frames. With a
``grid`` of g, g x g neighbouring tokens of all frames see each other together (EasyAnimate, arXiv:2405.18991).
"""

from __future__ import annotations

from torch import Tensor, nn

from vivant.core.errors import ConfigError
from vivant.nn.attention import Attention, FeedForward, sinusoid
from vivant.nn.group_norm import GroupNorm


class PositionCode(nn.Module):
    """The sinusoid as a buffer that published files store."""

    pe: Tensor

    def __init__(self, channels: int, positions: int, each: int = 1) -> None:
        super().__init__()
        self.each = each
        self.register_buffer("pe", sinusoid(positions, channels)[None])

    def forward(self, x: Tensor) -> Tensor:
        """x (R, F each, C) with the codes of places 0..F-1 added, each place's to ``each`` tokens."""
        codes = self.pe[:, : x.shape[1] // self.each]
        return x + (codes if self.each == 1 else codes.repeat_interleave(self.each, 1)).to(x.dtype)


class TemporalAttention(Attention):
    """Self-attention over the frames; the place is added to the normed input, so values carry it, too."""

    def __init__(self, channels: int, heads: int, positions: int, each: int = 1) -> None:
        super().__init__(channels, heads=heads)
        self.pos_encoder = PositionCode(channels, positions, each)

    def forward(self, x: Tensor, tokens: Tensor | None = None) -> Tensor:
        """x (rows, F, C) to the same shape; ``tokens`` is not used."""
        return super().forward(self.pos_encoder(x))


class TemporalBlock(nn.Module):
    """Two attentions over the frames and a feed-forward, each behind a layer norm and residual."""

    def __init__(self, channels: int, heads: int, positions: int, each: int = 1) -> None:
        super().__init__()
        self.attention_blocks = nn.ModuleList(TemporalAttention(channels, heads, positions, each) for _ in range(2))
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for _ in range(2))
        self.ff, self.ff_norm = FeedForward(channels), nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """x (rows, F, C) to the same shape."""
        for norm, attention in zip(self.norms, self.attention_blocks):
            x = x + attention(norm(x))
        return x + self.ff(self.ff_norm(x))


class TemporalTransformer(nn.Module):
    """Group norm of each frame, linear, temporal block, linear that starts at zero, residual.

    ``grid``: side of the squares of tokens that look at the frames together, 1 for each token alone.
    """

    def __init__(self, channels: int, heads: int, groups: int, positions: int, grid: int = 1) -> None:
        super().__init__()
        self.positions, self.grid = positions, grid
        self.norm = GroupNorm(groups, channels, eps=1e-6)
        self.proj_in = nn.Linear(channels, channels)
        self.transformer_blocks = nn.ModuleList([TemporalBlock(channels, heads, positions, grid**2)])
        self.proj_out = nn.Linear(channels, channels)
        nn.init.zeros_(self.proj_out.weight)
        nn.init.zeros_(self.proj_out.bias)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """x (R F, C, h, w) to the same shape.

        Raises:
            ConfigError: the window has more frames than there are positions, or the latents do not divide by the grid.
        """
        found = self._over_time(x.permute(0, 2, 3, 1), self.norm(x).permute(0, 2, 3, 1), frames)
        return found.permute(0, 3, 1, 2)

    def tokens(self, x: Tensor, frames: int, grid: tuple[int, int]) -> Tensor:
        """The same of the tokens (R F, h w, C) of a ``grid`` h, w, which keep their order in memory."""
        found = self._over_time(x.unflatten(1, grid), self.norm.tokens(x).unflatten(1, grid), frames)
        return found.flatten(1, 2)

    def _over_time(self, x: Tensor, normed: Tensor, frames: int) -> Tensor:
        """x and ``normed`` (R F, h, w, C) to the same shape."""
        if frames > self.positions:
            raise ConfigError(
                f"A window of {frames} frames is longer than the {self.positions} the net knows: lower --window."
            )
        height, width = x.shape[1:3]
        g = self.grid
        if height % g or width % g:
            raise ConfigError(f"A latent grid of {height} x {width} does not divide by the temporal grid of {g}.")
        x, normed = (t.unflatten(0, (-1, frames)).unflatten(2, (-1, g)).unflatten(4, (-1, g)) for t in (x, normed))
        cells = normed.permute(0, 2, 4, 1, 3, 5, 6)  # R, h / g, w / g, F, g, g, C
        tokens = cells.flatten(3, 5).flatten(0, 2).contiguous()
        tokens = self.proj_out(self.transformer_blocks[0](self.proj_in(tokens)))
        x = x + tokens.view(cells.shape).permute(0, 3, 1, 4, 2, 5, 6)
        return x.flatten(4, 5).flatten(2, 3).flatten(0, 1)


class MotionModule(nn.Module):
    """One motion module; the extra level of names is that of published files."""

    def __init__(self, channels: int, heads: int = 8, groups: int = 32, positions: int = 32) -> None:
        super().__init__()
        self.temporal_transformer = TemporalTransformer(channels, heads, groups, positions)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """x (R F, C, h, w) to the same shape."""
        found: Tensor = self.temporal_transformer(x, frames)
        return found
