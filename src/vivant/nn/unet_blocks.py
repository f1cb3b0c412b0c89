"""The blocks a Stable-Diffusion U-Net is made of, on pictures and on videos, with published key names.

Axis letters: R videos, F frames, C channels, h w latent grid, E channels of the time embedding. Frames are folded into
the rows, (R F, C, h, w): convolutions and group norms see single frames, and only motion modules see several.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vivant.nn.resnet2d import Downsample2d, ResBlock2d, Upsample2d, sinusoid
from vivant.nn.temporal import MotionModule
from vivant.nn.transformer import BlockContext, ReferenceKind, SpatialTransformer, Strength, Tap

NOTHING = BlockContext()


@dataclass(frozen=True)
class UNetConfig:
    """Sizes of a U-Net; the defaults are those of Stable Diffusion 1.5.

    ``widths``: channels of each level, halving the grid between levels. ``attention``: which levels have spatial
    transformers. ``layers``: layers of a level on the way down (one more on the way up). ``context``: channels of the
    context tokens. ``reference``: how a reference is seen. ``motion``: with motion modules. ``positions``: longest
    window. ``head``: with the final norm ("norm") and convolution ("conv"), or both, or none of them.
    ``attributes``: channels of attribute tokens, 0 for none.
    """

    channels: int = 4
    widths: tuple[int, ...] = (320, 640, 1280, 1280)
    attention: tuple[bool, ...] = (True, True, True, False)
    layers: int = 2
    heads: int = 8
    context: int = 768
    groups: int = 32
    reference: ReferenceKind = "none"
    motion: bool = False
    positions: int = 32
    head: tuple[str, ...] = ("norm", "conv")
    attributes: int = 0

    @property
    def embedding(self) -> int:
        """E: channels of the time embedding."""
        return 4 * self.widths[0]

    @property
    def paths(self) -> tuple[str, ...]:
        """Names of all spatial transformers in the order in which they run."""
        levels = range(len(self.widths))
        down = [f"down_blocks.{i}.attentions.{j}" for i in levels if self.attention[i] for j in range(self.layers)]
        up = [
            f"up_blocks.{i}.attentions.{j}" for i in levels if self.attention[::-1][i] for j in range(self.layers + 1)
        ]
        return (*down, "mid_block.attentions.0", *up)


class TimeEmbedding(nn.Module):
    """Two linear layers on the sinusoid of the timestep."""

    def __init__(self, width: int, embedding: int) -> None:
        super().__init__()
        self.width = width
        self.linear_1 = nn.Linear(width, embedding)
        self.linear_2 = nn.Linear(embedding, embedding)

    def forward(self, timesteps: Tensor) -> Tensor:
        """Timesteps (R,) to (R, E)."""
        code = sinusoid(timesteps, self.width).to(self.linear_1.weight.dtype)
        found: Tensor = self.linear_2(F.silu(self.linear_1(code)))
        return found


class Pass(NamedTuple):
    """What all blocks of one pass share. ``time``: time embedding, (R F, E) or (1, E). ``free``: number of
    unconditional videos, the first ones. ``save_memory``: compute each layer again in the backward pass. ``motion``:
    whether motion modules are run."""

    time: Tensor
    frames: int
    free: int
    contexts: Mapping[str, BlockContext]
    strength: Strength
    save_memory: bool = False
    motion: bool = True


class Reading(NamedTuple):
    """What the blocks of a reference pass share. ``vectors``: answers (R, 1, C) of each context attention by path;
    ``found``: the tapped tokens, filled block by block; ``last``: path of the last block that anybody reads."""

    time: Tensor
    tap: Tap
    vectors: Mapping[str, Tensor]
    found: dict[str, Tensor]
    last: str


class Level(nn.Module):
    """Residual blocks, each followed by a spatial transformer and a motion module where the level has them."""

    def __init__(self, config: UNetConfig, path: str, channels: list[tuple[int, int]], attention: bool) -> None:
        super().__init__()
        self.path = path
        width = channels[-1][1]
        self.resnets = nn.ModuleList(_residual(config, a, b) for a, b in channels)
        count = len(channels)
        if attention:
            self.attentions = nn.ModuleList(_transformer(config, width) for _ in range(count))
        if config.motion:
            self.motion_modules = nn.ModuleList(_motion(config, width) for _ in range(count))
        self.has_attention, self.has_motion = attention, config.motion

    def layer(self, number: int, x: Tensor, run: Pass) -> Tensor:
        """Layer ``number``: residual block, transformer, motion module."""
        if run.save_memory and torch.is_grad_enabled():
            found: Tensor = checkpoint(partial(self._layer, number), x, run, use_reentrant=False)
            return found
        return self._layer(number, x, run)

    def _layer(self, number: int, x: Tensor, run: Pass) -> Tensor:
        x = self.resnets[number](x, run.time)
        if self.has_attention:
            seen = run.contexts.get(f"{self.path}.attentions.{number}", NOTHING)
            x = self.attentions[number](x, run.frames, run.free, seen, run.strength)
        if self.has_motion and run.motion:
            x = self.motion_modules[number](x, run.frames)
        return x

    def read(self, number: int, x: Tensor, run: Reading) -> Tensor:
        """Layer ``number`` of a reference net; puts the tapped tokens into ``run.found``."""
        x = self.resnets[number](x, run.time)
        if self.has_attention:
            path = f"{self.path}.attentions.{number}"
            transformer = self.attentions[number]
            assert isinstance(transformer, SpatialTransformer)
            x, run.found[path] = transformer.read(x, run.tap, run.vectors[path], path == run.last)
        return x


def _residual(config: UNetConfig, inputs: int, outputs: int) -> ResBlock2d:
    return ResBlock2d(inputs, outputs, config.embedding, config.groups, eps=1e-5)


def _transformer(config: UNetConfig, width: int) -> SpatialTransformer:
    return SpatialTransformer(width, config.context, config.heads, config.groups, config.reference, config.attributes)


def _motion(config: UNetConfig, width: int) -> MotionModule:
    return MotionModule(width, config.heads, config.groups, config.positions)


class DownBlock(Level):
    """Layers, then a downsampler except on the last level."""

    def __init__(self, config: UNetConfig, number: int) -> None:
        width = config.widths[number]
        before = config.widths[max(0, number - 1)]
        pairs = [(before if j == 0 else width, width) for j in range(config.layers)]
        super().__init__(config, f"down_blocks.{number}", pairs, config.attention[number])
        last = number == len(config.widths) - 1
        self.downsamplers = None if last else nn.ModuleList([Downsample2d(width)])

    def walk(self, x: Tensor, layer: Callable[[int, Tensor], Tensor]) -> tuple[Tensor, list[Tensor]]:
        """(x after the block, the skips it leaves), running ``layer`` for each layer."""
        skips = []
        for number in range(len(self.resnets)):
            x = layer(number, x)
            skips.append(x)
        if self.downsamplers is not None:
            x = self.downsamplers[0](x)
            skips.append(x)
        return x, skips


class MidBlock(Level):
    """Residual block, transformer, motion module, residual block, at the coarsest grid."""

    def __init__(self, config: UNetConfig) -> None:
        width = config.widths[-1]
        super().__init__(config, "mid_block", [(width, width)], True)
        self.resnets.append(_residual(config, width, width))

    def forward(self, x: Tensor, run: Pass) -> Tensor:
        """x (R F, C, h, w) to the same shape."""
        found: Tensor = self.resnets[1](self.layer(0, x, run), run.time)
        return found

    def read_all(self, x: Tensor, run: Reading) -> Tensor:
        """The block in a reference net."""
        found: Tensor = self.resnets[1](self.read(0, x, run), run.time)
        return found


class UpBlock(Level):
    """Layers that join a skip each, then an upsampler except on the last level. ``number`` counts upwards."""

    def __init__(self, config: UNetConfig, number: int) -> None:
        widths = config.widths[::-1]
        width, before = widths[number], widths[max(0, number - 1)]
        after = widths[min(number + 1, len(widths) - 1)]
        skips = [width] * config.layers + [after]
        pairs = [((before if j == 0 else width) + skip, width) for j, skip in enumerate(skips)]
        super().__init__(config, f"up_blocks.{number}", pairs, config.attention[::-1][number])
        last = number == len(widths) - 1
        self.upsamplers = None if last else nn.ModuleList([Upsample2d(width)])

    def walk(self, x: Tensor, skips: list[Tensor], layer: Callable[[int, Tensor], Tensor]) -> Tensor:
        """x after the block, taking its skips from the end of ``skips``."""
        for number in range(len(self.resnets)):
            x = layer(number, torch.cat([x, skips.pop()], 1))
        if self.upsamplers is not None and skips:
            height, width = skips[-1].shape[2:]
            x = self.upsamplers[0](x, (height, width))
        return x
