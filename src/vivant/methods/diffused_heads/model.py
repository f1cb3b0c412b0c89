"""What is computed: the nets of a configuration, on one device, knowing no files.

``unet``: noisy frame (B, 3, S, S), timestep (B,), motion frames (B, M, S, S), identity frame (B, 3, S, S) and audio
embeddings (B, 2R + 1, W) to noise, or velocity, (B, 3, S, S), with a learned variance (B, 6, S, S).
``audio_encoder``: features of a frame (..., T, D) to an embedding (..., W), or a window of samples and a memory to an
embedding and a memory.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import nn

from vivant.methods.diffused_heads.audio import build_encoder
from vivant.methods.diffused_heads.config import Config
from vivant.methods.diffused_heads.unet import UNet


def build_modules(config: Config) -> dict[str, nn.Module]:
    """The nets of ``config`` with random weights; the U-Net is keyed like the published checkpoint."""
    return {"unet": UNet(config), "audio_encoder": build_encoder(config)}


def optimize_for_inference(modules: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    """Copies of ``modules`` that compute the same (up to rounding) and cannot be trained; the U-Net's maps lie channels
    last, in which 2D convolutions are faster."""
    fast = {name: copy.deepcopy(module).eval().requires_grad_(False) for name, module in modules.items()}
    fast["unet"] = fast["unet"].to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return fast
