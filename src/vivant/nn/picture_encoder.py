"""Frozen nets that describe a whole picture by a few numbers.

Axis letters: R pictures, H W pixels, D numbers.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from vivant.core.errors import MissingExtraError
from vivant.nn.efficientnet import EfficientNetLite0

_CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
_CLIP_DEVIATION = (0.26862954, 0.26130258, 0.27577711)


def _squeezed(image: Tensor, mode: str) -> Tensor:
    """The whole picture as 224 x 224, computed in float32: CPUs have no antialiasing in bfloat16."""
    return F.interpolate(image.float(), size=(224, 224), mode=mode, antialias=True).to(image.dtype)


class ClipEncoder(nn.Module):
    """CLIP's picture encoder ViT-L/14 with its projection (Radford et al. 2021), by the package transformers."""

    width = 768
    """D."""

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
        image = _squeezed(image, "bicubic").clamp(0, 1)
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
        image = _squeezed(image, "bilinear")
        found: Tensor = self.trunk(image).mean((2, 3))
        return found


def picture_encoder(name: str, blocks: int = 16) -> nn.Module:
    """The encoder "clip", or "lite0" with so many blocks, with random weights.

    Raises:
        MissingExtraError: CLIP is wanted and the package transformers is not installed.
    """
    return ClipEncoder() if name == "clip" else Lite0Encoder(blocks)
