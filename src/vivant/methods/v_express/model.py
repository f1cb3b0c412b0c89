"""What is computed: the nets of a configuration, keyed like the published files, on one device, knowing no files.

``denoising_unet``: :class:`vivant.nn.video_unet.VideoUNet` with self, reference, audio and motion attention.
``reference_net``: :class:`vivant.nn.reference_unet.ReferenceUNet`, tapped before its context attention.
``v_kps_guider``: drawings (R, F, 3, H, W) in 0..1 to features on the latent grid.
``audio_projection``: windows of speech features (R, S, D) to audio tokens (R, T, context).
``codec``: pictures to latents and back. ``attribute_tokens``: only with labelled attributes.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from vivant.diffusion.codec import build_codec
from vivant.methods.v_express.config import Config
from vivant.nn.guider import Guider
from vivant.nn.perceiver import AudioProjection
from vivant.nn.reference_unet import ReferenceUNet
from vivant.nn.video_unet import VideoUNet


class AttributeTokens(nn.Module):
    """One token for each labelled attribute: its value times a learned vector."""

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(count, width))

    def forward(self, values: Tensor) -> Tensor:
        """Values (R, A), 0 for absent, to tokens (R, A, width)."""
        return values[..., None] * self.weight


def build_modules(config: Config) -> dict[str, nn.Module]:
    """The nets of ``config`` with random weights."""
    audio = config.audio
    modules: dict[str, nn.Module] = {
        "denoising_unet": VideoUNet(config.denoiser),
        "reference_net": ReferenceUNet(config.reader, "norm2"),
        "v_kps_guider": Guider(config.unet.widths[0], config.guider),
        "audio_projection": AudioProjection(
            audio.inputs, audio.window, audio.width, config.unet.context, audio.tokens, audio.layers, audio.heads,
            audio.head_width,
        ),
        "codec": build_codec(config.codec),
    }  # fmt: skip
    if config.attributes:
        modules["attribute_tokens"] = AttributeTokens(len(config.attributes), config.unet.context)
    return modules


def optimize_for_inference(modules: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    """The modules as they are: nothing in them can be folded, and a copy would double the memory."""
    return dict(modules)
