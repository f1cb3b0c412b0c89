"""How training speed grows with GPUs, and whether the GPU ever waits for data.

    python tools/measure_scaling.py --processes 1 2 --out measured            # lite of LivePortrait, on GPUs
    python tools/measure_scaling.py --processes 1 2 --batch 128 --out measured
    python tools/measure_scaling.py --device cpu --preset tiny --batch 4 --steps 6 --clips 2 --out measured  # rehearsal

Runs the real loop (``vivant.training.loop.Trainer``) on the first stage of a method. Pictures and labels are made up
and of real size: what they show does not change what a step costs. For every number of processes, two ways to share
work:

- ``weak``: every process gets ``--batch`` samples, so the batch grows;
- ``strong``: ``--batch`` samples are shared by all.

``ratio``: samples a second over those of one process. ``busy``: share of the time in which at least one kernel ran on
the GPU of the first process (union of the kernels of a profile of 20 steps). ``draw``: milliseconds a step in which the
host chooses samples; ``gather``: milliseconds in which the device collects them; both beside ``step``, milliseconds of
a whole step. Loading is no bottleneck while ``busy`` is near 1 and ``draw`` is far below ``step``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vivant.core.facemesh import TRAINING_POINTS
from vivant.core.registry import get_method
from vivant.data.dataset import FaceClips
from vivant.data.labels import Labels
from vivant.data.manifest import Row
from vivant.training import parallel
from vivant.training.loop import LoopOptions, Trainer

PROFILED = 20
FRAMES = 75


def made_up(clips: int, size: int, device: torch.device) -> FaceClips:
    """``clips`` clips of 75 frames of noise with plausible labels, resident on the device."""
    rng = np.random.default_rng(0)
    frames = torch.from_numpy(rng.integers(0, 256, (clips * FRAMES, size, size, 3), dtype=np.uint8))
    points = np.array(TRAINING_POINTS)
    rows, labels = [], []
    for number in range(clips):
        neutral = rng.uniform(-0.4, 0.4, (len(points), 3))
        moved = neutral + rng.normal(0, 0.02, (FRAMES, len(points), 3))
        labels.append(Labels(
            landmarks=moved.astype(np.float16), rotation=rng.normal(0, 0.2, (FRAMES, 3)).astype(np.float32),
            scale=np.full(FRAMES, 1.0, np.float32), translation=rng.normal(0, 0.05, (FRAMES, 2)).astype(np.float32),
            neutral=neutral.astype(np.float16), weight=np.ones(len(points), np.float32), points=points,
        ))  # fmt: skip
        rows.append(Row(f"clip{number}", f"p{number}", "train", "clip", "noise", FRAMES, 25.0, size, ""))
    return FaceClips(frames, rows, labels, device)


def make_trainer(args: argparse.Namespace, device: torch.device, batch: int, folder: Path) -> tuple[Trainer, FaceClips]:
    """The loop of the method's first stage with random weights, without sheets, validation and checkpoints."""
    spec = get_method(args.method)
    config = spec.part("config").PRESETS[args.preset]
    train = spec.part("train")
    stage = train.STAGES[args.stage] if args.stage else next(iter(train.STAGES.values()))
    stage = replace(
        stage, steps=10**9, batch=batch, mix={}, sample_every=0, validate_every=0, checkpoint_every=0, warmup=0,
        critics_from=0.0 if args.critics else 1.0, shard=args.shard,
    )  # fmt: skip
    data = made_up(args.clips, args.size, device)
    torch.manual_seed(0)
    modules = spec.part("model").build_modules(config)
    cuda = device.type == "cuda"
    options = LoopOptions(
        precision="bf16" if cuda else "fp32", capture=not args.no_capture, capture_many=args.capture_many,
        log_every=1, channels_last=cuda,
    )  # fmt: skip
    return Trainer(modules, config, stage, train.Objective, data, folder, device, options), data


def run_steps(trainer: Trainer, count: int) -> float:
    """Seconds of ``count`` steps, device included."""
    parallel.agree(0.0, False, trainer.device)
    wait(trainer.device)
    begin = time.perf_counter()
    for _ in range(count):
        trainer.one_unlogged(0.0)
    wait(trainer.device)
    return time.perf_counter() - begin


def wait(device: torch.device) -> None:
    """Until the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def busy_share(trainer: Trainer) -> float | None:
    """Share of the time of some steps in which a kernel ran, by torch's profiler; None on a CPU."""
    if trainer.device.type != "cuda":
        return None
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA, ProfilerActivity.CPU]) as seen:
        run_steps(trainer, PROFILED)
    spans = sorted(
        (event.time_range.start, event.time_range.end)
        for event in seen.events()
        if event.device_type == torch.autograd.DeviceType.CUDA and not event.name.startswith(("vivant", "Profiler"))
    )
    if not spans:
        return None
    covered, last = 0.0, spans[0][0]
    for start, end in spans:
        covered += max(0.0, end - max(start, last))
        last = max(last, end)
    return covered / (last - spans[0][0])


def loading(trainer: Trainer, data: FaceClips, count: int = 50) -> dict[str, float]:
    """Milliseconds of choosing samples on the host and of collecting them on the device."""
    begin = time.perf_counter()
    for number in range(count):
        index = trainer._draw(number)
    draw = time.perf_counter() - begin
    there = index.to(trainer.device)
    data.gather(there)
    wait(trainer.device)
    begin = time.perf_counter()
    for _ in range(count):
        data.gather(there)
    wait(trainer.device)
    return {"draw_ms": 1e3 * draw / count, "gather_ms": 1e3 * (time.perf_counter() - begin) / count}


def work(args: argparse.Namespace) -> None:
    """What one process of a measurement does; the first one writes the result."""
    device = torch.device(args.device)
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True
    device = parallel.start(device)
    batch = args.batch * (parallel.world() if args.kind == "weak" else 1)
    with tempfile.TemporaryDirectory() as folder:
        trainer, data = make_trainer(args, device, batch, Path(folder))
        run_steps(trainer, args.warmup)
        seconds = min(run_steps(trainer, args.steps) for _ in range(3))
        found: dict[str, Any] = {
            "processes": parallel.world(), "kind": args.kind, "batch": batch, "captured": trainer._captured.enabled,
            "samples_per_second": batch * args.steps / seconds, "step_ms": 1e3 * seconds / args.steps,
            "busy": busy_share(trainer), **loading(trainer, data),
        }  # fmt: skip
        if device.type == "cuda":
            found["device"] = torch.cuda.get_device_name(device)
            found["memory_gib"] = torch.cuda.max_memory_reserved(device) / 2**30
    if parallel.rank() == 0:
        Path(args.result).write_text(json.dumps(found), encoding="utf-8")
    trainer._captured.release()
    parallel.stop()


def launch(args: argparse.Namespace, words: list[str], processes: int, kind: str) -> dict[str, Any]:
    """One measurement in fresh processes."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        more = ["--kind", kind, "--result", str(result)]
        starter = [] if processes == 1 else [
            "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes),
        ]  # fmt: skip
        environment = {**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
        try:
            subprocess.run([sys.executable, *starter, __file__, *words, *more], check=True, timeout=args.limit,
                           env=environment)  # fmt: skip
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            return {"processes": processes, "kind": kind, "failed": str(error).splitlines()[0][-200:]}
        found: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
        return found


def main(argv: list[str] | None = None) -> None:
    """Measure every number of processes both ways; print a table and write ``scaling.json``."""
    words = list(sys.argv[1:] if argv is None else argv)
    args = parse(words)
    if args.result:
        work(args)
        return
    rows = [launch(args, words, 1, "weak")]
    for processes in args.processes:
        rows += [launch(args, words, processes, kind) for kind in ("weak", "strong")] if processes > 1 else []
    base = rows[0].get("samples_per_second")
    print("processes  kind    batch  captured  samples/s  ratio  step ms  busy  draw ms  gather ms")
    for row in rows:
        if "failed" in row or not base:
            print(f"{row['processes']:9d}  {row['kind']:6s}  failed: {row.get('failed')}")
            continue
        row["ratio"] = row["samples_per_second"] / base
        busy = "-" if row["busy"] is None else f"{row['busy']:.2f}"
        print(
            f"{row['processes']:9d}  {row['kind']:6s}  {row['batch']:5d}  {row['captured']!s:8s}  "
            f"{row['samples_per_second']:9.1f}  {row['ratio']:5.2f}  {row['step_ms']:7.2f}  {busy:>4s}  "
            f"{row['draw_ms']:7.2f}  {row['gather_ms']:9.2f}"
        )
    folder = Path(args.out)
    folder.mkdir(parents=True, exist_ok=True)
    said = {"command": " ".join(words), "torch": torch.__version__, "rows": rows}
    (folder / f"{args.name}.json").write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")


def parse(words: list[str]) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", default="live-portrait", help="one that learns from pairs of pictures")
    parser.add_argument("--preset", default="lite")
    parser.add_argument("--stage", help="default: the method's first")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--batch", type=int, default=32, help="samples (of one process, where the batch grows)")
    parser.add_argument("--steps", type=int, default=100, help="timed steps, three times; the fastest counts")
    parser.add_argument("--warmup", type=int, default=20)
    parser.add_argument("--clips", type=int, default=200, help="made-up clips of 75 frames")
    parser.add_argument("--size", type=int, default=256, help="side of their pictures")
    parser.add_argument("--critics", action="store_true", help="with the critics")
    parser.add_argument("--no-capture", action="store_true", help="steps are no CUDA graphs")
    parser.add_argument("--capture-many", action="store_true", help="steps of several processes are graphs, too")
    parser.add_argument("--shard", default="", help="what the processes share: moments or weights (FSDP2)")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--limit", type=float, default=240, help="seconds that one measurement may take")
    parser.add_argument("--out", default="measured")
    parser.add_argument("--name", default="scaling", help="of the JSON file")
    parser.add_argument("--kind", choices=("weak", "strong"), default="weak", help=argparse.SUPPRESS)
    parser.add_argument("--result", default="", help=argparse.SUPPRESS)
    return parser.parse_args(words)


if __name__ == "__main__":
    main()
