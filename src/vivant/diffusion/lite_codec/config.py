"""What can be changed: the sizes of the codec."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CodecConfig:
    """``channels`` of a latent; ``encoder``, ``decoder``: widths of the levels at half, quarter and eighth resolution
    and how many residual blocks each has. ``learns_on``: side of the squares that training cuts, in pixels."""

    channels: int = 8
    encoder: tuple[int, int, int] = (32, 64, 128)
    encoder_blocks: tuple[int, int, int] = (1, 1, 2)
    decoder: tuple[int, int, int] = (32, 80, 160)
    decoder_blocks: tuple[int, int, int] = (1, 2, 3)
    learns_on: int = 160


PRESETS: dict[str, CodecConfig] = {
    "lite": CodecConfig(),
    "tiny": CodecConfig(4, (8, 8, 16), (1, 1, 1), (8, 8, 16), (1, 1, 1), 64),
}
