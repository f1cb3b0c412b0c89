"""The protocol of reenactment: who drives whom, what is measured, and how it is kept.

*Self-reenactment*: the first frame of a clip is the source and every frame of the clip drives it absolutely,
so the true frame is known. *Cross-reenactment*: the clip drives another person's portrait relatively, so
only motion and identity can be judged. In both, landmarks are found anew on the results by the same detector
as on the true frames.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from vivant.core.errors import FaceError, MediaError
from vivant.core.face import Face, FaceCrop
from vivant.metrics.identity import identity_distances
from vivant.metrics.image import capped_psnr, l1, ssim
from vivant.metrics.motion import Motion, absolute_errors, change_error, read_motion, series_moments
from vivant.metrics.statistics import Moments
from vivant.metrics.subject import Subject
from vivant.metrics.warp import mesh_warp, repeat_still

Task = Literal["self", "cross"]
Animator = Callable[[FaceCrop, Sequence[FaceCrop | None], bool], Iterable[np.ndarray]]
"""(source, F driver crops, relative) -> F pictures (S, S, 3) uint8; None is a frame without a face."""


class Finder(Protocol):
    """What detects faces, largest first (:class:`vivant.perception.faces.FaceFinder`)."""

    def find(self, image: np.ndarray) -> list[Face]:
        """Faces in one picture (H, W, 3) uint8."""


@dataclass(frozen=True)
class Case:
    """One thing to measure: ``driver`` (a clip file) drives ``portrait`` (a picture file), or itself if that
    is None.
    """

    id: str
    task: Task
    driver: Path
    portrait: Path | None = None
    person: str = ""

    @property
    def given(self) -> str:
        """12 hexadecimal digits that change when one of its files does."""
        text = json.dumps(Subject("", true=self.driver, source=self.portrait).given())
        return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Reading:
    """How clips are read. ``stride``: every n-th frame; ``frames``: most frames a clip; ``size``: side in
    pixels.
    """

    stride: int = 3
    frames: int = 60
    size: int = 256


@dataclass(frozen=True)
class Take:
    """A clip as measured: F pictures (S, S, 3) uint8 and their landmarks (478, 3) in pixels, None without a
    face.
    """

    images: list[np.ndarray]
    landmarks: list[np.ndarray | None]

    def crops(self) -> list[FaceCrop | None]:
        """The frames as crops that fill the picture; None without a face."""
        return [None if p is None else whole_crop(i, p) for i, p in zip(self.images, self.landmarks)]


@dataclass(frozen=True)
class Record:
    """What one method did on one case; a line of ``records.jsonl``.

    ``frames``: scored frames; ``missing``: those of them where the result has no face; ``values``: means
    over frames; ``moments``: of the series, see :mod:`vivant.metrics.statistics`; ``settings``: fingerprint
    of how it was made; ``given``: of the files it was made from.
    """

    task: str
    case: str
    method: str
    person: str
    settings: str
    frames: int
    missing: int
    values: dict[str, float] = field(default_factory=dict)
    moments: dict[str, Moments] = field(default_factory=dict)
    given: str = ""

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What makes it the same measurement."""
        return self.task, self.case, self.method, self.settings


def whole_crop(image: np.ndarray, landmarks: np.ndarray) -> FaceCrop:
    """A picture that already is a crop, as a crop."""
    return FaceCrop(image, landmarks, np.eye(2, 3), (image.shape[0], image.shape[1]))


def resized(image: np.ndarray, size: int) -> np.ndarray:
    """(size, size, 3); area average when smaller, bilinear when larger.

    Raises:
        MediaError: the picture is not square.
    """
    import cv2

    if image.shape[0] != image.shape[1]:
        raise MediaError(
            f"A frame of {image.shape[1]}x{image.shape[0]} is not a square face crop: crop the clips first."
        )
    if image.shape[0] == size:
        return image
    way = cv2.INTER_AREA if image.shape[0] > size else cv2.INTER_LINEAR
    return cv2.resize(image, (size, size), interpolation=way)


def detect(images: Iterable[np.ndarray], finder: Finder) -> Take:
    """Find the largest face of every picture."""
    kept = list(images)
    faces = [finder.find(image) for image in kept]
    return Take(kept, [found[0].landmarks if found else None for found in faces])


def read_take(path: Path, finder: Finder, protocol: Reading) -> Take:
    """Read every ``stride``-th frame of a clip (or a still) and find its faces."""
    from vivant.media.video import open_clip

    frames = islice(open_clip(path).frames, 0, protocol.frames * protocol.stride, protocol.stride)
    return detect((resized(frame, protocol.size) for frame in frames), finder)


def true_frames(source: FaceCrop, drivers: Sequence[FaceCrop | None], relative: bool) -> Iterator[np.ndarray]:
    """The true frames themselves: errors of zero, and how far the person's own frames lie from the source."""
    shown = source.image
    for driver in drivers:
        shown = shown if driver is None else driver.image
        yield shown


def still_frames(source: FaceCrop, drivers: Sequence[FaceCrop | None], relative: bool) -> Iterator[np.ndarray]:
    """The baseline "repeat the still"."""
    return repeat_still(source, len(drivers))


BASELINES: dict[str, Animator] = {
    "repeat the still": still_frames,
    "piecewise-affine warp told the true landmarks": mesh_warp,
}


def source_of(case: Case, driver: Take, finder: Finder, protocol: Reading) -> FaceCrop:
    """The picture to animate.

    Raises:
        FaceError: the portrait, or the first frame of the clip, has no face.
    """
    one = Reading(stride=1, frames=1, size=protocol.size)
    take = read_take(case.portrait, finder, one) if case.portrait else driver
    if not take.images or take.landmarks[0] is None:
        where = f"the portrait {case.portrait}" if case.portrait else f"the first frame of {case.driver}"
        raise FaceError(f"No face was found in {where}, so nothing can be animated: leave it out.")
    return whole_crop(take.images[0], take.landmarks[0])


def measure(
    task: Task, source: FaceCrop, result: Take, driver: Take, driver_motion: Motion
) -> tuple[int, int, dict[str, float], dict[str, Moments]]:
    """Score one result. Frame 0 of a self-reenactment is the source and is not scored.

    Returns:
        scored frames (the driver has a face), those without a face in the result, values, moments.
    """
    scored = np.flatnonzero(driver_motion.found)
    if task == "self":
        scored = scored[scored > 0]
    motion = read_motion([result.landmarks[i] for i in scored])
    true = driver_motion.part(scored)
    images = [result.images[i] for i in scored]
    identity = identity_distances(source, images, motion.landmarks)
    values = {"identity_distance": float(np.nanmean(identity)) if motion.found.any() else float("nan")}
    if task == "self":
        values |= absolute_errors(motion, true)
        pairs = [(image, driver.images[i]) for image, i in zip(images, scored)]
        for name, metric in (("psnr", capped_psnr), ("ssim", ssim), ("l1", l1)):
            values[name] = float(np.mean([metric(a, b) for a, b in pairs])) if pairs else float("nan")
    else:
        values["rotation_error"] = change_error(motion, true)
    return len(scored), int((~motion.found).sum()), values, series_moments(motion, true)


def run_case(
    case: Case,
    methods: dict[str, tuple[str, Animator]],
    finder: Finder,
    protocol: Reading,
    known: set[tuple[str, str, str, str]],
    sheet: Callable[[FaceCrop, Take, dict[str, list[np.ndarray]]], None] | None = None,
) -> Iterator[Record]:
    """Measure every method on one case that is not among the ``known`` keys.

    ``methods``: {name: (settings, animator)}. ``sheet`` receives the source, the driver and the results of all methods.

    Raises:
        FaceError: nothing to animate, see :func:`source_of`. MediaError: a method gave too few frames.
    """
    todo = {name: made for name, made in methods.items() if (case.task, case.id, name, made[0]) not in known}
    if not todo:
        return
    driver = read_take(case.driver, finder, protocol)
    source = source_of(case, driver, finder, protocol)
    motion, crops = read_motion(driver.landmarks), driver.crops()
    shown: dict[str, list[np.ndarray]] = {}
    for name, (settings, animator) in methods.items():
        if name not in todo and sheet is None:
            continue
        made = animator(source, crops, case.task == "cross")
        shown[name] = [resized(image, protocol.size) for image in made]
        if len(shown[name]) != len(crops):
            count = len(shown[name])
            raise MediaError(
                f"'{name}' gave {count} frames for {len(crops)} of {case.driver}: it must give one for each."
            )
        if name in todo:
            scores = measure(case.task, source, detect(shown[name], finder), driver, motion)
            yield Record(case.task, case.id, name, case.person, settings, *scores, given=case.given)
    if sheet is not None:
        sheet(source, driver, shown)


def record_line(record: Record) -> str:
    """A record as one line of JSON; undefined numbers are null."""
    row: dict[str, Any] = {key: getattr(record, key) for key in record.__dataclass_fields__}
    row["values"] = {key: value if np.isfinite(value) else None for key, value in record.values.items()}
    row["moments"] = {key: [m.count, m.xx, m.yy, m.xy] for key, m in record.moments.items()}
    return json.dumps(row)


def parse_record(line: str) -> Record:
    """The inverse of :func:`record_line`."""
    row = json.loads(line)
    row["values"] = {key: float("nan") if value is None else value for key, value in row["values"].items()}
    row["moments"] = {key: Moments(*numbers) for key, numbers in row["moments"].items()}
    return Record(**row)


def read_records(path: str | os.PathLike[str]) -> list[Record]:
    """Records kept by an earlier run, none if there is no file; a last line cut off by a crash is left
    out.
    """
    if not Path(path).is_file():
        return []
    records = []
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        try:
            records.append(parse_record(line))
        except (ValueError, TypeError, KeyError):
            continue
    return records
