"""Stable Diffusion's autoencoder (Rombach et al. 2022, arXiv:2112.10752), with the key names of its published files.

Axis letters: B batch, C latent channels, H W pixels, h w latents (an eighth of them by default).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from vivant.nn.group_norm import GroupNorm
from vivant.nn.resnet2d import Downsample2d, MapAttention, ResBlock2d, Upsample2d


@dataclass(frozen=True)
class AutoencoderConfig:
    """Sizes. ``widths``: channels of each level, each but the last halves; ``scale``: latents are multiplied by it to
    have about unit variance."""

    channels: int = 4
    widths: tuple[int, ...] = (128, 256, 512, 512)
    blocks: int = 2
    groups: int = 32
    scale: float = 0.18215

    @property
    def factor(self) -> int:
        """Pixels a side that one latent stands for."""
        return int(2 ** (len(self.widths) - 1))


class _Level(nn.Module):
    """Residual blocks of one level, and what resizes behind them."""

    def __init__(self, inputs: int, outputs: int, blocks: int, groups: int, down: bool, resize: bool) -> None:
        super().__init__()
        widths = [inputs, *[outputs] * blocks]
        self.resnets = nn.ModuleList(ResBlock2d(a, b, groups=groups) for a, b in pairwise(widths))
        self.down = down
        if resize and down:
            self.downsamplers = nn.ModuleList([Downsample2d(outputs, centred=False)])
        elif resize:
            self.upsamplers = nn.ModuleList([Upsample2d(outputs)])
        self.resize = resize

    def forward(self, x: Tensor) -> Tensor:
        for block in self.resnets:
            x = block(x)
        if not self.resize:
            return x
        return self.downsamplers[0](x) if self.down else self.upsamplers[0](x)


class _Middle(nn.Module):
    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(ResBlock2d(channels, channels, groups=groups) for _ in range(2))
        self.attentions = nn.ModuleList([MapAttention(channels, groups)])

    def forward(self, x: Tensor) -> Tensor:
        return self.resnets[1](self.attentions[0](self.resnets[0](x)))


class _Encoder(nn.Module):
    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        widths, last = config.widths, config.widths[-1]
        self.conv_in = nn.Conv2d(3, widths[0], 3, padding=1)
        pairs = list(zip((widths[0], *widths), widths))
        self.down_blocks = nn.ModuleList(
            _Level(a, b, config.blocks, config.groups, True, i < len(pairs) - 1) for i, (a, b) in enumerate(pairs)
        )
        self.mid_block = _Middle(last, config.groups)
        self.conv_norm_out = GroupNorm(config.groups, last, 1e-6)
        self.conv_out = nn.Conv2d(last, 2 * config.channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        for level in self.down_blocks:
            x = level(x)
        return self.conv_out(F.silu(self.conv_norm_out(self.mid_block(x))))


class _Decoder(nn.Module):
    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        widths = config.widths[::-1]
        self.conv_in = nn.Conv2d(config.channels, widths[0], 3, padding=1)
        self.mid_block = _Middle(widths[0], config.groups)
        pairs = list(zip((widths[0], *widths), widths))
        self.up_blocks = nn.ModuleList(
            _Level(a, b, config.blocks + 1, config.groups, False, i < len(pairs) - 1) for i, (a, b) in enumerate(pairs)
        )
        self.conv_norm_out = GroupNorm(config.groups, widths[-1], 1e-6)
        self.conv_out = nn.Conv2d(widths[-1], 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.mid_block(self.conv_in(x))
        for level in self.up_blocks:
            x = level(x)
        return self.conv_out(F.silu(self.conv_norm_out(x)))


class Autoencoder(nn.Module):
    """Pictures to latents of about unit variance and back; a :class:`vivant.diffusion.codec.Codec`.

    Keys: ``encoder.*``, ``decoder.*``, ``quant_conv``, ``post_quant_conv``; 83,653,863 parameters with the defaults.
    """

    def __init__(self, config: AutoencoderConfig = AutoencoderConfig()) -> None:
        super().__init__()
        self.config = config
        self.channels, self.factor = config.channels, config.factor
        self.encoder, self.decoder = _Encoder(config), _Decoder(config)
        self.quant_conv = nn.Conv2d(2 * config.channels, 2 * config.channels, 1)
        self.post_quant_conv = nn.Conv2d(config.channels, config.channels, 1)

    def moments(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images (B, 3, H, W) in 0..1 to the posterior's mean and log variance (B, C, h, w), not scaled."""
        mean, log_variance = self.quant_conv(self.encoder(images * 2 - 1)).chunk(2, dim=1)
        return mean, log_variance.clamp(-30, 20)

    def encode(self, images: Tensor, generator: Generator | None = None, sample: bool = False) -> Tensor:
        """Images (B, 3, H, W) in 0..1 to scaled latents (B, C, h, w): the posterior's mean, or a ``sample`` of it."""
        mean, log_variance = self.moments(images)
        if sample:
            noise = torch.randn(mean.shape, generator=generator, device=mean.device, dtype=mean.dtype)
            mean = mean + (0.5 * log_variance).exp() * noise
        return mean * self.config.scale

    def decode(self, latents: Tensor) -> Tensor:
        """Scaled latents (B, C, h, w) to images (B, 3, H, W) in 0..1 (not clamped)."""
        return self.decoder(self.post_quant_conv(latents / self.config.scale)) / 2 + 0.5


_OLD_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


def our_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Older files in today's names and shapes: the middle attention's layers, and 1x1 convolutions as matrices."""
    found = {}
    for key, value in state.items():
        parts = key.split(".")
        if "attentions" in parts and parts[-2] in _OLD_ATTENTION:
            parts[-2] = _OLD_ATTENTION[parts[-2]]
        if "attentions" in parts and value.ndim == 4:
            value = value[..., 0, 0]
        found[".".join(parts)] = value
    return found


class _TinyBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1), nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1), nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv(x) + x)


class TinyDecoder(nn.Module):
    """A small decoder of Stable Diffusion's latents, for previews (TAESD, Ollin Boer Bohan, MIT); 1.2 M parameters.

    Keys: ``layers.N`` as in the decoder of the published file.
    """

    def __init__(self, channels: int = 4, width: int = 64, blocks: int = 3) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
        for _ in range(3):
            layers += [_TinyBlock(width) for _ in range(blocks)]
            layers += [nn.Upsample(scale_factor=2), nn.Conv2d(width, width, 3, padding=1, bias=False)]
        self.layers = nn.Sequential(*layers, _TinyBlock(width), nn.Conv2d(width, 3, 3, padding=1))

    def decode(self, latents: Tensor) -> Tensor:
        """Scaled latents (B, 4, h, w) to images (B, 3, 8h, 8w) in 0..1 (not clamped)."""
        return self.layers(torch.tanh(latents / 3) * 3)
