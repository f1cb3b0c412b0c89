"""How surely the scorers of `vivant curate` find faults that were planted.

    python tools/measure_curation.py DATA OUT [--clips 12] [--workers 2]

DATA holds `grid/{s1,others}/` (and `rig/random/` for turned heads). Clean clips of different people are taken, each
fault is planted in all of them, everything is scored, and a table says how many faults were found (recall), how many
clean clips were called faulty by the same rule, and the precision that follows for equal numbers of both.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vivant.core.clip import Audio
from vivant.core.engines import LocalEngine
from vivant.data.curate.alike import duplicate_groups
from vivant.data.curate.files import all_clips, write_json
from vivant.data.curate.plan import Settings, make_plan
from vivant.data.curate.rules import Rule
from vivant.data.curate.score import Done, Job, make_jobs, read_scores, run_job
from vivant.data.curate.scorers.base import DEFAULT
from vivant.data.curate.words import FPS, Work
from vivant.media.audio import read_audio
from vivant.media.video import open_clip
from vivant.media.writer import VideoWriter

RATE = 16_000
Frames = list[np.ndarray]
CUT_SLACK = 2  # frames that a found cut may be off


@dataclass
class Film:
    """A clip in memory: frames (H, W, 3) uint8 RGB and samples (N,)."""

    frames: Frames
    sound: np.ndarray | None
    quality: int = 16


Plant = Callable[[Film, Film, np.random.Generator], Film]


@dataclass(frozen=True)
class Fault:
    """What is planted, and the rules that must notice it."""

    name: str
    plant: Plant
    rules: tuple[Rule, ...] = field(default=())


def each(change: Callable[[np.ndarray], np.ndarray]) -> Plant:
    """A fault that changes every frame alike."""
    return lambda film, other, rng: Film([change(frame) for frame in film.frames], film.sound)


def blurred(frame: np.ndarray) -> np.ndarray:
    """A Gaussian of 2.5 pixels."""
    return cv2.GaussianBlur(frame, (0, 0), 2.5)


def enlarged(frame: np.ndarray) -> np.ndarray:
    """To 0.4 of its size and back."""
    height, width = frame.shape[:2]
    small = cv2.resize(frame, (round(width * 0.4), round(height * 0.4)), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def blocky(frame: np.ndarray) -> np.ndarray:
    """JPEG of quality 6."""
    _, data = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 6])
    return cv2.imdecode(data, cv2.IMREAD_COLOR)


def lit(factor: float) -> Callable[[np.ndarray], np.ndarray]:
    """All light times ``factor``."""
    return lambda frame: np.clip(frame.astype(np.float32) * factor, 0, 255).astype(np.uint8)


def captioned(frame: np.ndarray) -> np.ndarray:
    """A line of white letters with a black rim at the bottom."""
    picture = Image.fromarray(frame)
    size = round(0.055 * frame.shape[0])
    at = (round(0.08 * frame.shape[1]), round(0.9 * frame.shape[0]))
    font = ImageFont.load_default(size)
    text = "and that was the weather"
    ImageDraw.Draw(picture).text(at, text, "white", font, stroke_width=1, stroke_fill="black")
    return np.array(picture)


def beside(film: Film, other: Film, rng: np.random.Generator) -> Film:
    """A second person in the picture."""
    return Film([np.hstack(pair) for pair in zip(film.frames, other.frames)], film.sound)


def joined(film: Film, other: Film, rng: np.random.Generator) -> Film:
    """A cut to another person in the middle."""
    half = len(film.frames) // 2
    return Film(film.frames[:half] + other.frames[half:], film.sound)


def frozen(film: Film, other: Film, rng: np.random.Generator) -> Film:
    """From the first third on one frame."""
    third = len(film.frames) // 3
    return Film(film.frames[:third] + [film.frames[third]] * (len(film.frames) - third), film.sound)


def shifted(frames: int) -> Plant:
    """The sound later by ``frames`` (earlier if negative), its end at its beginning."""

    def plant(film: Film, other: Film, rng: np.random.Generator) -> Film:
        assert film.sound is not None
        return Film(film.frames, np.roll(film.sound, frames * RATE // FPS))

    return plant


def dubbed(film: Film, other: Film, rng: np.random.Generator) -> Film:
    """The sound of another clip."""
    return Film(film.frames, other.sound)


def silent(film: Film, other: Film, rng: np.random.Generator) -> Film:
    """No sound track."""
    return Film(film.frames, None)


def humming(film: Film, other: Film, rng: np.random.Generator) -> Film:
    """Three tones with a beat, and noise: no speech."""
    t = np.arange(len(film.frames) * RATE // FPS) / RATE
    tones = sum(np.sin(2 * np.pi * hertz * t + rng.uniform(0, 6)) for hertz in (220, 277, 330))
    beat = 0.5 + 0.5 * np.sign(np.sin(2 * np.pi * 2 * t))
    return Film(film.frames, (0.08 * tones * beat + 0.01 * rng.standard_normal(len(t))).astype(np.float32))


def copied(film: Film, other: Film, rng: np.random.Generator) -> Film:
    """The same recording again: cut shorter, smaller, brighter, compressed."""
    height, width = film.frames[0].shape[:2]
    size = (round(width * 0.8) // 2 * 2, round(height * 0.8) // 2 * 2)
    frames = [lit(1.1)(cv2.resize(frame, size, interpolation=cv2.INTER_AREA)) for frame in film.frames[10:]]
    return Film(frames, None if film.sound is None else film.sound[10 * RATE // FPS :], 30)


FAULTS = (
    Fault("cut", joined),
    Fault("duplicate", copied),
    Fault("two faces", beside, (Rule("faces.most", max=1),)),
    Fault("blur", each(blurred), (Rule("sharpness.blur", max=0.55),)),
    Fault("enlarged 2.5 times", each(enlarged), (Rule("resolution.effective", min=90),)),
    Fault("blocks of JPEG", each(blocky), (Rule("sharpness.blocks", max=1.35),)),
    Fault("caption", each(captioned), (Rule("text.overlay", max=0.004),)),
    Fault("too dark", each(lit(0.15)), (Rule("exposure.mean", min=40),)),
    Fault("too bright", each(lit(2.0)), (Rule("exposure.bright", max=0.15), Rule("exposure.mean", max=220))),
    Fault("frozen", frozen, (Rule("motion.still", max=0.5),)),
    Fault("no sound", silent, (Rule("sound.present", min=1),)),
    Fault("no speech", humming, (Rule("speech.share", min=0.3),)),
    Fault("sound 10 frames early", shifted(-10), (Rule("sync.offset_size", max=3),)),
    Fault("sound 10 frames late", shifted(10), (Rule("sync.offset_size", max=3),)),
    Fault("sound of another clip", dubbed, (Rule("sync.confidence", min=1.0), Rule("sync.offset_size", max=3))),
)


def chosen(data: Path, count: int) -> list[Path]:
    """Clips of all other speakers, then clips of s1 in even steps."""
    others = sorted((data / "grid" / "others").glob("*.mp4"))
    s1 = sorted((data / "grid" / "s1").glob("*.mp4"))
    rest = max(0, count - len(others))
    return (others + s1[:: max(1, len(s1) // max(rest, 1))][:rest])[:count]


def read(path: Path) -> Film:
    """A clip into memory."""
    return Film(list(open_clip(path, FPS).frames), read_audio(path, RATE, mono=True).samples[:, 0])


def write(film: Film, path: Path) -> None:
    """A clip to a file, unless it is there already."""
    if path.exists():
        return
    audio = None if film.sound is None else Audio(film.sound[:, None], RATE)
    with VideoWriter(path, FPS, audio=audio, quality=film.quality) as writer:
        for frame in film.frames:
            writer.write(frame)


def plant_all(paths: Sequence[Path], out: Path) -> None:
    """Write the clean clips and every fault in each."""
    rng = np.random.default_rng(0)
    films = [read(path) for path in paths]
    for number, film in enumerate(films):
        other = films[(number + len(films) // 2) % len(films)]
        write(film, out / f"clean_{number:03d}.mp4")
        for fault in FAULTS:
            write(fault.plant(film, other, rng), out / f"{fault.name.replace(' ', '-')}_{number:03d}.mp4")


def score(videos: Path, work: Work, workers: int, scorers: Sequence[str]) -> None:
    """Cut and score all videos."""
    make_plan(work, [videos], Settings(shortest=20))

    def lost(job: Job, why: str) -> Done:
        return Done(job.source.id, problem=why)

    for done in LocalEngine(workers).run(run_job, make_jobs(work, scorers), lost):
        if done.problem:
            print(done.source, done.problem)


def by_video(work: Work) -> dict[str, list[tuple[int, int, dict]]]:
    """Video name -> its clips: first frame, frames, scores."""
    found: dict[str, list] = {}
    for source, clip in all_clips(work):
        found.setdefault(Path(source.path).stem, []).append((clip.start, clip.frames, read_scores(work, clip)))
    return found


def called(rules: Sequence[Rule], clips: Sequence[tuple[int, int, dict]]) -> bool:
    """Whether any rule turns a clip of the video away."""
    return any(rule.verdict(scores) for _, _, scores in clips for rule in rules)


def cut_found(clips: Sequence[tuple[int, int, dict]], length: int = 75) -> bool:
    """Whether clips begin and end at the middle, and none lies across it."""
    middle = length // 2
    return len(clips) == 2 and all(
        abs(start - middle) <= CUT_SLACK or abs(start + frames - middle) <= CUT_SLACK for start, frames, _ in clips
    )


def judge(found: dict[str, list], count: int) -> Iterator[dict]:
    """A row of the table for every fault."""
    clean = [found.get(f"clean_{number:03d}", []) for number in range(count)]
    for fault in FAULTS:
        bad = [found.get(f"{fault.name.replace(' ', '-')}_{number:03d}", []) for number in range(count)]
        if fault.name == "cut":
            hits, wrong = sum(map(cut_found, bad)), sum(len(clips) != 1 for clips in clean)
        elif fault.name == "duplicate":
            scores = [clips[0][2] for clips in (*clean, *bad)]
            groups = duplicate_groups(scores)
            hits = sum({number, number + count} in groups for number in range(count))
            wrong = sum(len({member % count for member in group}) > 1 for group in groups)
        else:
            hits = sum(not clips or called(fault.rules, clips) for clips in bad)
            wrong = sum(called(fault.rules, clips) for clips in clean)
        rule = " or ".join(
            f"`{r.score}` {'<' if r.max is None else '>'} {r.min if r.max is None else r.max:g}" for r in fault.rules
        )
        yield {"fault": fault.name, "rule": rule or "-", "found": hits, "wrong": wrong, "of": count}


def main() -> None:
    """Parse arguments, plant, score, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--clips", type=int, default=12)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--without", default="", help="scorers to leave out, separated by commas")
    args = parser.parse_args()
    videos, work = args.out / "videos", Work(args.out / "work")
    videos.mkdir(parents=True, exist_ok=True)
    plant_all(chosen(args.data, args.clips), videos)
    left_out = set(args.without.split(","))
    score(videos, work, args.workers, [name for name in DEFAULT if name not in left_out])
    rows = list(judge(by_video(work), args.clips))
    write_json(args.out / "precision.json", rows)
    print("| planted fault | rule | found | clean clips called so | precision |\n|---|---|---|---|---|")
    for row in rows:
        share = row["found"] / max(1, row["found"] + row["wrong"])
        counts = f"{row['found']} of {row['of']} | {row['wrong']} of {row['of']}"
        print(f"| {row['fault']} | {row['rule']} | {counts} | {share:.2f} |")


if __name__ == "__main__":
    main()
