"""Decoding many short clips at once into one array of frames.

Workers are forked and write into anonymous shared memory, so no frame is ever sent through a pipe; where
processes cannot be forked the clips are decoded one after the other.
"""

from __future__ import annotations

import mmap
import multiprocessing
import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vivant.core.engines import end_with_parent
from vivant.core.errors import MediaError
from vivant.data.part import Part, as_part

_target: np.ndarray | None = None


@dataclass(frozen=True)
class Job:
    """Decode ``count`` frames of ``path`` to rows ``offset``..``offset + count`` of the array."""

    path: Path | Part
    still: bool
    offset: int
    count: int


def _decode_video(part: Part, count: int, out: np.ndarray) -> int:
    import av

    done = 0
    with av.open(part.open(), "r") as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        for frame in container.decode(stream):
            if done == count:
                break
            out[done] = frame.to_ndarray(format="rgb24")
            done += 1
    return done


def _decode_still(part: Part, out: np.ndarray) -> int:
    import cv2

    image = cv2.imdecode(np.frombuffer(part.read(), np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError("not an image")
    out[0] = image[..., ::-1]
    return 1


def _decode(job: Job) -> str:
    """Decode one file into the shared array. Returns an empty string, or what is wrong."""
    assert _target is not None
    out = _target[job.offset : job.offset + job.count]
    try:
        part = as_part(job.path)
        done = _decode_still(part, out) if job.still else _decode_video(part, job.count, out)
    except Exception as error:  # av has many error classes; all of them mean this file
        return f"{job.path} cannot be decoded to frames of {out.shape[1]} px ({error}); prepare the data again."
    if done < job.count:
        return f"{job.path} has {done} frames, its manifest row says {job.count}; prepare the data again."
    return ""


def decode(jobs: Sequence[Job], size: int, workers: int | None = None) -> np.ndarray:
    """Decode all jobs. Returns (N, size, size, 3) uint8 RGB, N the sum of counts.

    ``workers``: processes, by default one a core; 1 decodes in this process.

    Raises:
        MediaError: a file is missing, damaged, of another size or shorter than said.
    """
    global _target
    total = sum(job.count for job in jobs)
    memory = mmap.mmap(-1, max(1, total * size * size * 3))
    _target = np.frombuffer(memory, np.uint8, total * size * size * 3).reshape(total, size, size, 3)
    workers = workers or os.cpu_count() or 1
    try:
        if workers > 1 and len(jobs) > 1 and "fork" in multiprocessing.get_all_start_methods():
            context = multiprocessing.get_context("fork")
            pool = ProcessPoolExecutor(min(workers, len(jobs)), context, end_with_parent)
            with warnings.catch_warnings(), pool:
                warnings.simplefilter("ignore", DeprecationWarning)  # the workers touch no thread of this process
                problems = [p for p in pool.map(_decode, jobs, chunksize=4) if p]
        else:
            problems = [p for p in map(_decode, jobs) if p]
        if problems:
            raise MediaError(problems[0])
        return _target
    finally:
        _target = None
