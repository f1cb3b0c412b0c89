"""``vivant benchmark``: frames per second, milliseconds of every module, and peak memory."""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from vivant.core.errors import ConfigError, FaceError
from vivant.core.registry import DEFAULT_METHOD, get_method
from vivant.pipelines.inputs import check_folder

STAGES = ("decode", "detect", "crop", "motion", "animate", "paste", "encode")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``vivant benchmark``."""
    parts = parser.add_subparsers(dest="what", required=True, metavar="speed|modules|memory")
    speed = parts.add_parser("speed", help="frames per second end to end, and of every stage")
    modules = parts.add_parser("modules", help="milliseconds of every module with random or given weights")
    memory = parts.add_parser("memory", help="peak memory of a short and of a long driver")
    for part in (speed, modules, memory):
        part.add_argument("--method", default=DEFAULT_METHOD)
        part.add_argument("--preset", help="preset of the method (default: the method's own)")
        part.add_argument("--device", default="cpu")
        part.add_argument("--dtype", choices=("fp32", "fp16", "bf16"), default="fp32")
        part.add_argument("--threads", type=int, help="CPU threads (default: torch's own choice)")
        part.add_argument("--out", help="folder for the table as Markdown and JSON")
    for part in (speed, memory):
        part.add_argument("--source", help="portrait (default: the bundled one)")
        part.add_argument("--driving", help="driving video (default: the bundled one)")
        part.add_argument("--weights", help="weights file or folder (default: the shipped ones)")
    speed.add_argument("--frames", type=int, default=100, help="driving frames (default: 100)")
    speed.add_argument("--runs", type=int, default=3, help="end-to-end runs; the median counts (default: 3)")
    modules.add_argument("--warmups", type=int, default=10)
    modules.add_argument("--runs", type=int, default=100)
    modules.add_argument("--plain", action="store_true", help="time the modules as published, norms not folded")
    modules.add_argument("--compile", action="store_true", help="compile M, W and G with torch.compile first")
    memory.add_argument("--seconds", type=float, nargs=2, default=(10.0, 600.0), metavar=("SHORT", "LONG"))


def run(args: argparse.Namespace) -> int:
    """Measure what was asked for, print the table and, if asked, keep it."""
    import torch

    from vivant.metrics.speed_tables import markdown

    if args.out:
        check_folder(args.out)
    if args.threads is not None:
        if args.threads < 1:
            raise ConfigError("--threads must be 1 or more.")
        torch.set_num_threads(args.threads)
    values = {"speed": bench_speed, "modules": bench_modules, "memory": bench_memory}[args.what](args)
    text = markdown(args.what, values)
    if args.out:
        from vivant.metrics.runner import write_json

        folder = Path(args.out)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / f"{args.what}.json", values)
        (folder / f"{args.what}.md").write_text(text, encoding="utf-8")
    print(text)
    return 0


def files(args: argparse.Namespace) -> tuple[Path, Path]:
    """Portrait and driver: the given ones or the bundled demo."""
    from vivant.weights.assets import asset

    source = Path(args.source) if args.source else asset("demo/portrait.jpg")
    return source, Path(args.driving) if args.driving else asset("demo/driver.mp4")


def looped(path: Path, frames: int, output: Path) -> None:
    """Write a silent video of ``frames`` frames by repeating ``path``."""
    from vivant.media.video import open_clip
    from vivant.media.writer import VideoWriter

    clip = open_clip(path)
    with VideoWriter(output, clip.fps, size=clip.size) as writer:
        for frame in islice(endless(clip.frames), frames):
            writer.write(frame)


def endless(frames: Any) -> Iterator[np.ndarray]:
    """The frames again and again."""
    while True:
        yield from frames


def bench_speed(args: argparse.Namespace) -> dict[str, Any]:
    """Frames per second from file to file, and what each stage takes of it."""
    from vivant.metrics.timing import machine
    from vivant.pipelines.load import load

    if min(args.frames, args.runs) < 1:
        raise ConfigError("--frames and --runs must be 1 or more.")
    source, driving = files(args)
    place = machine(args.device)
    with tempfile.TemporaryDirectory() as name:
        driver, target = Path(name) / "driver.mp4", Path(name) / "out.mp4"
        looped(driving, args.frames, driver)
        pipeline = load(args.method, args.weights, args.preset, args.device, args.dtype)
        animate_file(pipeline, source, driver, target)
        seconds = [animate_file(pipeline, source, driver, target) for _ in range(args.runs)]
        stages = stage_seconds(pipeline, source, driver, target)
    total = float(np.median(seconds))
    return {
        "machine": place,
        "method": f"{pipeline.spec.name} {pipeline.preset}",
        "dtype": pipeline.dtype,
        "frames": args.frames,
        "runs": args.runs,
        "seconds": total,
        "frames_per_second": args.frames / total,
        "stage_ms_per_frame": {part: 1000 * spent / args.frames for part, spent in stages.items()},
    }


def animate_file(pipeline: Any, source: Path, driver: Path, target: Path) -> float:
    """Seconds of a whole animation, weights already in memory."""
    begin = time.perf_counter()
    pipeline.animate(source, driver).save(target)
    return time.perf_counter() - begin


def stage_seconds(pipeline: Any, source: Path, driver: Path, target: Path) -> dict[str, float]:
    """Seconds of every stage in ``STAGES``, over the same chain with a stopwatch between its parts.

    Raises:
        FaceError: the portrait has no face.
    """
    from vivant.compose.paste import Paster
    from vivant.media.image import read_image
    from vivant.media.video import open_clip
    from vivant.media.writer import VideoWriter
    from vivant.metrics.timing import Stopwatch
    from vivant.perception.tracking import follow
    from vivant.pipelines.crops import crop_of
    from vivant.pipelines.sources import crop_side

    watch, config = Stopwatch(), pipeline.config
    picture, clip, side = read_image(source), open_clip(driver), crop_side(config)
    faces = pipeline.finder.find(picture)
    if not faces:
        raise FaceError(f"No face was found in {source}: use a portrait with a visible, upright face.")
    still = crop_of(picture, faces[0], config.source_crop, side)
    frames = list(watch.watch("decode", clip.frames))
    seen = list(watch.watch("detect", follow(frames)))
    crops = watch.watch(
        "crop",
        (None if f is None else crop_of(i, f, config.driving_crop, side) for i, f in zip(frames, seen)),
    )
    motion = watch.call("motion", lambda: pipeline.generator.motion(crops))
    made = watch.watch("animate", pipeline.generator.animate(still, motion, pipeline.options()))
    paster = Paster(picture.shape[:2], still.to_frame, still.image.shape[0])
    whole = watch.watch("paste", (paster.paste(picture, image) for image in made))
    with VideoWriter(target, clip.fps, size=picture.shape[:2]) as writer:
        for frame in whole:
            watch.call("encode", lambda frame=frame: writer.write(frame))  # type: ignore[misc]
    return {part: watch.seconds[part] for part in STAGES}


def bench_modules(args: argparse.Namespace) -> dict[str, Any]:
    """Milliseconds, parameters and size of every module, one frame at a time, random weights.

    As in the speed table of LivePortrait's authors: warm-up, synchronise around every run; the median is the headline,
    the mean is kept beside it. Half precision is by autocast, as in generation. Parameters and megabytes (float32) are
    of the modules as published; timed is their inference form, unless ``--plain``. Weights' values do not matter.
    """
    import torch

    from vivant.metrics.timing import machine
    from vivant.pipelines.devices import pick_device, pick_dtype

    spec = get_method(args.method)
    preset = args.preset or spec.default_preset
    presets = spec.part("config").PRESETS
    if preset not in presets:
        raise ConfigError(f"{spec.name} has no preset '{preset}': choose one of {', '.join(presets)}.")
    device = pick_device(args.device)
    dtype = pick_dtype(args.dtype, device)
    modules = {name: net.to(device).eval() for name, net in spec.part("model").build_modules(presets[preset]).items()}
    timed = modules if args.plain else spec.part("model").optimize_for_inference(modules)
    with torch.inference_mode(), torch.autocast(device.split(":")[0], dtype, enabled=dtype != torch.float32):
        calls = module_calls(timed, presets[preset], device, args.compile)
        rows = {name: module_row(modules[name], call, device, args) for name, call in calls.items()}
    return {
        "machine": machine(device),
        "method": f"{spec.name} {preset}",
        "dtype": args.dtype,
        "compiled": bool(args.compile),
        "form": "as published" if args.plain else "inference form",
        "modules": rows,
    }


def module_row(module: Any, call: Callable[[], Any], device: str, args: argparse.Namespace) -> dict[str, Any]:
    """Size of one module and the time of one call."""
    import torch

    from vivant.metrics.timing import time_call

    synchronise = torch.cuda.synchronize if device.startswith("cuda") else lambda: None
    size = sum(value.numel() * value.element_size() for value in module.state_dict().values())
    timing = time_call(call, args.warmups, args.runs, synchronise)
    count = sum(value.numel() for value in module.parameters())
    return {"parameters": count, "megabytes": size / 2**20, "ms": asdict(timing)}


def module_calls(modules: Mapping[str, Any], config: Any, device: str, compiled: bool) -> dict[str, Callable[[], Any]]:
    """{module: a call that runs it once}; W gets F's features and G gets W's output."""
    import torch

    generator = torch.Generator().manual_seed(0)
    side, points = config.input_size, config.space.keypoints
    image = torch.rand(1, 3, side, side, generator=generator).to(device)
    source = (torch.rand(1, points, 3, generator=generator) - 0.5).to(device)
    driving = source + 0.02
    nets = {name: torch.compile(net) if compiled and name in _COMPILED else net for name, net in modules.items()}
    features = nets["appearance_feature_extractor"](image)
    warped = nets["warping_module"](features, source, driving)["out"]
    stage_two = modules["stitching_retargeting_module"]
    widths = {"retarget_shoulder": 6 * points, "retarget_mouth": 3 * points + 2, "retarget_eye": 3 * points + 3}
    vectors = {name: torch.zeros(1, width, device=device) for name, width in widths.items()}
    return {
        "appearance_feature_extractor": lambda: nets["appearance_feature_extractor"](image),
        "motion_extractor": lambda: nets["motion_extractor"](image),
        "warping_module": lambda: nets["warping_module"](features, source, driving),
        "spade_generator": lambda: nets["spade_generator"](warped),
        "stitching_retargeting_module": lambda: [stage_two[name](v) for name, v in vectors.items()],
    }


_COMPILED = ("motion_extractor", "warping_module", "spade_generator")


def bench_memory(args: argparse.Namespace) -> dict[str, Any]:
    """Peak memory of ``vivant animate`` in its own process, for a short and for a long driver.

    Raises:
        ConfigError: a driver of no pictures, or of no length.
    """
    from vivant.media.video import probe
    from vivant.metrics.timing import machine, peak_memory

    if not all(0 < seconds < math.inf for seconds in args.seconds):
        raise ConfigError("--seconds needs two lengths of more than 0, such as --seconds 10 600.")
    source, driving = files(args)
    fps = probe(driving).fps
    if fps is None:
        raise ConfigError(f"{driving} has no pictures: give a driving video.")
    runs = []
    with tempfile.TemporaryDirectory() as name:
        for seconds in args.seconds:
            driver, target = Path(name) / "driver.mp4", Path(name) / "out.mp4"
            frames = max(1, round(seconds * fps))
            looped(driving, frames, driver)
            mebibytes, spent = peak_memory(animate_command(args, source, driver, target))
            runs.append({"driver_seconds": seconds, "frames": frames, "peak_mib": mebibytes, "wall_seconds": spent})
    ratio = runs[1]["peak_mib"] / runs[0]["peak_mib"]
    return {"machine": machine("cpu"), "preset": args.preset or "default", "runs": runs, "ratio": ratio}


def animate_command(args: argparse.Namespace, source: Path, driver: Path, target: Path) -> list[str]:
    """The command line whose memory is measured."""
    command = [sys.executable, "-m", "vivant.apps.cli", "animate", "-s", str(source), "-d", str(driver)]
    command += ["-o", str(target), "--method", args.method, "--device", args.device, "--dtype", args.dtype]
    for option in ("preset", "weights"):
        if getattr(args, option):
            command += [f"--{option}", str(getattr(args, option))]
    return command
