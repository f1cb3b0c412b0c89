"""The nets of V-Express and Animate Anyone in published size against the golden values.

The golden files state the rule by which weights and inputs are drawn, so no published weight is needed. Run this file
to print the table of maximal errors (8 GB of memory and some minutes): ``python tests/golden/reference_nets.py``.
"""

from __future__ import annotations

import gc
import json
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vivant.nn.attention import sinusoid
from vivant.nn.guider import Guider
from vivant.nn.perceiver import AudioProjection
from vivant.nn.reference_unet import ReferenceUNet
from vivant.nn.transformer import Strength
from vivant.nn.unet_blocks import UNetConfig
from vivant.nn.video_unet import VideoUNet

DATA = Path(__file__).parent / "data"
GOLDEN: dict[str, Any] = {
    name: json.loads((DATA / f"{name}.golden.json").read_text()) for name in ("v_express", "animate_anyone")
}
NETS: dict[str, Any] = {
    "v_express.denoising_unet": lambda: VideoUNet(UNetConfig(reference="cross")),
    "v_express.denoising_unet_with_motion": lambda: VideoUNet(UNetConfig(reference="cross", motion=True)),
    "v_express.reference_net": lambda: ReferenceUNet(UNetConfig(head=("conv",)), "norm2"),
    "v_express.v_kps_guider": lambda: Guider(320),
    "v_express.audio_projection": AudioProjection,
    "animate_anyone.denoising_unet": lambda: VideoUNet(UNetConfig(reference="concat")),
    "animate_anyone.denoising_unet_with_motion": lambda: VideoUNet(UNetConfig(reference="concat", motion=True)),
    "animate_anyone.reference_unet": lambda: ReferenceUNet(UNetConfig(head=()), "norm1"),
    "animate_anyone.pose_guider": lambda: Guider(320),
}


def randn(tag: str, *shape: int) -> Tensor:
    """Standard normal numbers whose seed is the checksum of ``tag``."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(zlib.crc32(tag.encode())))


def filled(net: nn.Module) -> nn.Module:
    """``net`` (built on the meta device) on the CPU with the weights of the golden rule, in evaluation mode."""
    net = net.to_empty(device="cpu")
    with torch.no_grad():
        for key, value in net.state_dict().items():
            if key.endswith("pos_encoder.pe"):
                value.copy_(sinusoid(*value.shape[1:])[None])
                continue
            noise = randn(key, *value.shape)
            if key == "latents":
                value.copy_(0.1 * noise)
            elif value.ndim >= 2:
                value.copy_(noise / value[0].numel() ** 0.5)
            else:
                value.copy_(1 + 0.1 * noise if key.endswith("weight") else 0.1 * noise)
    return net.eval()


def built(name: str) -> nn.Module:
    """A net of :data:`NETS` with golden weights."""
    with torch.device("meta"):
        net = NETS[name]()
    return filled(net)


def given(family: str, tag: str) -> Tensor:
    """A golden input; videos come as (R, C, F, h, w) there and as (R, F, C, h, w) here."""
    value = randn(tag, *GOLDEN[family]["inputs"][tag])
    return value.transpose(1, 2) if value.ndim == 5 else value


def error(family: str, name: str, found: Tensor) -> float:
    """Maximal difference of the recorded numbers: first eight, last four, mean, spread, extreme."""
    want = GOLDEN[family]["outputs"][name]
    found = found.transpose(1, 2) if found.ndim == 5 else found
    assert list(found.shape) == want["shape"], f"{name}: {list(found.shape)}"
    flat = found.double().flatten()
    parts = [flat[:8] - torch.tensor(want["first8"]), flat[-4:] - torch.tensor(want["last4"])]
    sizes = (flat.mean() - want["mean"], flat.std() - want["std"], flat.abs().max() - want["absmax"])
    return max(*(p.abs().max().item() for p in parts), *(abs(s.item()) for s in sizes))


def errors(family: str) -> Iterator[tuple[str, float, float]]:
    """(name, error, seconds) of all golden outputs of a family; one large net in memory at a time."""
    start = time.perf_counter()
    with torch.inference_mode():
        for name, found in _outputs(family):
            yield name, error(family, name, found), time.perf_counter() - start
            start = time.perf_counter()


def _outputs(family: str) -> Iterator[tuple[str, Tensor]]:
    v_express = family == "v_express"
    guider, drawing = ("v_kps_guider", "kps") if v_express else ("pose_guider", "pose")
    added = built(f"{family}.{guider}")(given(family, drawing))
    yield f"{guider}({drawing})", added
    if v_express:
        context = built("v_express.audio_projection")(given(family, "audio"))
        yield "audio_projection(audio)", context
        token, context = None, context[None]
    else:
        token = context = given(family, "clip_embed")
    reader = built(f"{family}.{'reference_net' if v_express else 'reference_unet'}")
    bank = reader(given(family, "reference_latent"), token)
    del reader
    gc.collect()
    for path, tokens in bank.items():
        name = f"reference bank {path}.transformer_blocks.0"
        if name in GOLDEN[family]["outputs"]:
            yield name, tokens
    net = built(f"{family}.denoising_unet_with_motion")
    assert isinstance(net, VideoUNet)
    contexts = net.project(bank, context)
    noisy, t = given(family, "noisy_latent"), torch.tensor(500)
    plain = " ref_w=1.0 audio_w=1.0" if v_express else ""
    yield f"denoising_unet t=500 cfg=False{plain}", net(noisy, t, contexts, added)
    guided = " ref_w=0.95 audio_w=3.0" if v_express else ""
    strength = Strength(0.95, 3.0) if v_express else Strength()
    # V-Express leaves V-Kps out of the unconditional row, Animate Anyone keeps the pose in both
    both = added if v_express else added.repeat(2, 1, 1, 1, 1)
    found = net(noisy.repeat(2, 1, 1, 1, 1), t, contexts, both, free=1, strength=strength)
    yield f"denoising_unet t=500 cfg=True{guided}", found


def main() -> None:
    """Print the maximal errors as a Markdown table."""
    print("| method | output | maximal error | seconds, with filling |\n|---|---|---|---|")
    for family in GOLDEN:
        for name, worst, seconds in errors(family):
            print(f"| {family} | {name} | {worst:.1e} | {seconds:.1f} |", flush=True)


if __name__ == "__main__":
    main()
