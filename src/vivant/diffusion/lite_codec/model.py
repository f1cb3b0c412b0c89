"""What is computed: pictures to latents of an eighth of their size and back, without norms, in few wide layers.

Convolutions at full resolution are what makes decoders slow, so there is none: the last layer works at half resolution
and its channels are unfolded into pixels (Shi et al. 2016, arXiv:1609.05158), likewise at the input.

Axis letters: B batch, C latent channels, H W pixels, h w latents, H = 8 h.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from vivant.diffusion.lite_codec.config import CodecConfig

FACTOR = 8
_LOG_VARIANCE = (-12.0, 4.0)


class _Block(nn.Module):
    """x + conv(ReLU(conv(x))), then ReLU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.conv2(F.relu(self.conv1(x))))


def _blocks(width: int, count: int) -> list[nn.Module]:
    return [_Block(width) for _ in range(count)]


class Encoder(nn.Module):
    """Pictures (B, 3, H, W) in -1..1 to the posterior's mean and log variance (B, 2C, h, w)."""

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        (a, b, c), (na, nb, nc) = config.encoder, config.encoder_blocks
        self.layers = nn.Sequential(
            nn.PixelUnshuffle(2), nn.Conv2d(12, a, 3, padding=1), nn.ReLU(), *_blocks(a, na),
            nn.Conv2d(a, b, 4, 2, padding=1), nn.ReLU(), *_blocks(b, nb),
            nn.Conv2d(b, c, 4, 2, padding=1), nn.ReLU(), *_blocks(c, nc),
            nn.Conv2d(c, 2 * config.channels, 3, padding=1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, 2C, H / 8, W / 8)."""
        return self.layers(x)


class Decoder(nn.Module):
    """Latents (B, C, h, w) to pictures (B, 3, H, W) in -1..1."""

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        (a, b, c), (na, nb, nc) = config.decoder, config.decoder_blocks
        self.layers = nn.Sequential(
            nn.Conv2d(config.channels, c, 3, padding=1), nn.ReLU(), *_blocks(c, nc),
            nn.Conv2d(c, 4 * b, 1), nn.PixelShuffle(2), nn.ReLU(), *_blocks(b, nb),
            nn.Conv2d(b, 4 * a, 1), nn.PixelShuffle(2), nn.ReLU(), *_blocks(a, na),
            nn.Conv2d(a, 12, 3, padding=1), nn.PixelShuffle(2),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) to (B, 3, 8h, 8w)."""
        return self.layers(x)


class LiteCodec(nn.Module):
    """A :class:`vivant.diffusion.codec.Codec`. ``mean`` and ``spread`` (C,): of the latents of the training pictures,
    by which latents are brought to mean 0 and deviation 1."""

    mean: Tensor
    spread: Tensor

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        self.channels, self.factor = config.channels, FACTOR
        self.encoder, self.decoder = Encoder(config), Decoder(config)
        self.register_buffer("mean", torch.zeros(config.channels))
        self.register_buffer("spread", torch.ones(config.channels))

    def moments(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images (B, 3, H, W) in 0..1 to the posterior's mean and log variance (B, C, h, w), not normalised."""
        mean, log_variance = self.encoder(images * 2 - 1).chunk(2, dim=1)
        return mean, log_variance.clamp(*_LOG_VARIANCE)

    def encode(self, images: Tensor, generator: Generator | None = None, sample: bool = False) -> Tensor:
        """Images (B, 3, H, W) in 0..1 to latents (B, C, h, w) of mean 0 and deviation 1."""
        mean, log_variance = self.moments(images)
        if sample:
            noise = torch.randn(mean.shape, generator=generator, device=mean.device, dtype=mean.dtype)
            mean = mean + (0.5 * log_variance).exp() * noise
        return (mean - self.mean[:, None, None]) / self.spread[:, None, None]

    def decode(self, latents: Tensor) -> Tensor:
        """Latents (B, C, h, w) to images (B, 3, H, W) in 0..1 (not clamped)."""
        return self.decoder(latents * self.spread[:, None, None] + self.mean[:, None, None]) / 2 + 0.5


def build_modules(config: CodecConfig) -> dict[str, nn.Module]:
    """The codec with random weights, under the name ``codec``."""
    return {"codec": LiteCodec(config)}
