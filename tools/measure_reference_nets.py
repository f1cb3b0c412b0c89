"""Speed and memory of V-Express and Animate Anyone in published size; weights are random, they do not matter here.

    python tools/measure_reference_nets.py speed --out measured          # one step, and a 10 s clip
    python tools/measure_reference_nets.py memory --out measured         # peak memory of 10 s and of 5 min
    python tools/measure_reference_nets.py train --out measured          # one step of every stage of `paper`
    torchrun --nproc-per-node 2 tools/measure_reference_nets.py train --out measured
    python tools/measure_reference_nets.py speed --tiny                  # rehearsal on a CPU in seconds

The plain form does in every step what the released code does: keys and values of the reference again for each frame and
step, context attention with queries and softmax, all rows of guidance, one window after the other, and pictures decoded
one by one. It is written with the same layers, so both give the same numbers, which is checked first.
"""

from __future__ import annotations

import argparse
import gc
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vivant.core.controls import Controls
from vivant.core.face import FaceCrop
from vivant.core.registry import get_method
from vivant.core.speech import Speech
from vivant.diffusion.codec import decode_stream
from vivant.diffusion.samplers import Moment
from vivant.diffusion.windows import denoise_stream
from vivant.nn.attention import KeyValue
from vivant.nn.transformer import BlockContext

METHODS = ("v-express", "animate-anyone")
SEEDS = {"source": 0, "controls": 1}


class Bench:
    """One method with random weights on the device."""

    def __init__(self, name: str, args: argparse.Namespace) -> None:
        self.name, self.spec = name, get_method(name)
        self.config = self.spec.part("config").PRESETS["tiny" if args.tiny else "paper"]
        self.device = torch.device("cpu" if args.tiny else "cuda")
        self.dtype = torch.float32 if args.tiny else torch.float16
        torch.manual_seed(0)
        with _fresh_clip(), self.device:
            modules = self.spec.part("model").build_modules(self.config)
        for module in modules.values():
            for parameter in module.parameters():
                if parameter.ndim > 1 and not parameter.any():
                    nn.init.normal_(parameter, std=0.02)
        self.generator = self.spec.part("generate").Generator(modules, self.config, self.device, self.dtype)

    def ordered(self, kind: torch.memory_format) -> None:
        """The nets' weights in one order of memory: the released code has the contiguous one, ours channels last."""
        for name, module in self.generator.modules.items():
            if self.device.type == "cuda" and name not in ("audio_projection", "image_encoder"):
                module.to(memory_format=kind)  # type: ignore[call-overload]

    def source(self) -> FaceCrop:
        """Noise with landmarks of a face."""
        landmarks = np.zeros((478, 3), np.float32)
        landmarks[[33, 133]], landmarks[[362, 263]], landmarks[1] = (
            [[80, 100, 0]] * 2,
            [[160, 100, 0]] * 2,
            [120, 150, 0],
        )
        image = np.random.default_rng(0).integers(0, 255, (256, 256, 3), dtype=np.uint8)
        return FaceCrop(image, landmarks, np.eye(2, 3), (256, 256))

    def controls(self, count: int) -> Controls:
        """Made-up controls of ``count`` frames."""
        rng, fps = np.random.default_rng(1), Fraction(25)
        pose = rng.uniform(-0.8, 0.8, (count, 60, 3)).astype(np.float32)
        pose[..., 2] = 1
        points = np.array([[-0.3, -0.1], [0.3, -0.1], [0, 0.2]], np.float32) + rng.normal(0, 0.01, (count, 3, 2))
        speech = None
        if self.config.speech_encoders:
            audio = self.config.audio
            values = rng.normal(size=(count, audio.steps, audio.inputs)).astype(np.float32)
            speech = Speech(np.zeros(count * 640, np.float32), fps, np.ones(count, np.float32), {audio.encoder: values})
        return Controls(fps, count, speech, None, points.astype(np.float32), pose)

    def options(self, **values: Any) -> Any:
        """The method's options."""
        return self.spec.part("config").Options(**values)

    def synchronize(self) -> None:
        """Wait for the device."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def timed(self, work: Callable[[], Any], repeats: int) -> float:
        """Median seconds of ``work``, after one run that does not count."""
        work()
        seconds = []
        for _ in range(repeats):
            self.synchronize()
            start = time.perf_counter()
            work()
            self.synchronize()
            seconds.append(time.perf_counter() - start)
        return float(np.median(seconds))


@contextmanager
def _fresh_clip() -> Iterator[None]:
    """CLIP is frozen and runs once a video; where its package is missing a stand-in of the same width serves."""
    import vivant.methods.animate_anyone.model as model
    from vivant.nn.picture_encoder import ClipEncoder

    original = model.picture_encoder

    def encoder(name: str, blocks: int = 16) -> nn.Module:
        try:
            return original(name, blocks)
        except Exception:
            return _StandIn()

    model.picture_encoder = encoder  # type: ignore[attr-defined]
    assert ClipEncoder
    try:
        yield
    finally:
        model.picture_encoder = original  # type: ignore[attr-defined]


class _StandIn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 768)

    def forward(self, image: Tensor) -> Tensor:
        return self.linear(image.mean((2, 3)))


class Plain:
    """The prediction of windows with everything computed again in every step."""

    def __init__(self, bench: Bench, count: int) -> None:
        denoiser = bench.generator._denoiser(bench.source(), bench.controls(count), bench.options())
        self.conditions, self.unet, self.guidance = denoiser.conditions, denoiser.unet, denoiser.guidance
        self.strength, self.dtype = denoiser.strength, bench.dtype
        self.bank = dict(self.conditions.reference() or {})
        self.token = self.conditions.token() if self.conditions.token else None
        added, context = self.conditions.added, self.conditions.context
        assert added is not None
        self.added = torch.cat([added(a, min(a + 16, count)) for a in range(0, count, 16)])
        self.tokens = torch.cat([context(a, min(a + 16, count)) for a in range(0, count, 16)]) if context else None

    def contexts(self, frames: slice, length: int) -> dict[str, BlockContext]:
        """Keys and values of all rows and frames, unconditional ones from zeros."""
        found = {}
        for path in self.unet.config.paths:
            block = self.unet.transformer(path).block
            bank = self.bank[path].repeat_interleave(length, 0)  # one copy a frame, as the released code makes them
            rows = torch.cat([torch.zeros_like(bank), bank])
            own = block.attn1_5 if block.reference == "cross" else block.attn1
            if self.tokens is not None:
                context = self.tokens[frames]
            else:
                assert self.token is not None
                context = self.token.expand(length, -1, -1)
            context = torch.cat([torch.zeros_like(context), context])
            found[path] = BlockContext(own.keys_values(rows), context=block.attn2.keys_values(context))
        return found

    @torch.inference_mode()
    def __call__(self, x: Tensor, moment: Moment, starts: Sequence[int]) -> Tensor:
        """As :class:`vivant.diffusion.clip_denoiser.ClipDenoiser`, window by window."""
        answers = []
        for row, start in enumerate(starts):
            part = x[row : row + 1].transpose(1, 2).to(self.dtype).cpu().to(self.added.device)  # through the host
            frames = slice(start, start + part.shape[1])
            contexts = self.contexts(frames, part.shape[1])
            added = self.added[None, frames]
            both = torch.cat([added if self.conditions.added_free else torch.zeros_like(added), added])
            answer = self._forward(part, moment, contexts, both)
            free, asked = answer.float().transpose(1, 2).chunk(2)
            answers.append(free + self.guidance.scale * (asked - free))
        return torch.cat(answers)

    def _forward(self, part: Tensor, moment: Moment, contexts: dict[str, BlockContext], added: Tensor) -> Tensor:
        time_step = torch.tensor(moment.timestep, device=part.device)
        rows = torch.cat([part, part])
        if self.token is None:
            return self.unet(rows, time_step, contexts, added, strength=self.strength)
        # unconditional rows of Animate Anyone see no reference: their half is computed on its own
        half, length = len(rows) // 2, part.shape[1]
        alone = {
            path: BlockContext(context=KeyValue(*(t[: half * length] for t in seen.context)))
            for path, seen in contexts.items()
            if seen.context is not None
        }
        asked = {
            path: BlockContext(
                KeyValue(*(t[half * length :] for t in seen.reference)),
                context=KeyValue(*(t[half * length :] for t in seen.context)),
            )
            for path, seen in contexts.items()
            if seen.reference is not None and seen.context is not None
        }
        free = self.unet(rows[:half], time_step, alone, added[:half], strength=self.strength)
        return torch.cat([free, self.unet(rows[half:], time_step, asked, added[half:], strength=self.strength)])


def plain_clip(bench: Bench, count: int, steps: int) -> Iterator[np.ndarray]:
    """A whole clip in the plain form, decoded frame by frame."""
    plan = bench.generator._plan(count, bench.options(steps=steps))
    latents = denoise_stream(Plain(bench, count), plan.noise(bench.device), count, plan.sampling, plan.windows)
    return decode_stream(bench.generator.modules["codec"], latents, batch=1)


def our_clip(bench: Bench, count: int, **options: Any) -> Iterator[np.ndarray]:
    """A whole clip as the method makes it."""
    return bench.generator.generate(bench.source(), bench.controls(count), bench.options(**options))


def _drain(frames: Iterator[np.ndarray]) -> int:
    return sum(1 for _ in frames)


def speed(bench: Bench, args: argparse.Namespace) -> dict[str, Any]:
    """Seconds of one guided step of a window, and of a clip, in the plain form and in ours."""
    length, repeats = (bench.config.window if args.tiny else 24), (1 if args.tiny else 5)
    side = bench.config.output_size // bench.generator.modules["codec"].factor
    x = torch.randn(1, bench.config.unet.channels, length, side, side, device=bench.device)
    moment, steps = Moment(3, 20, 499), args.steps
    plain = Plain(bench, length)
    found: dict[str, Any] = {"frames": length, "steps": steps}
    ours = bench.generator._denoiser(bench.source(), bench.controls(length), bench.options())
    difference = (plain(x, moment, [0]) - ours(x, moment, [0])).abs().max() / plain(x, moment, [0]).abs().max()
    found["relative difference"] = float(difference)
    bench.ordered(torch.contiguous_format)
    found["step, plain"] = bench.timed(lambda: plain(x, moment, [0]), repeats)
    bench.ordered(torch.channels_last)
    found["step, ours"] = bench.timed(lambda: ours(x, moment, [0]), repeats)
    compiled = {"compile": True} if not args.no_compile and not args.tiny else {}
    if compiled:
        ours = bench.generator._denoiser(bench.source(), bench.controls(length), bench.options(**compiled))
        found["step, ours compiled"] = bench.timed(lambda: ours(x, moment, [0]), repeats)
    seconds = 1 if args.tiny else args.seconds
    count = 25 * seconds
    window = {"window": length, "overlap": min(4, length - 1)}
    found["clip seconds"] = seconds
    if not args.no_clip:
        bench.config = replace(bench.config, **window)
        bench.generator.config = bench.config
        for name, work in (
            ("clip, plain", lambda: _drain(plain_clip(bench, count, steps))),
            ("clip, ours", lambda: _drain(our_clip(bench, count, steps=steps, **compiled))),
            ("clip, ours, 4 steps of LCM without guidance", lambda: _drain(
                our_clip(bench, count, steps=4, guidance=1.0, sampler="lcm", **compiled))),
        ):  # fmt: skip
            bench.ordered(torch.contiguous_format if "plain" in name else torch.channels_last)
            bench.synchronize()
            start = time.perf_counter()
            assert work() == count
            bench.synchronize()
            found[name] = time.perf_counter() - start
    return found


def memory(bench: Bench, args: argparse.Namespace) -> dict[str, Any]:
    """Peak memory in MiB of a short and a long clip, a few steps each (memory does not depend on their number)."""
    found: dict[str, Any] = {}
    lengths = (("10 s", 25 if args.tiny else 250), ("5 min", 75 if args.tiny else 7500))
    for name, count in lengths:
        gc.collect()
        if bench.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        start = time.perf_counter()
        assert _drain(our_clip(bench, count, steps=2)) == count
        bench.synchronize()
        peak = torch.cuda.max_memory_allocated() / 2**20 if bench.device.type == "cuda" else 0.0
        found |= {f"{name}, MiB": round(peak), f"{name}, seconds": round(time.perf_counter() - start, 1)}
    return found


def train(bench_name: str, args: argparse.Namespace) -> dict[str, Any]:
    """Seconds and peak memory of a step of every stage of ``paper``: bf16, checkpointing, a sample a GPU."""
    from vivant.data.windows import ClipWindows, WindowClip
    from vivant.training import parallel
    from vivant.training.loop import LoopOptions, Trainer

    spec = get_method(bench_name)
    config = spec.part("config").PRESETS["tiny" if args.tiny else "paper"]
    teacher = spec.part("train")
    device = parallel.start(torch.device("cpu" if args.tiny else "cuda"))
    found: dict[str, Any] = {"GPUs": parallel.world()}
    wanted = [stage for name, stage in teacher.STAGES.items() if name.startswith("paper-")]
    for stage in wanted:
        torch.manual_seed(0)
        with _fresh_clip(), device:
            modules = spec.part("model").build_modules(config)
        frames = 4 if args.tiny else stage.frames
        trains = tuple(name for name in stage.trains if not name.startswith("!reference"))
        short = replace(
            stage, steps=4, batch=parallel.world(), frames=frames, checkpoint_every=0, sample_every=0, shard="moments",
            trains=trains if args.tiny else stage.trains,
        )  # fmt: skip
        samples = _samples(config, frames, device, ClipWindows, WindowClip)
        if device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(device)
        options = LoopOptions(precision="fp32" if args.tiny else "bf16", capture=False, log_every=1)
        trainer = Trainer(modules, config, short, teacher.Objective, samples, args.out / bench_name, device, options)
        seconds = []
        for number in range(4):
            start = time.perf_counter()
            trainer._one(number / 4)
            values = trainer.step.read(1)
            trainer._pending = 0
            seconds.append(time.perf_counter() - start)
        assert torch.isfinite(values).all(), "a loss is not finite"
        learning = sum(p.numel() for m in modules.values() for p in m.parameters() if p.requires_grad)
        peak = torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else 0.0
        found[stage.name] = {
            "frames": frames, "size": config.output_size, "learning parameters": learning,
            "seconds a step": round(float(np.median(seconds[1:])), 3), "peak GiB": round(peak, 2),
        }  # fmt: skip
        print(json.dumps({stage.name: found[stage.name]}), flush=True)
        del trainer, modules, samples
        gc.collect()
    parallel.stop()
    return found


def _samples(config: Any, frames: int, device: torch.device, windows: Any, clip: Any) -> Any:
    """Two clips of random numbers in the shapes of real ones."""
    count, side = 2 * frames, config.output_size // 8
    driven = hasattr(config, "driven")  # MegActor-Sigma
    channels = (config.net if driven else config.unet).channels
    arrays: dict[str, Tensor] = {"latents": torch.randn(count, channels, side, side, device=device).half()}
    if driven:
        from vivant.core.facemesh import FACE_POINTS

        audio, size = config.audio, config.output_size
        arrays["picture"] = torch.randint(0, 255, (count, 3, size, size), dtype=torch.uint8, device=device)
        arrays["points"] = torch.rand(count, len(FACE_POINTS), 2, device=device) - 0.5
        arrays["speech"] = torch.randn(count, audio.steps, audio.numbers, device=device).half()
        arrays["heard"] = torch.ones(count, device=device)
    elif config.speech_encoders:
        audio = config.audio
        arrays["v_kps"] = torch.tensor([[-0.3, -0.1], [0.3, -0.1], [0.0, 0.2]], device=device).repeat(count, 1, 1)
        arrays["mouth"] = torch.tensor([[-0.2, 0.3, 0.2, 0.6]], device=device).repeat(count, 1)
        arrays["speech"] = torch.randn(count, audio.steps, audio.inputs, device=device).half()
        arrays["heard"] = torch.ones(count, device=device)
    else:
        size = config.output_size
        arrays["drawing"] = torch.randint(0, 255, (count, 3, size, size), dtype=torch.uint8, device=device)
        arrays["look"] = torch.randn(count, 24 if config.image == "lite0" else 768, device=device).half()
    return windows([clip("a", "random", frames), clip("b", "random", frames)], arrays, frames)


def main() -> None:
    """Measure as asked, print and write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("speed", "memory", "train"))
    parser.add_argument("--method", action="append", choices=METHODS)
    parser.add_argument("--out", type=Path, default=Path("measured"))
    parser.add_argument("--tiny", action="store_true", help="rehearsal on the CPU")
    parser.add_argument("--steps", type=int, default=25, help="sampling steps of the clip")
    parser.add_argument("--seconds", type=int, default=10, help="length of the clip")
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--no-clip", action="store_true")
    args = parser.parse_args()
    if args.tiny:
        args.steps = 2
    args.out.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {"torch": torch.__version__}
    if torch.cuda.is_available():
        found["device"] = torch.cuda.get_device_name()
        torch.backends.cudnn.benchmark = True
    for name in args.method or METHODS:
        if args.what == "train":
            found[name] = train(name, args)
        else:
            bench = Bench(name, args)
            found[name] = (speed if args.what == "speed" else memory)(bench, args)
            del bench
            gc.collect()
        print(json.dumps({name: found[name]}, indent=1), flush=True)
    suffix = f"_{found[(args.method or METHODS)[0]].get('GPUs', 1)}" if args.what == "train" else ""
    (args.out / f"reference_nets_{args.what}{suffix}.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
