"""What is computed: the nets of a configuration, on one device, knowing no files.

``denoiser``: :class:`vivant.nn.video_dit.VideoDiT`, keyed like diffusers' PixArt with audio attention as ``attn2``.
``reference_net``: :class:`vivant.nn.video_dit.ReferenceDiT`, tokens for the denoiser's last blocks.
``driven_encoder``: driving pictures (R, F, 3, H, W) in 0..1 to channels on the latent grid.
``codec``: pictures to latents and back.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from vivant.diffusion.codec import build_codec
from vivant.methods.megactor_sigma.config import Config
from vivant.nn.driven_encoder import DrivenEncoder
from vivant.nn.video_dit import ReferenceDiT, VideoDiT


def build_modules(config: Config) -> dict[str, nn.Module]:
    """The nets of ``config`` with random weights."""
    return {
        "denoiser": VideoDiT(config.net),
        "reference_net": ReferenceDiT(config.net),
        "driven_encoder": DrivenEncoder(config.driven, config.driven_widths),
        "codec": build_codec(config.codec),
    }


def optimize_for_inference(modules: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    """The modules as they are: nothing in them can be folded, and a copy would double the memory."""
    return dict(modules)
