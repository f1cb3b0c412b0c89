"""Speed, memory and work of V-Express and Animate Anyone in published size; weights are random, they do not matter.

    python tools/measure_reference_nets.py flops                               # on any machine, without its numbers
    python tools/measure_reference_nets.py speed --method v-express            # one step, and a 10 s clip
    python tools/measure_reference_nets.py memory --method v-express           # peak memory of 10 s and of 5 min
    python tools/measure_reference_nets.py train                               # one step of every stage of `paper`
    torchrun --nproc-per-node 2 tools/measure_reference_nets.py train
    python tools/measure_reference_nets.py speed --tiny                        # rehearsal on a CPU in seconds

Rows of ``speed``: "again" and "released" are the two plain forms of ``plain_reference_nets.py``, "eager" and "compiled"
are ours and exact, "graphs" is compiled with CUDA graphs, "few" are four steps of LCM without guidance, compiled,
"preview" the same with the small decoder; what is compiled is the denoising net and, for clips, the decoder.
Numbers are written to the folder ``--out`` after every row and join those that are there from the same device: with
``--row`` a method's ten minutes or so can be cut into several runs.
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from plain_reference_nets import Plain, plain_clip
from reference_bench import Bench, fresh_clip, samples_of

from vivant.core.registry import get_method
from vivant.diffusion.autoencoder import TinyDecoder
from vivant.diffusion.samplers import Moment

METHODS = ("v-express", "animate-anyone")
ROWS = ("again", "released", "eager", "compiled", "graphs", "few", "preview")
_PLAIN = ROWS[:2]
_MODES = {"compiled": None, "graphs": "reduce-overhead", "few": None, "preview": None}
_FEW = {"steps": 4, "guidance": 1.0, "sampler": "lcm"}
Note = Callable[[str, Any], None]


def our_clip(bench: Bench, count: int, **options: Any) -> Iterator[np.ndarray]:
    """A whole clip as the method makes it."""
    found: Iterator[np.ndarray] = bench.generator.generate(
        bench.source(), bench.controls(count), bench.options(**options)
    )
    return found


def prepared(bench: Bench, row: str) -> dict[str, Any]:
    """The options of ``row``; weights in its order of memory, and the net compiled as it wants."""
    bench.ordered(torch.contiguous_format if row in _PLAIN else torch.channels_last)
    torch._dynamo.reset()  # each row compiles for its own shapes
    bench.generator._compiled.clear()
    if row not in _MODES:
        return {}
    bench.generator._compiled["forward"] = torch.compile(bench.generator._unet, fullgraph=True, mode=_MODES[row])
    if row != "preview":
        return {"compile": True, **(_FEW if row == "few" else {})}
    bench.generator.config = replace(bench.config, codec="sd")
    bench.generator._preview = row, TinyDecoder().to(bench.device, bench.dtype)
    return {"compile": True, **_FEW, "preview_decoder": row}


def speed(bench: Bench, args: argparse.Namespace, note: Note) -> None:
    """Seconds of one guided step of a window of 24 frames and of a clip, row by row; a row that fails says why."""
    bench.config = replace(bench.config, window=8 if args.tiny else 24, overlap=4)
    bench.generator.config = bench.config
    note("frames", bench.config.window)
    note("steps", args.steps)
    note("seconds of the clip", args.seconds)
    for row in args.row or ROWS:
        try:
            _row(bench, args, row, note)
        except Exception as error:
            traceback.print_exc()
            note(f"{row}, failed", str(error).splitlines()[0])
        gc.collect()


def _row(bench: Bench, args: argparse.Namespace, row: str, note: Note) -> None:
    options, length = prepared(bench, row), bench.config.window
    again = row == "again"
    if not args.no_step:
        side = bench.config.output_size // bench.generator.modules["codec"].factor
        x = torch.randn(1, bench.config.unet.channels, length, side, side, device=bench.device)
        moment = Moment(3, 20, 499)
        if row in _PLAIN:
            predict: Any = Plain(bench, length, again)
        else:
            predict = bench.generator._denoiser(bench.source(), bench.controls(length), bench.options(**options))
        if row in ("released", "eager"):
            other = Plain(bench, length, True)(x, moment, [0])
            difference = (predict(x, moment, [0]) - other).abs().max() / other.abs().max()
            note(f"{row}, difference from again", float(difference))
        note(f"{row}, step", bench.timed(lambda: predict(x, moment, [0]), 1 if args.tiny else 5))
    if args.no_clip:
        return

    def clip(count: int) -> int:
        if row in _PLAIN:
            return sum(1 for _ in plain_clip(bench, count, args.steps if count > length else 2, again))
        more = {"steps": args.steps if count > length else 2}
        return sum(1 for _ in our_clip(bench, count, **{**more, **options}))

    clip(length)  # kernels are chosen and compiled for the shapes of the clip
    bench.synchronize()
    start, count = time.perf_counter(), 25 * args.seconds
    assert clip(count) == count
    bench.synchronize()
    note(f"{row}, clip", time.perf_counter() - start)


def memory(bench: Bench, args: argparse.Namespace, note: Note) -> None:
    """Peak memory in MiB of a short and a long clip, a few steps each (memory grows with their number, not with the
    clip's length); on the GPU, and of the process, which holds features that wait."""
    lengths = (("warm-up", 26), ("10 s", 25 if args.tiny else 250), ("5 min", 75 if args.tiny else 7500))
    for name, count in lengths:
        gc.collect()
        if bench.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        start = time.perf_counter()
        assert sum(1 for _ in our_clip(bench, count, steps=2)) == count
        bench.synchronize()
        peak = torch.cuda.max_memory_allocated() / 2**20 if bench.device.type == "cuda" else 0.0
        note(f"{name}, MiB", round(peak))
        note(f"{name}, MiB of the process", round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10))
        note(f"{name}, seconds", round(time.perf_counter() - start, 1))


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
        with fresh_clip(), device:
            modules = spec.part("model").build_modules(config)
        frames = 4 if args.tiny else stage.frames
        trains = tuple(name for name in stage.trains if not name.startswith("!reference"))
        short = replace(
            stage, steps=4, batch=parallel.world(), frames=frames, checkpoint_every=0, sample_every=0, shard="moments",
            trains=trains if args.tiny else stage.trains,
        )  # fmt: skip
        samples = samples_of(config, frames, device, ClipWindows, WindowClip)
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


def main() -> None:
    """Measure as asked, print and write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("speed", "memory", "train", "flops"))
    parser.add_argument("--method", action="append", choices=METHODS)
    parser.add_argument("--out", type=Path, default=Path("measured"))
    parser.add_argument("--tiny", action="store_true", help="rehearsal on the CPU")
    parser.add_argument("--row", action="append", choices=ROWS, help="speed: this row only; may be given several times")
    parser.add_argument("--steps", type=int, default=25, help="sampling steps of the clip")
    parser.add_argument("--seconds", type=int, default=10, help="length of the clip")
    parser.add_argument("--no-step", action="store_true")
    parser.add_argument("--no-clip", action="store_true")
    args = parser.parse_args()
    if args.tiny:
        args.steps, args.seconds = 2, 1
    args.out.mkdir(parents=True, exist_ok=True)
    if torch.cuda.is_available():
        torch.backends.cudnn.benchmark = args.what == "speed"  # its trials would count as memory
    for name in args.method or METHODS:
        _measured(name, args)


def _measured(name: str, args: argparse.Namespace) -> None:
    found: dict[str, Any] = {"torch": torch.__version__}
    if torch.cuda.is_available():
        found["device"] = torch.cuda.get_device_name()

    def note(key: str, value: Any) -> None:
        found[key] = value
        print(json.dumps({key: value}), flush=True)
        suffix = f"_{found['GPUs']}" if "GPUs" in found else ""
        path = args.out / f"reference_nets_{args.what}{suffix}_{name}.json"
        known = json.loads(path.read_text()) if path.is_file() else {}
        same = all(known.get(k) == found.get(k) for k in ("torch", "device"))
        path.write_text(json.dumps({**(known if same else {}), **found}, indent=1) + "\n")

    print(name, flush=True)
    if args.what == "train":
        for key, value in train(name, args).items():
            note(key, value)
    elif args.what == "flops":
        from count_reference_nets import table

        for key, value in table(name, args.seconds, args.steps).items():
            note(key, value)
    else:
        bench = Bench(name, args.tiny)
        (speed if args.what == "speed" else memory)(bench, args, note)
        del bench
        gc.collect()


if __name__ == "__main__":
    main()
