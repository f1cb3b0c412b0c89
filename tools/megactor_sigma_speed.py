"""How long a denoising step of MegActor-Sigma takes: `tools/measure_megactor_sigma.py speed` runs it."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from vivant.methods.megactor_sigma.config import PRESETS
from vivant.nn.video_dit import ReferenceDiT, VideoDiT


def speed(tiny: bool) -> dict[str, Any]:
    """Seconds and memory of one denoising step of 16 frames at 512 px, beside diffusers' PixArt of the same size;
    ``tiny`` rehearses it on the CPU."""
    config = PRESETS["tiny" if tiny else "paper"]
    device, kind = (torch.device("cpu"), torch.float32) if tiny else (torch.device("cuda"), torch.float16)
    net, frames, side = config.net, 4 if tiny else 16, config.net.side
    found: dict[str, Any] = {"frames": frames, "size": 8 * side, "type": str(kind)}

    def randn(*shape: int) -> torch.Tensor:
        return torch.randn(shape, device=device, dtype=kind)

    x, added = randn(1, frames, net.channels, side, side), randn(1, frames, net.extra, side, side)
    masks = torch.zeros(1, frames, 2, side, side, device=device, dtype=kind)
    masks[:, :, 0, side // 2 :], masks[:, :, 1, : side // 2] = 1, 1
    tokens, when = randn(1, frames, config.audio.tokens, net.context), torch.tensor(500, device=device)

    def step(name: str, temporal: str, bank: Any, more: torch.Tensor) -> None:
        with device:
            whole = VideoDiT(replace(net, temporal=temporal)).to(kind).eval()  # type: ignore[arg-type]
        seen = whole.project(bank, tokens)
        found[name] = timed(lambda: whole(x, when, seen, more), tiny)

    with torch.inference_mode():
        with device:
            bank = ReferenceDiT(net).to(kind).eval()(randn(1, net.channels, side, side))
        step("ours without temporal modules and reference", "none", None, added)
        step("ours with the reference, without temporal modules", "none", bank, added)
        step("ours, temporal plain", "plain", bank, added)
        step("ours, temporal grid", "grid", bank, added)
        step("ours, temporal grid, with attention masks", "grid", bank, torch.cat([added, masks], 2))
        gc.collect()
        found[f"diffusers' PixArt, {frames} pictures, 120 text tokens"] = pixart(net, x[0], when, tiny)
    return found


def pixart(net: Any, x: torch.Tensor, when: torch.Tensor, tiny: bool) -> dict[str, float] | str:
    """The same step of diffusers' net on as many pictures."""
    try:
        from diffusers import PixArtTransformer2DModel
    except ImportError as error:
        return f"not measured: diffusers is not installed ({error})"
    with x.device:
        theirs = PixArtTransformer2DModel(
            num_attention_heads=net.heads, attention_head_dim=net.width // net.heads, in_channels=4, out_channels=8,
            num_layers=net.depth, cross_attention_dim=net.width, sample_size=net.side, caption_channels=4096,
        )  # fmt: skip
    theirs = theirs.to(x.dtype).eval()
    words = torch.randn(len(x), 120, 4096, device=x.device, dtype=x.dtype)
    times = when.expand(len(x))
    return timed(lambda: theirs(x, encoder_hidden_states=words, timestep=times, added_cond_kwargs={}), tiny)


def timed(work: Callable[[], Any], tiny: bool) -> dict[str, float]:
    """Median milliseconds of a call, after two that do not count, and peak memory."""
    cuda = torch.cuda.is_available() and not tiny
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    seconds = []
    for _ in range(2 + (1 if tiny else 10)):
        start = time.perf_counter()
        work()
        if cuda:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    peak = torch.cuda.max_memory_allocated() / 2**30 if cuda else 0.0
    return {"ms": round(1000 * float(np.median(seconds[2:])), 2), "peak GiB": round(peak, 2)}
