"""Frames a second of Diffused Heads: the plain loop against what `vivant animate` runs.

    python tools/benchmark_diffused_heads.py --out runs/speed [--device cuda]

On a GPU the net of the paper (216 M parameters, 128 px, random weights, which do not matter here) is run as the
published sampler does, every part of the net in every step, float32, 100 ancestral steps; then part by part with what
makes it faster. On a CPU the preset `lite` is run in the same way. Results are printed and written as JSON.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from vivant.diffusion.samplers import Sampling
from vivant.methods.diffused_heads.config import PRESETS, Config, Options
from vivant.methods.diffused_heads.generate import FrameChain, sampling_of, with_layers_in
from vivant.methods.diffused_heads.unet import UNet


@dataclass(frozen=True)
class Way:
    """One way to draw a frame."""

    name: str
    steps: int
    sampler: str
    dtype: torch.dtype = torch.float32
    plain: bool = False
    compile: bool = False
    capture: bool = False


GPU = (
    Way("plain loop", 100, "ddpm", plain=True),
    Way("parts computed once", 100, "ddpm"),
    Way("and one CUDA graph", 100, "ddpm", capture=True),
    Way("and bf16", 100, "ddpm", torch.bfloat16, capture=True),
    Way("and compiled", 100, "ddpm", torch.bfloat16, compile=True, capture=True),
    Way("20 steps of DPM-Solver++", 20, "dpm-solver", torch.bfloat16, compile=True, capture=True),
    Way("10 steps of DPM-Solver++", 10, "dpm-solver", torch.bfloat16, compile=True, capture=True),
)
CPU = (
    Way("plain loop", 100, "ddim", plain=True),
    Way("parts computed once", 100, "ddim"),
    Way("20 steps of DPM-Solver++", 20, "dpm-solver"),
    Way("8 steps of DPM-Solver++", 8, "dpm-solver"),
    Way("and bf16", 8, "dpm-solver", torch.bfloat16),
)


def plain_frame(unet: UNet, sampling: Sampling, given: tuple[Tensor, ...]) -> Tensor:
    """The whole net in every step, as the published code runs it."""
    motion, identity, audio, noise = given
    x, past = noise[0], None
    for index, time_step in enumerate(sampling.table.timesteps):
        t = torch.full((len(x),), time_step, device=x.device)
        x, past = sampling.step(index, x, unet(x, t, motion, identity, audio).float(), past, noise[-1])
    return x


def drawer(way: Way, unet: UNet, config: Config, device: torch.device) -> Callable[[tuple[Tensor, ...]], Tensor]:
    """A function that draws a frame in this way."""
    sampling = sampling_of(config, Options(steps=way.steps, sampler=way.sampler))  # type: ignore[arg-type]
    if way.plain:
        return lambda given: plain_frame(unet, sampling, given)
    half = way.dtype != torch.float32
    unet = with_layers_in(unet, way.dtype) if half else unet
    chain = FrameChain(
        unet, sampling, device, lambda: torch.autocast(device.type, way.dtype) if half else nullcontext()
    )
    chain.captures = way.capture
    if way.compile:
        chain.compile()
    return lambda given: chain(*given)


def measure(way: Way, unet: UNet, config: Config, device: torch.device, seconds: float) -> dict[str, float | str]:
    """Median seconds a frame after two frames of warm-up, of the clock and of all processors together."""
    side, reach = config.image_size, 2 * config.audio_reach + 1
    made = torch.Generator().manual_seed(0)
    shapes = ((1, config.motion_channels, side, side), (1, 3, side, side), (1, reach, config.audio_width))
    given = tuple(torch.randn(shape, generator=made).to(device) for shape in shapes)
    noise = torch.randn((way.steps + 1, 1, 3, side, side), generator=made).to(device)
    draw, times, work = drawer(way, unet, config, device), [], []
    started = time.perf_counter()
    with torch.inference_mode():
        while len(times) < 5 or time.perf_counter() - started < seconds:
            begin, worked = time.perf_counter(), time.process_time()
            draw((*given, noise))
            if device.type == "cuda":
                torch.cuda.synchronize()
            times.append(time.perf_counter() - begin)
            work.append(time.process_time() - worked)
            if len(times) > 4 and time.perf_counter() - started > 20 * seconds:
                break
    median, worked = (float(torch.tensor(values[2:]).median()) for values in (times, work))
    memory = torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else 0.0
    return {"way": way.name, "seconds a frame": median, "CPU seconds a frame": worked,
            "frames a second": 1 / median, "GiB": memory}  # fmt: skip


def main() -> None:
    """Parse arguments, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--preset", help="default: paper on a GPU, lite on a CPU")
    parser.add_argument("--seconds", type=float, default=8.0, help="of measuring each way (default: 8)")
    args = parser.parse_args()
    device = torch.device(args.device)
    preset = args.preset or ("paper" if device.type == "cuda" else "lite")
    config = PRESETS[preset]
    torch.manual_seed(0)
    unet = UNet(config).to(device).eval()
    rows = []
    for way in GPU if device.type == "cuda" else CPU:
        rows.append(measure(way, unet, config, device, args.seconds))
        rows[-1]["times faster"] = rows[0]["seconds a frame"] / rows[-1]["seconds a frame"]  # type: ignore[operator]
        print("  ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{v}:" for k, v in rows[-1].items()), flush=True)
    hardware = (
        torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    )
    args.out.mkdir(parents=True, exist_ok=True)
    report = {"preset": preset, "hardware": hardware, "torch": torch.__version__, "rows": rows}
    (args.out / "diffused_heads_speed.json").write_text(json.dumps(report, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
