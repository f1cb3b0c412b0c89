"""The U-Net: a reduced ADM (Dhariwal and Nichol 2021, arXiv:2105.05233) whose group norms are scaled and shifted twice,
by the time and by the sound (arXiv:2301.03396, section 3.3).

Keys are those of the published checkpoint. What depends only on the time, only on the sound, or only on identity and
motion frames is computed by its own method, so that a sampler computes it once for many steps or frames; ``forward`` is
their composition.

Axis letters: B batch, C channels, H W pixels, A audio embeddings, D numbers of one, E width of an embedding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vivant.core.errors import ConfigError
from vivant.methods.diffused_heads.config import Config
from vivant.nn.geometry import grid_2d, sample_2d
from vivant.nn.group_norm import GroupNorm

_GROUPS = 32
_PERIOD = 10_000.0
_FLOW = 0.25
"""Halves of the side that an answer of 1 moves the identity frame by."""


class Conditions(NamedTuple):
    """What motion and identity frames give: ``layer``, the first layer's answer to them, without its bias; ``frames``
    (B, K, 3, H, W) that pixels may be copied from."""

    layer: Tensor
    frames: Tensor


class TimeEmbedding(nn.Module):
    """Sinusoid of the timestep and two linear layers.

    The published net divides the exponent by twice the width instead of half of it, so its frequencies only fall from 1
    to 0.1; the state dict does not show it.
    """

    def __init__(self, width: int, rates: str) -> None:
        super().__init__()
        self.fc = nn.Sequential(nn.Linear(width, 4 * width), nn.SiLU(), nn.Linear(4 * width, 4 * width))
        self._half, self._divisor = width // 2, 2 * width if rates == "published" else width // 2

    def forward(self, t: Tensor) -> Tensor:
        """Timesteps (B,) of the full schedule to (B, E)."""
        place = torch.arange(self._half, device=t.device, dtype=torch.float32)
        angles = t.float()[:, None] * torch.exp(place * (-math.log(_PERIOD) / self._divisor))
        return self.fc(torch.cat([angles.cos(), angles.sin()], 1))


class ResBlock(nn.Module):
    """Residual block with double adaptive group norm; ``resize`` "down" halves, "up" doubles height and width."""

    def __init__(self, inputs: int, outputs: int, embedding: int, dropout: float, resize: str = "") -> None:
        super().__init__()
        self.resize = resize
        self.in_layers = nn.Sequential(GroupNorm(_GROUPS, inputs), nn.SiLU(), nn.Conv2d(inputs, outputs, 3, padding=1))
        self.t_emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(embedding, 2 * outputs))
        self.audio_emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(embedding, 2 * outputs))
        self.out_layers = nn.Sequential(
            GroupNorm(_GROUPS, outputs), nn.SiLU(), nn.Dropout(dropout), nn.Conv2d(outputs, outputs, 3, padding=1)
        )
        if inputs != outputs:
            self.skip_connection = nn.Conv2d(inputs, outputs, 1)
        self.widens = inputs != outputs

    def forward(self, x: Tensor, time: Tensor, sound: Tensor) -> Tensor:
        """x (B, C, H, W); ``time`` and ``sound`` (B or 1, 2C'): what their layers made of the embeddings."""
        y = self.in_layers[1](self.in_layers[0](x))
        x, y = self._resized(x), self._resized(y)
        y = self.out_layers[0](self.in_layers[2](y))
        for vector in (time, sound):
            scale, shift = vector[:, :, None, None].chunk(2, dim=1)
            y = y * (1 + scale) + shift
        y = self.out_layers[3](self.out_layers[2](self.out_layers[1](y)))
        return (self.skip_connection(x) if self.widens else x) + y

    def _resized(self, x: Tensor) -> Tensor:
        if self.resize == "down":
            return F.avg_pool2d(x, 2)
        return F.interpolate(x, scale_factor=2.0, mode="nearest") if self.resize == "up" else x


class Attention(nn.Module):
    """Self-attention of all places; q, k, v lie beside each other inside each head."""

    def __init__(self, channels: int, head_width: int) -> None:
        super().__init__()
        self.heads = max(1, channels // head_width)
        self.norm = GroupNorm(_GROUPS, channels)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.proj_out = nn.Conv1d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        flat = x.flatten(2)
        heads = self.qkv(self.norm(flat)).unflatten(1, (self.heads, 3, -1)).transpose(3, 4)
        seen = F.scaled_dot_product_attention(*heads.unbind(2))
        return x + self.proj_out(seen.transpose(2, 3).flatten(1, 2)).view(x.shape)


class UNet(nn.Module):
    """What the noise in a frame is, from the noisy frame, its predecessors, the identity frame, the time and the
    sound."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.patch, self.motion_channels = config.patch, config.motion_channels
        self.copied, self.warps = config.copied_frames, config.copies == "warped"
        if self.copied and (config.learned_variance or config.prediction != "sample"):
            raise ConfigError("Only a net that predicts the picture, and no variance, can copy pixels.")
        self.outputs = 6 if config.learned_variance else 3
        if self.copied:
            self.outputs += 1 + self.copied + 2 * self.warps
        fold = config.patch**2
        width, embedding = config.width, 4 * config.width
        widths = [width * m for m in config.multipliers]
        self.time_embed = TimeEmbedding(width, config.time_rates)
        reach = 2 * config.audio_reach + 1
        self.audio_embed = nn.Sequential(
            nn.Linear(config.audio_width * reach, embedding), nn.SiLU(), nn.Linear(embedding, embedding)
        )

        def res(inputs: int, outputs: int, resize: str = "") -> ResBlock:
            return ResBlock(inputs, outputs, embedding, config.dropout, resize)

        def block(level: int, inputs: int, *more: nn.Module) -> nn.ModuleList:
            lowest = config.attention == "lowest" and level == len(widths) - 1
            attention = [Attention(widths[level], config.head_width)] if lowest else []
            return nn.ModuleList([res(inputs, widths[level]), *attention, *more])

        first = nn.Conv2d((6 + self.motion_channels) * fold, width, 3, padding=1)
        self.input_blocks = nn.ModuleList([nn.ModuleList([first])])
        skips, now = [width], width
        for level, wide in enumerate(widths):
            for _ in range(config.blocks):
                self.input_blocks.append(block(level, now))
                now = wide
                skips.append(now)
            if level < len(widths) - 1:
                self.input_blocks.append(nn.ModuleList([res(now, now, "down")]))
                skips.append(now)
        self.middle_block = nn.ModuleList([res(now, now), Attention(now, config.head_width), res(now, now)])
        self.output_blocks = nn.ModuleList()
        for level in reversed(range(len(widths))):
            for number in range(config.blocks + 1):
                up = [res(widths[level], widths[level], "up")] if level and number == config.blocks else []
                self.output_blocks.append(block(level, now + skips.pop(), *up))
                now = widths[level]
        last = nn.Conv2d(now, self.outputs * fold, 3, padding=1)
        self.out = nn.Sequential(GroupNorm(_GROUPS, now), nn.SiLU(), last)
        if config.zero_start:
            self._start_at_zero()

    @torch.no_grad()
    def _start_at_zero(self) -> None:
        """Every residual branch and the answer begin as zero."""
        for module in self.modules():
            ends = {ResBlock: "out_layers.3", Attention: "proj_out", UNet: "out.2"}.get(type(module))
            for parameter in module.get_submodule(ends).parameters() if ends else ():
                parameter.zero_()

    def _blocks(self) -> list[ResBlock]:
        return [module for module in self.modules() if isinstance(module, ResBlock)]

    def times(self, t: Tensor) -> list[Tensor]:
        """What each residual block takes from timesteps (B,): tensors (B, 2C)."""
        embedding = self.time_embed(t)
        return [block.t_emb_layers(embedding) for block in self._blocks()]

    def sounds(self, audio: Tensor) -> list[Tensor]:
        """What each residual block takes from audio embeddings (B, A, D) in the order of time: tensors (B, 2C)."""
        embedding = self.audio_embed(audio.flatten(1))
        return [block.audio_emb_layers(embedding) for block in self._blocks()]

    def conditions(self, motion: Tensor, identity: Tensor) -> Conditions:
        """What motion frames (B, motion channels, H, W), oldest first, and the identity frame (B, 3, H, W) give."""
        weight = self._first.weight[:, 3 * self.patch**2 :]
        layer = F.conv2d(self._fold(motion, identity), weight, padding=1)
        others = motion.split(3, 1) if self.copied > 1 and not self.warps else ()
        frames = [identity, *others] if self.copied else []
        return Conditions(layer, torch.stack(frames, 1) if frames else identity[:, None, :0])

    def denoise(self, x: Tensor, conditions: Conditions, times: Sequence[Tensor], sounds: Sequence[Tensor]) -> Tensor:
        """The answer (B, 3 or 6, H, W) to noisy frames (B, 3, H, W); the rest from the methods above."""
        h = self._layers(x, conditions, times, sounds)
        return self._mixed(h, self._offered(h, conditions.frames)) if self.copied else h

    def _layers(self, x: Tensor, conditions: Conditions, times: Sequence[Tensor], sounds: Sequence[Tensor]) -> Tensor:
        first, each = self._first, iter(zip(times, sounds))
        h = conditions.layer + F.conv2d(self._fold(x), first.weight[:, : 3 * self.patch**2], first.bias, padding=1)
        skips = [h]
        for block in list(self.input_blocks)[1:]:
            h = self._run(block, h, each)
            skips.append(h)
        h = self._run(self.middle_block, h, each)
        for block in self.output_blocks:
            h = self._run(block, torch.cat([h, skips.pop()], 1), each)
        h = self.out(h)
        return F.pixel_shuffle(h, self.patch) if self.patch > 1 else h

    def _offered(self, answer: Tensor, frames: Tensor) -> Tensor:
        """Frames (B, K, 3, H, W) to take pixels from; the last is the identity frame moved by the answer's last two
        channels, if the net warps."""
        if not self.warps:
            return frames
        flow, identity = answer[:, -2:].float(), frames[:, 0].float()
        if self.patch > 1:  # one shift a patch, smooth between them: no pixel jumps
            small = F.avg_pool2d(flow, self.patch)
            flow = F.interpolate(small, flow.shape[-2:], mode="bilinear", align_corners=False)
        where = grid_2d(flow.shape[-2], flow.shape[-1], flow.device) + _FLOW * flow.permute(0, 2, 3, 1)
        moved = sample_2d(identity.expand(len(flow), -1, -1, -1), where)
        return torch.cat([frames.float().expand(len(flow), -1, -1, -1, -1), moved[:, None]], 1)

    def _mixed(self, answer: Tensor, frames: Tensor) -> Tensor:
        """At each pixel a mixture of what is painted and of frames (B, K, 3, H, W), by K + 1 further channels."""
        painted, shares = answer[:, :3], answer[:, 3 : 4 + self.copied].float().softmax(1)
        return torch.cat([painted[:, None].float(), frames.float()], 1).mul(shares[:, :, None]).sum(1)

    def forward(self, x: Tensor, t: Tensor, motion: Tensor, identity: Tensor, audio: Tensor) -> Tensor:
        """Noisy frames (B, 3, H, W) at timesteps (B,) with motion frames (B, motion channels, H, W), identity frames
        (B, 3, H, W), all in -1..1, and audio embeddings (B, A, D) to (B, 3 or 6, H, W)."""
        return self.denoise(x, self.conditions(motion, identity), self.times(t), self.sounds(audio))

    def with_moved(
        self, x: Tensor, t: Tensor, motion: Tensor, identity: Tensor, audio: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The answer of :meth:`forward`, and the identity frame moved by the net's flow (B, 3, H, W)."""
        conditions = self.conditions(motion, identity)
        h = self._layers(x, conditions, self.times(t), self.sounds(audio))
        frames = self._offered(h, conditions.frames)
        return self._mixed(h, frames), frames[:, -1]

    @property
    def _first(self) -> nn.Conv2d:
        conv = self.input_blocks[0][0]  # type: ignore[index]
        assert isinstance(conv, nn.Conv2d)
        return conv

    def _fold(self, *pictures: Tensor) -> Tensor:
        parts = [F.pixel_unshuffle(p, self.patch) if self.patch > 1 else p for p in pictures if p.shape[1]]
        return torch.cat(parts, 1)

    @staticmethod
    def _run(block: nn.Module, h: Tensor, each) -> Tensor:  # type: ignore[no-untyped-def]
        for layer in block.children():
            h = layer(h, *next(each)) if isinstance(layer, ResBlock) else layer(h)
        return h
