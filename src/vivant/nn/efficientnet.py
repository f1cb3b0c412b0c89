"""EfficientNet-Lite0 feature trunk (Tan & Le 2019, arXiv 1905.11946; the Lite variant: ReLU6, no squeeze-excite).

Used as the trunk of small motion extractors and, frozen, as the feature net of perceptual losses.
Shapes: image (B, 3, H, W) RGB 0..1 -> features at strides 2, 4, 8, 16, 32.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

# (repeats, kernel, stride, expansion, channels in, channels out) of the seven groups
GROUPS = (
    (1, 3, 1, 1, 32, 16),
    (2, 3, 2, 6, 16, 24),
    (2, 5, 2, 6, 24, 40),
    (3, 3, 2, 6, 40, 80),
    (3, 5, 1, 6, 80, 112),
    (4, 5, 2, 6, 112, 192),
    (1, 3, 1, 6, 192, 320),
)
PERCEPTUAL_TAPS = (-1, 2, 4, 10)
"""Block indices whose outputs (strides 2, 4, 8, 16) serve as perceptual features; -1 is the stem."""


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class InvertedResidual(nn.Module):
    """Expand 1x1, depthwise kxk, project 1x1, with a residual when the shape is kept."""

    folds = (("expand", "expand_norm"), ("depthwise", "depthwise_norm"), ("project", "project_norm"))

    def __init__(self, kernel: int, stride: int, expansion: int, c_in: int, c_out: int) -> None:
        super().__init__()
        middle = c_in * expansion
        self.expand = nn.Conv2d(c_in, middle, 1, bias=False) if expansion != 1 else None
        self.expand_norm = _norm(middle) if expansion != 1 else None
        self.depthwise = nn.Conv2d(middle, middle, kernel, stride, kernel // 2, groups=middle, bias=False)
        self.depthwise_norm = _norm(middle)
        self.project = nn.Conv2d(middle, c_out, 1, bias=False)
        self.project_norm = _norm(c_out)
        self.keeps_shape = stride == 1 and c_in == c_out

    def forward(self, x: Tensor) -> Tensor:
        """(B, c_in, H, W) -> (B, c_out, H/stride, W/stride)."""
        h = x
        if self.expand is not None and self.expand_norm is not None:
            h = F.relu6(self.expand_norm(self.expand(h)))
        h = F.relu6(self.depthwise_norm(self.depthwise(h)))
        h = self.project_norm(self.project(h))
        return x + h if self.keeps_shape else h


class EfficientNetLite0(nn.Module):
    """The trunk up to ``blocks`` of its 16 blocks (16 gives 320 channels at stride 32)."""

    folds = (("stem", "stem_norm"),)

    def __init__(self, blocks: int = 16) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, 2, 1, bias=False)
        self.stem_norm = _norm(32)
        layers: list[nn.Module] = []
        self.channels, self.stride = 32, 2
        for repeats, kernel, stride, expansion, c_in, c_out in GROUPS:
            for i in range(repeats):
                if len(layers) == blocks:
                    break
                first = i == 0
                layers.append(
                    InvertedResidual(kernel, stride if first else 1, expansion, c_in if first else c_out, c_out)
                )
                self.channels = c_out
                self.stride *= stride if first else 1
        self.blocks = nn.ModuleList(layers)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) in 0..1 -> (B, channels, H/stride, W/stride)."""
        return self.features(image, ())[0]

    def features(self, image: Tensor, taps: Sequence[int]) -> tuple[Tensor, list[Tensor]]:
        """Last feature map and the outputs of the blocks in ``taps`` (-1 is the stem)."""
        x = (image - 127 / 255) * (255 / 128)  # the normalisation these weights were trained with
        x = F.relu6(self.stem_norm(self.stem(x)))
        kept = [x] if -1 in taps else []
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i in taps:
                kept.append(x)
        return x, kept


_NAMES = {
    "_conv_stem": "stem",
    "_expand_conv": "expand",
    "_bn0": "expand_norm",
    "_depthwise_conv": "depthwise",
    "_bn1": "depthwise_norm",
    "_project_conv": "project",
    "_bn2": "project_norm",
}


def rename_published(state: dict[str, Tensor], blocks: int) -> dict[str, Tensor]:
    """Names of the published checkpoint -> ours, keeping the first ``blocks`` blocks; classifier keys are dropped."""
    renamed: dict[str, Tensor] = {}
    for key, value in state.items():
        parts = key.split(".")
        if parts[0] == "_blocks" and int(parts[1]) < blocks:
            renamed[".".join(["blocks", parts[1], _NAMES[parts[2]], *parts[3:]])] = value.float()
        elif parts[0] == "_conv_stem":
            renamed[".".join(["stem", *parts[1:]])] = value.float()
        elif parts[0] == "_bn0":
            renamed[".".join(["stem_norm", *parts[1:]])] = value.float()
    return {k: (v.long() if k.endswith("num_batches_tracked") else v) for k, v in renamed.items()}


def perceptual_features(net: EfficientNetLite0, image: Tensor) -> list[Tensor]:
    """Feature maps at strides 2, 4, 8 and 16; (B, 3, H, W) in 0..1."""
    return net.features(image, PERCEPTUAL_TAPS)[1]


def freeze(net: nn.Module) -> nn.Module:
    """Evaluation mode without gradients to the weights (gradients to the input still flow)."""
    return net.eval().requires_grad_(False)


__all__ = ["EfficientNetLite0", "freeze", "perceptual_features", "rename_published"]
