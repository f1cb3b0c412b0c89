"""The demo: a bundled portrait follows a bundled speaker; result and comparison are written in one pass,
offline."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

from vivant.core.clip import Clip
from vivant.pipelines.animation import Animation
from vivant.pipelines.inputs import as_clip, check_output
from vivant.pipelines.load import load
from vivant.pipelines.panels import row_size, side_by_side
from vivant.pipelines.progress import bar
from vivant.provenance.record import write_record
from vivant.weights.assets import asset

PORTRAIT, DRIVER = "demo/portrait.jpg", "demo/driver.mp4"


def demo(
    output: str | os.PathLike[str] = "out/demo.mp4",
    preset: str | None = None,
    device: str = "auto",
    frames: int | None = None,
    progress: bool = False,
) -> tuple[Path, Path]:
    """Write the demo and, beside it, ``<name>_side_by_side``: source, driver, result.

    ``frames``: only that many of the driver's first frames. Returns both paths.

    Raises:
        MediaError: the output cannot be written.
        WeightsError: the bundled weights are missing or damaged.
    """
    target = check_output(output)
    both = (target, target.with_name(f"{target.stem}_side_by_side{target.suffix}"))
    portrait, driver = asset(PORTRAIT), asset(DRIVER)
    begin = time.perf_counter()
    pipe = load(preset=preset, device=device)
    driving = as_clip(driver, "driver") if frames is None else shortened(as_clip(driver, "driver"), frames)
    result = pipe.animate(portrait, driving, progress=progress)
    result.request["inputs"]["driving"] = driver
    written = _write(result, as_clip(portrait, "source"), driving, both, progress)
    for path in both:
        write_record(path, result.record(written, time.perf_counter() - begin, 18))
    return both


def shortened(clip: Clip, frames: int) -> Clip:
    """The first ``frames`` frames of a clip."""
    from itertools import islice

    return replace(clip, frames=list(islice(clip.frames, frames)), count=min(frames, clip.count or frames))


def _write(result: Animation, source: Clip, driving: Clip, both: tuple[Path, Path], progress: bool) -> int:
    """Both videos from one rendering; neither appears if rendering fails."""
    from vivant.media.writer import VideoWriter

    still = next(iter(source.frames))
    height = result.size[0]
    size = row_size([source.size, driving.size, result.size], height)
    written = 0
    with (
        VideoWriter(both[0], result.fps, result.size, result.audio) as single,
        VideoWriter(both[1], result.fps, size, result.audio) as row,
    ):
        for driver, frame in zip(driving.frames, bar(result.frames, result.count, "render", progress)):
            single.write(frame)
            row.write(next(side_by_side([[still], [driver], [frame]], height)))
            written += 1
    return written
