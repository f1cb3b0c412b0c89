"""The encoder of Whisper (arXiv 2212.04356) with the keys of transformers' ``WhisperEncoder``.

Axis letters: B batch, M mel bands, S steps of 10 ms, N = S / 2 tokens of 20 ms, C channels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class WhisperEncoder(nn.Module):
    """Two convolutions, positions, and blocks of self-attention.

    ``width``: C; ``layers``, ``heads``: of the blocks; ``positions``: most tokens, 1500 for 30 s.
    """

    def __init__(self, width: int, layers: int, heads: int, bands: int = 80, positions: int = 1500) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(bands, width, 3, padding=1)
        self.conv2 = nn.Conv1d(width, width, 3, stride=2, padding=1)
        self.embed_positions = nn.Embedding(positions, width)
        self.layers = nn.ModuleList(_Block(width, heads) for _ in range(layers))
        self.layer_norm = nn.LayerNorm(width)

    def forward(self, mel: Tensor) -> list[Tensor]:
        """(B, M, S) mel, S even -> the states (B, N, C): input of the first block, then the output of every block.

        The last layer norm is left to who wants it (``layer_norm``).
        """
        x = F.gelu(self.conv2(F.gelu(self.conv1(mel)))).transpose(1, 2)
        states = [x + self.embed_positions.weight[: x.shape[1]]]
        for block in self.layers:
            states.append(block(states[-1]))
        return states


class _Block(nn.Module):
    """Self-attention and a feed-forward net, each behind a layer norm and added to its input."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.self_attn = _Attention(width, heads)
        self.self_attn_layer_norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)
        self.final_layer_norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.self_attn(self.self_attn_layer_norm(x))
        return x + self.fc2(F.gelu(self.fc1(self.final_layer_norm(x))))


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width, bias=False)
        self.v_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            p(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for p in (self.q_proj, self.k_proj, self.v_proj)
        )
        return self.out_proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


def whisper_sizes(state: dict[str, Tensor]) -> tuple[int, int, int]:
    """(width, layers, heads) of an encoder's state; heads are 64 wide in every published size."""
    width = state["conv1.weight"].shape[0]
    layers = 1 + max(int(key.split(".")[1]) for key in state if key.startswith("layers."))
    return width, layers, max(1, width // 64)


def stacked(states: list[Tensor]) -> Tensor:
    """States (B, N, C) one after another along the channels, (B, N, len(states) * C)."""
    return torch.cat(states, dim=-1)
