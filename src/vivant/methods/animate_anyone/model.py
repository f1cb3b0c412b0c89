"""What is computed: the nets of a configuration, keyed like the published files, on one device, knowing no files.

``denoising_unet``: :class:`vivant.nn.video_unet.VideoUNet`, whose self-attention also sees the reference's tokens.
``reference_unet``: :class:`vivant.nn.reference_unet.ReferenceUNet`, tapped before its self-attention.
``pose_guider`` (or ``pose_guider1``, ``pose_guider2``): drawings to features on the latent grid, added.
``image_encoder``: the reference picture (R, 3, H, W) in 0..1 to (R, D); frozen. ``image_projection``: D numbers to the
context token, only where the encoder is not CLIP. ``codec``: pictures to latents and back.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from vivant.diffusion.codec import build_codec
from vivant.methods.animate_anyone.config import Config
from vivant.nn.guider import Guider
from vivant.nn.picture_encoder import Lite0Encoder, picture_encoder
from vivant.nn.reference_unet import ReferenceUNet
from vivant.nn.video_unet import VideoUNet


class ImageProjection(nn.Module):
    """The encoder's numbers to one context token."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.norm_in, self.linear, self.norm = nn.LayerNorm(inputs), nn.Linear(inputs, width), nn.LayerNorm(width)

    def forward(self, numbers: Tensor) -> Tensor:
        """(R, D) to (R, 1, width)."""
        found: Tensor = self.norm(self.linear(self.norm_in(numbers)))
        return found[:, None]


def guider_names(config: Config) -> tuple[str, ...]:
    """Names of the pose guiders."""
    return ("pose_guider",) if config.guiders == 1 else tuple(f"pose_guider{i + 1}" for i in range(config.guiders))


def build_modules(config: Config) -> dict[str, nn.Module]:
    """The nets of ``config`` with random weights.

    Raises:
        MissingExtraError: CLIP is wanted and the package transformers is not installed.
    """
    modules: dict[str, nn.Module] = {
        "denoising_unet": VideoUNet(config.denoiser),
        "reference_unet": ReferenceUNet(config.reader, "norm1"),
        **{name: Guider(config.unet.widths[0], config.guider) for name in guider_names(config)},
    }
    encoder = modules["image_encoder"] = picture_encoder(config.image, config.image_blocks)
    if isinstance(encoder, Lite0Encoder):
        modules["image_projection"] = ImageProjection(encoder.width, config.unet.context)
    return {**modules, "codec": build_codec(config.codec)}


def image_token(modules: Mapping[str, nn.Module], image: Tensor) -> Tensor:
    """The context token (R, 1, D) of pictures (R, 3, H, W) in 0..1."""
    encoder = modules["image_encoder"]
    numbers = encoder(image.to(next(encoder.parameters()).dtype))
    return token_of(modules, numbers)


def token_of(modules: Mapping[str, nn.Module], numbers: Tensor) -> Tensor:
    """The context token of the encoder's numbers (R, D)."""
    if "image_projection" not in modules:
        return numbers[:, None]
    projection = modules["image_projection"]
    found: Tensor = projection(numbers.to(next(projection.parameters()).dtype))
    return found


def optimize_for_inference(modules: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    """The modules as they are: nothing that runs in every step can be folded, and a copy would double the memory."""
    return dict(modules)
