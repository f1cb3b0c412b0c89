"""Cut the lower faces and hear the sound of talking videos: the data that the sync net learns from.

    python tools/prepare_sync_data.py SOURCES OUT

SOURCES is a folder of videos with sound, one person a folder (the person is the name of the folder a video lies in; a
tenth of the people is held out), or the folder that the shipped weights come from: `grid/{s1,others}/` and
`rig/replay/`. Of that one the speakers of `prepare_lite_data.TEST_SPEAKERS`, every tenth clip of s1, the stills it
holds out, and every replay of a held-out clip are held out.
OUT becomes a data set: manifest.jsonl, and for each clip a grey video of 112 px at 25 frames a second and an `.npz`
with `mel` (T, 40) float16, 100 steps a second from the first frame on (vivant.perception.mfcc.log_mel). A clip without
a face or sound is named and left out. What exists already is not made again.
"""

from __future__ import annotations

import argparse
import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from prepare_lite_data import GRID, MIT, TEST_SPEAKERS, held_out
from tqdm import tqdm

from vivant.core.errors import VivantError
from vivant.data.manifest import Row, write_manifest
from vivant.media.audio import read_audio
from vivant.media.video import open_clip
from vivant.media.writer import VideoWriter
from vivant.metrics.sync import FPS
from vivant.metrics.sync_crops import find_speaker, lower_faces
from vivant.perception.mfcc import RATE, log_mel

SIZE = 112
MARGIN = 112 / 96  # more than the net sees, so that training can move and scale the crop
VIDEOS = (".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v")
SHARE = 10  # one in so many is held out


def prepare(path: Path, video: Path, labels: Path, quality: int) -> str | int:
    """Write one clip; returns its frames, or why it cannot be used."""
    if not labels.exists():  # written last, so that an interrupted run goes on where it was
        try:
            clip = open_clip(path, FPS)
            track = find_speaker(clip.frames)
            sound = read_audio(path, RATE, mono=True).samples[:, 0]
            start = track.start * RATE // FPS
            sound = sound[start : start + len(track) * RATE // FPS]
            with VideoWriter(video, FPS, quality=quality) as writer:
                for crop in lower_faces(clip.frames, track, SIZE, MARGIN):
                    writer.write(np.repeat(crop[..., None], 3, axis=2))
        except VivantError as error:
            return f"{path.name}: {error}"
        mel = log_mel(sound).astype(np.float16)
        np.savez_compressed(labels, mel=mel, frames=min(len(track), len(sound) * FPS // RATE))
    return int(np.load(labels)["frames"])


def our_clips(data: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    """The clips behind the shipped weights, and what their rows say."""
    s1 = sorted((data / "grid" / "s1").glob("*.mp4"))
    kept_back = TEST_SPEAKERS | {path.stem for path in s1[7::SHARE]}
    for path in s1 + sorted((data / "grid" / "others").glob("*.mp4")):
        group = path.parent.name
        person, split = "s1" if group == "s1" else path.stem, "test" if path.stem in kept_back else "train"
        yield path, {"group": group, "person": person, "split": split, "licence": GRID[0], "credit": GRID[1]}
    replay = {"group": "replay", "licence": f"{MIT[0]} AND {GRID[0]}", "credit": f"{MIT[1]}; {GRID[1]}"}
    for path in sorted((data / "rig" / "replay").glob("*.mp4")):
        driver, _, still = path.stem.rpartition("__")
        split = "test" if driver in kept_back or held_out(still) else "train"
        yield path, replay | {"person": still, "split": split}


def any_clips(data: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    """Every video below ``data``; the split follows from the person's name alone."""
    for path in sorted(path for path in data.rglob("*") if path.suffix.lower() in VIDEOS):
        person = path.parent.relative_to(data).as_posix()
        person = path.stem if person == "." else person
        draw = int(hashlib.sha256(person.encode()).hexdigest(), 16)
        yield path, {"group": "clip", "person": person, "split": "train" if draw % SHARE else "test"}


def one(job: tuple[Path, dict[str, str]], out: Path, quality: int) -> Row | str:
    """One clip as a row, or why it cannot be used."""
    path, values = job
    name = f"{values['group']}_{values['person'].replace('/', '_')}_{path.stem}"
    video, labels = f"clips/{name}.mp4", f"clips/{name}.npz"
    done = prepare(path, out / video, out / labels, quality)
    if isinstance(done, str):
        return done
    return Row(
        id=name, kind="clip", frames=done, fps=FPS, size=SIZE, labels=labels, video=video, source=path.name, **values
    )


def main() -> None:
    """Parse arguments, prepare everything, write the manifest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--quality", type=int, default=16, help="of the written videos, as x264's crf (default: 16)")
    parser.add_argument("--limit", type=int, help="take only so many clips, for a quick look")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    (args.out / "clips").mkdir(parents=True, exist_ok=True)
    jobs = list(our_clips(args.data) if (args.data / "grid").is_dir() else any_clips(args.data))[: args.limit]
    work = partial(one, out=args.out, quality=args.quality)
    with ProcessPoolExecutor(args.processes) as pool:
        done = list(tqdm(pool.map(work, jobs, chunksize=4), total=len(jobs)))
    print(*[problem for problem in done if isinstance(problem, str)], sep="\n")
    rows = [row for row in done if isinstance(row, Row)]
    write_manifest(args.out, sorted(rows, key=lambda row: row.id))
    print(f"{len(rows)} clips in {args.out}")


if __name__ == "__main__":
    main()
