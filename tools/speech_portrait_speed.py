"""How fast, how late and in how much memory `speech-portrait` works: `tools/measure_speech_portrait.py` runs it."""

from __future__ import annotations

import gc
import resource
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from prepare_lite_data import held_out

from vivant.core.clip import Audio
from vivant.core.errors import VivantError
from vivant.core.speech import SPEECH_RATE
from vivant.media.audio import read_audio
from vivant.metrics.timing import machine
from vivant.pipelines.load import Pipeline
from vivant.pipelines.speak_live import Clock, speak_live

FPS, FRAME = Fraction(25), SPEECH_RATE // 25


def long_sound(data: Path, seconds: float) -> np.ndarray:
    """(N,) clips of the man one after another."""
    parts, length = [], 0
    for path in sorted((data / "grid" / "s1").glob("*.mp4")):
        parts.append(read_audio(path, SPEECH_RATE, mono=True).samples[:, 0])
        length += len(parts[-1])
        if length >= seconds * SPEECH_RATE:
            break
    whole = np.concatenate(parts)
    return np.resize(whole, int(seconds * SPEECH_RATE))


def speed(pipe: Pipeline, data: Path, out: Path) -> dict[str, Any]:
    """End to end, with files in and out, once to warm up."""
    still = next(path for path in sorted((data / "stills").glob("*.jpg")) if held_out(path.stem))
    sound = Audio(long_sound(data, 20)[:, None], SPEECH_RATE)
    pipe.animate(still, audio=Audio(sound.samples[:FRAME], SPEECH_RATE)).save(out / "warm.mp4")
    begin, used = time.perf_counter(), time.process_time()
    pipe.animate(still, audio=sound).save(out / "speed.mp4")
    seconds, work = time.perf_counter() - begin, time.process_time() - used
    return {
        "seconds": 20,
        "wall": seconds,
        "cpu": work,
        "real_time_factor": 20 / seconds,
        "threads": torch.get_num_threads(),
        "machine": machine(),
    }


def paced(samples: np.ndarray, arrived: list[float]) -> Iterator[np.ndarray]:
    """Blocks of 40 ms in their own time; `arrived`: when each came."""
    begin = time.perf_counter()
    for number in range(len(samples) // FRAME):
        time.sleep(max(0.0, begin + (number + 1) * FRAME / SPEECH_RATE - time.perf_counter()))
        arrived.append(time.perf_counter())
        yield samples[number * FRAME : (number + 1) * FRAME]


def delay(pipe: Pipeline, data: Path, seconds: float) -> dict[str, Any]:
    """Seconds from the arrival of a frame's last sample to its picture; pictures left out are counted."""
    still = next(path for path in sorted((data / "stills").glob("*.jpg")) if held_out(path.stem))
    arrived: list[float] = []
    config = pipe.config
    clock = Clock(FPS, float((config.block + config.lookahead) / FPS))
    shown = []
    frames = speak_live(pipe, still, paced(long_sound(data, seconds), arrived), pipe.options(), live=True, clock=clock)
    for _ in frames:
        shown.append(time.perf_counter())
    if not shown or len(clock.late) > len(shown) - 50:
        raise VivantError("Nearly every picture came too late: measure on a machine that is not busy.")
    late = [b - a for k, (a, b) in enumerate(zip(arrived, shown)) if k not in clock.late][25:]
    return {
        "seconds": seconds,
        "median": float(np.median(late)),
        "95 %": float(np.quantile(late, 0.95)),
        "left_out": len(clock.late),
        "frames": len(shown),
        "machine": machine(),
    }


def memory(pipe: Pipeline, data: Path, seconds: float, painted: bool) -> dict[str, Any]:
    """Resident memory in MiB after one minute and at the end of a stream that goes as fast as it can; without
    ``painted`` every picture is late, so that all is done but the painting."""
    still = next(path for path in sorted((data / "stills").glob("*.jpg")) if held_out(path.stem))
    piece = long_sound(data, 60)
    blocks = (piece for _ in range(max(1, round(seconds / 60))))
    seen = []
    clock = Clock(FPS, 0.0, started=None if painted else -1e9)
    for number, _ in enumerate(speak_live(pipe, still, blocks, pipe.options(), clock=clock)):
        if number % 1500 == 1499:
            gc.collect()
            seen.append(_resident())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "seconds": len(seen) * 60,
        "after_a_minute": seen[0],
        "at_the_end": seen[-1],
        "peak": peak,
        "painted": painted,
    }


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20
