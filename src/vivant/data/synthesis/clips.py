"""One job becomes files: the clip, its training labels, its truth, and the row of the manifest."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vivant.core.facemesh import TRAINING_POINTS
from vivant.data.ingest import label, standard_face
from vivant.data.manifest import Row
from vivant.data.synthesis.backgrounds import draw_background
from vivant.data.synthesis.curves import smooth_step
from vivant.data.synthesis.people import Person
from vivant.data.synthesis.plan import Job, job_seed
from vivant.data.synthesis.random_motion import START
from vivant.data.synthesis.takes import Take
from vivant.data.synthesis.truth import Collected, write_arrays
from vivant.rig.limits import common_reach, within_reach
from vivant.rig.motion import RigMotion, expression_rows
from vivant.rig.visemes import resting_mouth

if TYPE_CHECKING:
    from vivant.rig.build import PhotoRig

CLIPS, ROWS = "clips", "rows"
MOST = {"mouthSmile": 0.85, "mouthUpperUp": 0.6, "mouthLowerDown": 0.8, "jawOpen": 0.62, "mouthFunnel": 0.7}
"""Largest sum of the still's own unit and the motion: beyond, invented gums and stretched teeth show."""


@dataclass(frozen=True)
class Style:
    """How clips are drawn and written. ``size``: side in pixels; ``quality``: constant rate factor; ``backgrounds``:
    share of clips with a new background; ``group``: of the manifest's rows; ``truth``: write the large file, too."""

    size: int = 256
    quality: int = 18
    supersample: int = 2
    backgrounds: float = 0.25
    group: str = "rig"
    truth: bool = True
    device: str = "auto"


def row_path(out: Path, clip: str) -> Path:
    """Where the row of a finished clip is; it is written last."""
    return out / ROWS / f"{clip}.json"


def motion_for(take: Take, rig: PhotoRig, cast: tuple[Person, ...]) -> RigMotion:
    """The take's motion for this rig: within everybody's reach; from closed lips where somebody talks; and no more of
    a smile or an open mouth than a face can do, what the still shows included."""
    motion = within_reach(take.motion, common_reach([person.reach for person in cast]))
    own = np.asarray(rig.fit.expression, np.float32)
    expression = motion.expression.copy()
    if take.talking:
        rest = resting_mouth(own)
        fade = smooth_step(np.arange(len(motion)) / float(motion.fps) / START)
        expression += fade[:, None].astype(np.float32) * rest
        own = own + rest
    for name, most in MOST.items():
        for row in expression_rows(name):
            expression[:, row] = np.minimum(expression[:, row], max(0.0, most - own[row]))
    return replace(motion, expression=expression)


def render_clip(job: Job, take: Take, rig: PhotoRig, out: Path, style: Style, seed: int) -> Row:
    """Draw the clip and write its files; the row comes last, so a clip with a row is whole.

    Raises:
        VivantError: the disk is full, or the rig refuses the motion.
    """
    from vivant.media.writer import VideoWriter

    motion = motion_for(take, rig, job.cast)
    rng = np.random.default_rng(job_seed(job, seed))
    background = draw_background(rng, style.size) if rng.random() < style.backgrounds else None
    folder = out / CLIPS
    folder.mkdir(parents=True, exist_ok=True)
    video, known = folder / f"{job.id}.mp4", Collected.empty()
    frames = rig.render(motion, style.size, style.supersample, background, device=style.device)
    with VideoWriter(video, motion.fps, (style.size, style.size), take.audio, style.quality, threads=1) as writer:
        for frame in frames:
            writer.write(frame.image)
            known.add(frame)
    arrays = known.arrays(motion, take.phones)
    write_arrays(folder / f"{job.id}.npz", training_labels(arrays["landmarks"] / np.float64(64), style.size))
    if style.truth:
        write_arrays(folder / f"{job.id}.truth.npz", arrays)
    row = _row(job, take, len(motion), style)
    write_row(out, row)
    return row


def training_labels(landmarks: np.ndarray, size: int) -> dict[str, np.ndarray]:
    """Labels that ``vivant train`` reads, all of them trusted. ``landmarks``: (F, 478, 3) in pixels, 0 in the middle of
    the first one."""
    unit = landmarks * (2 / size)
    unit[..., :2] += 1 / size - 1
    return label(unit, standard_face(), np.array(TRAINING_POINTS))


def _row(job: Job, take: Take, frames: int, style: Style) -> Row:
    licences = [part for part in (job.person.licence or "unknown", take.licence) if part]
    credits_ = [part for part in (job.person.credit, take.credit) if part]
    name = f"{CLIPS}/{job.id}"
    return Row(
        id=job.id, person=job.person.id, split=job.split, kind="clip", group=style.group, frames=frames,
        fps=float(take.motion.fps), size=style.size, labels=f"{name}.npz", source=job.person.file,
        licence=" AND ".join(dict.fromkeys(licences)), credit="; ".join(dict.fromkeys(credits_)), video=f"{name}.mp4",
        take=f"{style.group}-{job.take:06d}", truth=f"{name}.truth.npz" if style.truth else "", motion=take.kind,
        sound=take.audio is not None, text=take.text,
    )  # fmt: skip


def write_row(out: Path, row: Row) -> None:
    """Keep a row by itself until the manifest is written."""
    path = row_path(out, row.id)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(asdict(row)), encoding="utf-8")
    os.replace(part, path)


def finished_rows(out: Path) -> Iterator[Row]:
    """Rows of all finished clips, in order of id."""
    from vivant.data.manifest import parse_row

    for path in sorted((out / ROWS).glob("*.json")):
        yield parse_row(json.loads(path.read_text(encoding="utf-8")), str(path))
