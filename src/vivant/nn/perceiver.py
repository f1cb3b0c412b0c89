"""Audio projection: a perceiver that turns a window of speech features into a few tokens (V-Express, section 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PerceiverAttention(nn.Module):
    """Latents look at the input and at themselves; softmax in float32."""

    def __init__(self, width: int, heads: int, head_width: int) -> None:
        super().__init__()
        self.heads, self.scale = heads, head_width**-0.25  # on queries and on keys, so that half precision holds
        inner = heads * head_width
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.to_q = nn.Linear(width, inner, bias=False)
        self.to_kv = nn.Linear(width, 2 * inner, bias=False)
        self.to_out = nn.Linear(inner, width, bias=False)

    def forward(self, x: Tensor, latents: Tensor) -> Tensor:
        """x (R, S, width) and latents (R, T, width) to (R, T, width)."""
        latents = self.norm2(latents)
        key, value = self.to_kv(torch.cat([self.norm1(x), latents], 1)).chunk(2, dim=-1)
        query, key, value = (
            t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in (self.to_q(latents), key, value)
        )
        weight = (query * self.scale) @ (key * self.scale).transpose(-2, -1)
        found = weight.float().softmax(-1).to(weight.dtype) @ value
        result: Tensor = self.to_out(found.transpose(1, 2).flatten(2))
        return result


class AudioProjection(nn.Module):
    """Windows of speech features to audio tokens.

    Args:
        inputs: D, numbers of a feature vector.
        steps: S, feature vectors in a window.
        width: channels inside.
        outputs: channels of the tokens, the U-Net's context width.
        tokens: T, tokens a frame.
        layers, heads, head_width: of the attention.
    """

    def __init__(
        self,
        inputs: int = 768,
        steps: int = 10,
        width: int = 768,
        outputs: int = 768,
        tokens: int = 5,
        layers: int = 4,
        heads: int = 12,
        head_width: int = 64,
    ) -> None:
        super().__init__()
        self.pos_emb = nn.Embedding(steps, inputs)
        self.latents = nn.Parameter(torch.randn(1, tokens, width) / width**0.5)
        self.proj_in = nn.Linear(inputs, width)
        self.proj_out = nn.Linear(width, outputs)
        self.norm_out = nn.LayerNorm(outputs)
        self.layers = nn.ModuleList(
            nn.ModuleList([PerceiverAttention(width, heads, head_width), _feed_forward(width)]) for _ in range(layers)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Features (R, S, D) to tokens (R, T, outputs)."""
        x = self.proj_in(features + self.pos_emb.weight)
        latents = self.latents.expand(len(x), -1, -1)
        for layer in self.layers:
            assert isinstance(layer, nn.ModuleList)
            latents = latents + layer[0](x, latents)
            latents = latents + layer[1](latents)
        tokens: Tensor = self.norm_out(self.proj_out(latents))
        return tokens


def _feed_forward(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.LayerNorm(width), nn.Linear(width, 4 * width, bias=False), nn.GELU(), nn.Linear(4 * width, width, bias=False)
    )
