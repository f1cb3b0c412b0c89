"""Plain multi-layer perceptrons."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn


class ZeroInitMLP(nn.Module):
    """Linear layers with ReLU between them and none after the last.

    The last layer starts at zero, so an untrained net answers zero and still learns (an all-zero net would
    not: its hidden values, and with them every weight's gradient, would stay zero).
    """

    def __init__(self, inputs: int, hidden: Sequence[int], outputs: int) -> None:
        super().__init__()
        widths = [inputs, *hidden, outputs]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.ReLU()]
        self.mlp = nn.Sequential(*layers[:-1])
        for parameter in self.mlp[-1].parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs) to (B, outputs)."""
        return self.mlp(x)
