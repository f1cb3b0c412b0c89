"""Speaking faces with their sound and labels: the data that V-Express `lite` learns from.

    python tools/prepare_talking_clips.py DATA OUT [--grid-clips 120] [--rig-clips 200]

DATA holds `grid/{s1,others}/` and `rig/{random,replay}/`; OUT becomes a data set (docs/training.md): manifest.jsonl,
256 px clips at 25 frames a second, with sound where there is some, and labels. Faces of GRID are tracked; rendered
clips bring exact landmarks. Held out ("test") are stills and speakers as in prepare_lite_data.py, and every 20th clip
of s1; what a held-out speaker says by a still of training is left out, so that a rendered person is in one split only
and `vivant synthesize` can add clips. What exists already is not made again.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from prepare_lite_data import GRID, MIT, TEST_SPEAKERS, crops, held_out
from tqdm import tqdm

from vivant.core.errors import VivantError
from vivant.core.facemesh import FACE_POINTS, TRAINING_POINTS
from vivant.data.ingest import CROP_SIZE, label, standard_face
from vivant.data.labels import Labels, write_labels
from vivant.data.manifest import Row, write_manifest
from vivant.media.audio import read_audio
from vivant.media.video import open_clip
from vivant.media.writer import VideoWriter

QUALITY = 20


def grid_clip(path: Path, out: Path, test: bool) -> Row | str:
    """Track, crop and write one clip of GRID; a clip that cannot be used gives its reason."""
    name = f"grid_{path.stem}"
    video, labels = out / "clips" / f"{name}.mp4", out / "clips" / f"{name}.npz"
    if not labels.exists():  # written last, so an interrupted run goes on where it was
        try:
            frames, landmarks = crops(path, 1, whole=False)
        except VivantError as error:
            return f"{path.name}: {error}"
        with VideoWriter(video, open_clip(path).fps, audio=read_audio(path), quality=QUALITY) as writer:
            for frame in frames:
                writer.write(frame)
        np.savez_compressed(labels, **label(landmarks, standard_face(), np.array(FACE_POINTS)))
    count = len(np.load(labels)["scale"])
    person = "s1" if path.parent.name == "s1" else path.stem
    return _row(name, person, "test" if test or person in TEST_SPEAKERS else "train", "grid", path, GRID, count)


def of_one_split(path: Path) -> bool:
    """Whether still and speaker of a replay are for the same split, or the still, which decides, is held out."""
    driver, _, still = path.stem.rpartition("__")
    return held_out(still) or driver not in TEST_SPEAKERS


def rendered_clip(path: Path, out: Path, group: str) -> Row:
    """Copy one rendered clip; its landmarks are known."""
    name = f"{group}_{path.stem}"
    video, labels = out / "clips" / f"{name}.mp4", out / "clips" / f"{name}.npz"
    known = np.load(path.with_suffix(".npz"))["landmarks_px"].astype(np.float32) / (CROP_SIZE / 2) - 1
    count = min(len(known), sum(1 for _ in open_clip(path).frames))
    if not labels.exists():
        video.write_bytes(path.read_bytes())
        points = np.array(FACE_POINTS)  # rendered clips know the first landmarks of TRAINING_POINTS, these among them
        landmarks = np.zeros((count, len(points), 3), np.float16)
        landmarks[:, :, :2] = known[:count, [TRAINING_POINTS.index(point) for point in FACE_POINTS]]
        weight = np.ones(len(points), np.float32)
        zero = partial(np.zeros, dtype=np.float32)
        neutral = np.zeros((len(points), 3), np.float16)
        pose = zero((count, 3)), np.ones(count, np.float32), zero((count, 2))
        write_labels(labels, Labels(landmarks, *pose, neutral, weight, points))
    still = path.stem.rpartition("__")[2]
    test = held_out(still)
    licence = (f"{MIT[0]} AND {GRID[0]}", f"{MIT[1]}; {GRID[1]}") if group == "replay" else MIT
    return _row(name, still, "test" if test else "train", group, path, licence, count)


def _row(
    name: str, person: str, split: str, group: str, path: Path, licence: tuple[str, str], count: int
) -> Row:  # fmt: skip
    return Row(
        id=name, person=person, split=split, kind="clip", group=group, source=path.name, licence=licence[0],
        credit=licence[1], frames=count, fps=25.0, size=CROP_SIZE,
        labels=f"clips/{name}.npz", video=f"clips/{name}.mp4",
    )  # fmt: skip


def main() -> None:
    """Parse arguments, make the clips, write the manifest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--grid-clips", type=int, default=120, help="clips of the speaker s1")
    parser.add_argument("--rig-clips", type=int, default=200, help="silent rendered clips")
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    (args.out / "clips").mkdir(parents=True, exist_ok=True)
    others = sorted((args.data / "grid" / "others").glob("*.mp4"))
    first = sorted((args.data / "grid" / "s1").glob("*.mp4"))
    first = first[:: max(1, len(first) // args.grid_clips)][: args.grid_clips]
    replays = [p for p in sorted((args.data / "rig" / "replay").glob("*.mp4")) if of_one_split(p)]
    rows = [rendered_clip(p, args.out, "replay") for p in tqdm(replays)]
    random = sorted((args.data / "rig" / "random").glob("*.mp4"))
    step = max(1, len(random) // max(1, args.rig_clips))
    rows += [rendered_clip(p, args.out, "rig") for p in tqdm(random[::step][: args.rig_clips])]
    jobs = [(path, False) for path in others] + [(path, i % 20 == 7) for i, path in enumerate(first)]
    with ProcessPoolExecutor(args.processes) as pool:
        work = [pool.submit(grid_clip, path, args.out, test) for path, test in jobs]
        for done in tqdm(work, desc="grid"):
            found = done.result()
            if isinstance(found, str):
                print(found)
            else:
                rows.append(found)
    write_manifest(args.out, sorted(rows, key=lambda row: row.id))
    print(f"{len(rows)} rows in {args.out}")


if __name__ == "__main__":
    main()
