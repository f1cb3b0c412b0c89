"""Any generated video against its reference, frame by frame: no crops, no protocol, the largest face of each
frame.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from vivant.core.errors import MediaError
from vivant.metrics.identity import identity_distances
from vivant.metrics.image import capped_psnr, l1, ssim
from vivant.metrics.motion import absolute_errors, jitter, read_motion, series_moments
from vivant.metrics.reenactment import Finder, detect, whole_crop

_IMAGE_METRICS = {"psnr": capped_psnr, "ssim": ssim, "l1": l1}


def compare_files(generated: Path, reference: Path, stride: int = 1, finder: Finder | None = None) -> dict[str, Any]:
    """Image, motion and identity metrics of ``generated`` against ``reference``, every ``stride``-th frame.

    Pictures are compared whole; motion and identity (to the first frame of the reference that has a face) by
    the largest face. If one is longer, its rest is left out and counted in ``frames_without_partner``.

    Raises:
        MediaError: a file cannot be read, or the frames differ in size.
    """
    from vivant.perception.faces import FaceFinder

    finder = finder or FaceFinder()
    scores: dict[str, list[float]] = {name: [] for name in _IMAGE_METRICS}
    points: tuple[list[Any], list[Any]] = ([], [])
    identity: list[float] = []
    lonely, source = 0, None
    for made, true in _frames(generated, reference, stride):
        if made is None or true is None:
            lonely += 1
            continue
        for name, metric in _IMAGE_METRICS.items():
            scores[name].append(metric(made, true))
        seen = detect([made, true], finder).landmarks
        points[0].append(seen[0])
        points[1].append(seen[1])
        if source is None and seen[1] is not None:
            source = whole_crop(true, seen[1])
        if source is not None:
            identity += identity_distances(source, [made], [seen[0]]).tolist()
    counts = {"frames": len(points[0]), "frames_without_partner": lonely}
    return counts | {name: float(np.mean(values)) for name, values in scores.items()} | _motion(points, identity)


def _frames(generated: Path, reference: Path, stride: int) -> Iterator[tuple[np.ndarray | None, np.ndarray | None]]:
    """Pairs of frames, None where one video has ended."""
    from vivant.media.video import open_clip

    clips = open_clip(generated), open_clip(reference)
    if clips[0].size != clips[1].size:
        raise MediaError(
            f"{generated} has frames of {clips[0].size} (height, width) and {reference} of {clips[1].size}: "
            "scale one of them first."
        )
    yield from zip_longest(*(islice(clip.frames, 0, None, stride) for clip in clips))


def _motion(points: tuple[list[Any], list[Any]], identity: list[float]) -> dict[str, Any]:
    made, true = (read_motion(landmarks) for landmarks in points)
    known = [value for value in identity if np.isfinite(value)]
    found: dict[str, Any] = dict(absolute_errors(made, true))
    found["identity_distance"] = float(np.mean(known)) if known else float("nan")
    for name, series in series_moments(made, true).items():
        found[f"{name}_correlation"], found[f"{name}_gain"] = series.correlation, series.gain
    found["jitter_percent"], found["reference_jitter_percent"] = jitter(points[0]), jitter(points[1])
    found["frames_without_a_face"] = int((true.found & ~made.found).sum())
    return {name: value if np.isfinite(value) else None for name, value in found.items()}


def pairs_markdown(values: Mapping[str, Any]) -> str:
    """The values of :func:`compare_files` as a Markdown table."""
    rows = [f"| {name.replace('_', ' ')} | {_text(value)} |" for name, value in values.items()]
    return "\n".join(["| measure | value |", "|---|---|", *rows]) + "\n"


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.4f}"
