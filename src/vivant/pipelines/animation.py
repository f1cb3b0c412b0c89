"""What ``animate`` returns: frames that render when they are read, and a way to save them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from vivant.core.clip import Audio
from vivant.core.errors import MediaError
from vivant.pipelines.inputs import IMAGE_SUFFIXES, check_output
from vivant.pipelines.progress import bar
from vivant.provenance.record import describe_input, versions, write_record


@dataclass
class Animation:
    """A finished plan of frames.

    ``frames`` may be iterated again and again, each pass renders anew; memory does not grow with the length.
    ``fps``: exact frames per second. ``size``: (height, width). ``count``: number of frames, or None when a
    source video does not say its length. ``audio``: the sound that belongs to it, or None. ``missing``:
    frames (from 0) whose driver showed no face, so that the motion was held. ``warnings``: what a person
    should know. ``request``: inputs and resolved options, for the run record. ``panels``: wraps frames, for
    side by side views.
    """

    render: Callable[[], Iterator[np.ndarray]]
    fps: Fraction
    size: tuple[int, int]
    count: int | None = None
    audio: Audio | None = None
    missing: tuple[int, ...] = ()
    warnings: list[str] = field(default_factory=list)
    request: dict[str, Any] = field(default_factory=dict)
    motion: Any = None
    seconds: float = 0.0
    """Seconds spent before rendering."""

    @property
    def frames(self) -> Iterator[np.ndarray]:
        """Frames (H, W, 3) uint8 RGB from the first one."""
        return self.render()

    def __iter__(self) -> Iterator[np.ndarray]:
        return self.render()

    def save(
        self,
        path: str | os.PathLike[str],
        quality: int = 18,
        overwrite: bool = True,
        progress: bool = False,
        record: bool = True,
    ) -> Path:
        """Render into a file; a run record goes beside it as ``<path>.json``.

        ``path``: a video, or an image (.png, .jpg) when there is one frame. ``quality``: constant rate factor
        of H.264, 0 (largest) to 51. The file appears complete or not at all.

        Raises:
            MediaError: the path cannot be written or is an input, or an image is asked for but there are more frames.
        """
        target = check_output(path, overwrite, self.request.get("inputs", {}).values())
        begin = time.perf_counter()
        frames = bar(self.render(), self.count, "render", progress)
        if target.suffix.lower() in IMAGE_SUFFIXES:
            written = self._save_image(target, frames)
        else:
            written = self._save_video(target, frames, quality)
        if record:
            write_record(target, self.record(written, time.perf_counter() - begin, quality))
        return target

    def _save_image(self, target: Path, frames: Iterator[np.ndarray]) -> int:
        from vivant.media.image import write_image

        if self.count != 1:
            raise MediaError(f"The result has more frames than the image {target} can hold: name a video, like .mp4.")
        write_image(target, next(iter(frames)))
        return 1

    def _save_video(self, target: Path, frames: Iterator[np.ndarray], quality: int) -> int:
        from vivant.media.writer import VideoWriter

        written = 0
        with VideoWriter(target, self.fps, size=None, audio=self.audio, quality=quality) as writer:
            for frame in frames:
                writer.write(frame)
                written += 1
            if written == 0:
                raise MediaError(f"No frame was rendered for {target}: the source or the driver holds none.")
        return written

    def record(self, frames: int, seconds: float, quality: int) -> dict[str, Any]:
        """The run record of an output of ``frames`` frames that took ``seconds`` to render."""
        inputs = {role: describe_input(value) for role, value in self.request.get("inputs", {}).items()}
        return {
            "versions": versions(),
            **{key: value for key, value in self.request.items() if key != "inputs"},
            "inputs": inputs,
            "output": {"frames": frames, "fps": self.fps, "size": list(self.size), "quality": quality},
            "held_frames": list(self.missing),
            "seconds": {"prepare": round(self.seconds, 3), "render": round(seconds, 3)},
            "warnings": self.warnings,
        }
