"""The light convolutional net that brings driving pictures onto the latent grid (MegActor, arXiv:2405.20851)."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

DRIVEN_WIDTHS = (3, 16, 32, 64, 128)


class DrivenEncoder(nn.Module):
    """Stages of two convolutions with SiLU, all but the last of stride 2, then a 1x1 convolution.

    Args:
        outputs: channels that are concatenated to the noisy latent.
        widths: channels on the way, beginning with those of a picture; the pictures get 2 ** (len(widths) - 2) times
            smaller.
    """

    def __init__(self, outputs: int = 4, widths: tuple[int, ...] = DRIVEN_WIDTHS) -> None:
        super().__init__()
        last = len(widths) - 2
        self.spatial_conv_layers = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(before, before, 3, padding=1),
                nn.SiLU(),
                nn.Conv2d(before, after, 3, padding=1) if number == last else nn.Conv2d(before, after, 4, 2, 1),
                nn.SiLU(),
            )
            for number, (before, after) in enumerate(pairwise(widths))
        )
        self.spatial_conv_out = nn.Conv2d(widths[-1], outputs, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_in")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, pictures: Tensor) -> Tensor:
        """Pictures (R, F, 3, H, W) in 0..1 to (R, F, outputs, h, w)."""
        x = pictures.flatten(0, 1) * 2 - 1
        for layer in self.spatial_conv_layers:
            x = layer(x)
        return self.spatial_conv_out(x).unflatten(0, pictures.shape[:2])
