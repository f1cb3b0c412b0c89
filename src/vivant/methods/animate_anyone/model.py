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
from torch.nn import functional as F

from vivant.core.errors import MissingExtraError
from vivant.diffusion.autoencoder import Autoencoder, AutoencoderConfig
from vivant.methods.animate_anyone.config import Config
from vivant.nn.efficientnet import EfficientNetLite0
from vivant.nn.guider import Guider
from vivant.nn.reference_unet import ReferenceUNet
from vivant.nn.video_unet import VideoUNet

_CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
_CLIP_DEVIATION = (0.26862954, 0.26130258, 0.27577711)


class ClipEncoder(nn.Module):
    """CLIP's picture encoder ViT-L/14 with its projection (Radford et al. 2021), by the package transformers."""

    def __init__(self) -> None:
        super().__init__()
        try:
            from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection
        except ImportError:
            raise MissingExtraError("transformers", "clip", "Animate Anyone's picture encoder") from None
        sizes = CLIPVisionConfig(
            hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16, patch_size=14,
            projection_dim=768, hidden_act="quick_gelu",
        )  # fmt: skip
        self.net = CLIPVisionModelWithProjection(sizes)

    def forward(self, image: Tensor) -> Tensor:
        """(R, 3, H, W) in 0..1 to (R, 768); the whole picture is squeezed to a square, as the released code does."""
        image = F.interpolate(image, size=(224, 224), mode="bicubic", antialias=True).clamp(0, 1)
        mean, deviation = (image.new_tensor(t)[:, None, None] for t in (_CLIP_MEAN, _CLIP_DEVIATION))
        found: Tensor = self.net((image - mean) / deviation).image_embeds
        return found


class Lite0Encoder(nn.Module):
    """Mean features of EfficientNet-Lite0: what the bundled presets have in CLIP's place."""

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.trunk = EfficientNetLite0(blocks)

    @property
    def width(self) -> int:
        """D."""
        return self.trunk.channels

    def forward(self, image: Tensor) -> Tensor:
        """(R, 3, H, W) in 0..1 to (R, D)."""
        image = F.interpolate(image, size=(224, 224), mode="bilinear", antialias=True)
        found: Tensor = self.trunk(image).mean((2, 3))
        return found


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


def build_codec(config: Config) -> nn.Module:
    """The latent codec with random weights."""
    if config.codec == "sd":
        return Autoencoder(AutoencoderConfig())
    from vivant.diffusion.lite_codec.config import PRESETS
    from vivant.diffusion.lite_codec.model import LiteCodec

    return LiteCodec(PRESETS[config.codec])


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
    if config.image == "clip":
        modules["image_encoder"] = ClipEncoder()
    else:
        encoder = Lite0Encoder(config.image_blocks)
        modules["image_encoder"] = encoder
        modules["image_projection"] = ImageProjection(encoder.width, config.unet.context)
    return {**modules, "codec": build_codec(config)}


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
