"""Label the clips and stills that train the shipped `lite` preset: GRID clips, stills, photo-rig clips.

    python tools/prepare_lite_data.py DATA OUT [--grid-clips 120] [--groups still,grid]

DATA holds `stills/`, `grid/{s1,others}/`, `rig/{random,replay}/`; OUT becomes a data set: manifest.jsonl, clips,
stills, labels. OUT may be a folder that `vivant synthesize` fills, too.
Held out of training ("test"): stills whose number is 7 modulo 20 and every rig clip made from them; GRID speakers
named in TEST_SPEAKERS and every rig clip that replays them.
"""

from __future__ import annotations

import argparse
import re
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from vivant.core.errors import VivantError
from vivant.core.face import Face
from vivant.core.facemesh import TRAINING_POINTS
from vivant.data.ingest import CROP_SIZE, Square, full_track, label, square_around, standard_face
from vivant.data.manifest import Row, merge_manifest
from vivant.media.image import read_image, write_image
from vivant.media.video import open_clip
from vivant.media.writer import VideoWriter
from vivant.perception.faces import FaceFinder
from vivant.perception.tracking import follow

TEST_SPEAKERS = {"lbax4n", "swiz3n", "lwbsza", "971f60649b", "id2_vcd_swwp2s", "pwij3p"}
MIT = ("MIT", "David Beniaguev, SFHQ and SFHQ-T2I data sets")
GRID = ("CC-BY-4.0", "GRID corpus, Cooke, Barker, Cunningham, Shao, JASA 120(5), 2006")


def held_out(name: str) -> bool:
    """Whether a still or clip is kept for measuring: its number is 7 modulo 20; one without a number is not."""
    digits = re.sub(r"\D", "", name)
    return bool(digits) and int(digits) % 20 == 7


def crops(path: Path, stride: int, whole: bool) -> tuple[list[np.ndarray], np.ndarray]:
    """256x256 frames of a clip and their landmarks in -1..1. `whole`: the clip is a crop already."""
    clip = open_clip(path)
    frames = [f for i, f in enumerate(clip.frames) if i % stride == 0]
    landmarks = full_track(follow(frames))
    height, width = clip.size
    square = Square(0, 0, width) if whole else square_around(landmarks, height, width)
    cut = frames if whole else [square.cut(f) for f in frames]
    return cut, square.normalise(landmarks)


def one_clip(path: Path, out: Path, keep: np.ndarray, group: str, stride: int) -> Row | str:
    """Label one clip and write it; a clip that cannot be used gives its reason."""
    rig = group in ("rig", "replay")
    name = f"{group}_{path.stem}"
    target, labels_file = out / "clips" / f"{name}.mp4", out / "clips" / f"{name}.npz"
    fps = float(open_clip(path).fps / stride)
    if not labels_file.exists():  # the labels are written last, so an interrupted run goes on where it was
        try:
            frames, landmarks = crops(path, stride, whole=rig)
            exact = None
            if rig:
                known = np.load(path.with_suffix(".npz"))["landmarks_px"].astype(np.float64)[: len(frames)]
                exact = (keep[: known.shape[1]], known / 128 - 1)
            labels = label(landmarks, standard_face(), keep, exact)
        except VivantError as error:
            return f"{path.name}: {error}"
        if rig:
            target.write_bytes(path.read_bytes())
        else:
            with VideoWriter(target, fps, quality=14) as writer:
                for frame in frames:
                    writer.write(frame)
        np.savez_compressed(labels_file, **labels)
    count = len(np.load(labels_file)["scale"])
    driver, _, still = path.stem.rpartition("__")
    person = still if rig else ("s1" if path.parent.name == "s1" else path.stem)
    test = held_out(still) if rig else False
    test = test or driver in TEST_SPEAKERS or person in TEST_SPEAKERS
    licence, credit = MIT if group == "rig" else GRID
    if group == "replay":
        licence, credit = "MIT AND CC-BY-4.0", f"{MIT[1]}; {GRID[1]}"
    return Row(
        id=name, person=person, split="test" if test else "train", kind="clip", group=group, source=path.name,
        licence=licence, credit=credit, frames=count, fps=fps, size=CROP_SIZE,
        labels=f"clips/{name}.npz", video=f"clips/{name}.mp4",
    )  # fmt: skip


def find_still(path: Path) -> tuple[Path, np.ndarray, Face] | str:
    """The still's crop and its face."""
    image = read_image(path)
    faces = FaceFinder(threads=1).find(image)
    if not faces:
        return f"{path.name}: no face"
    return path, image, faces[0]


def stills(folder: Path, out: Path, keep: np.ndarray, pool: ProcessPoolExecutor) -> list[Row]:
    """Crop and label all stills."""
    found = list(tqdm(pool.map(find_still, sorted(folder.glob("*.jpg")), chunksize=16), desc="stills"))
    good = [f for f in found if not isinstance(f, str)]
    print(*[f for f in found if isinstance(f, str)], sep="\n")
    squares = [square_around(face.landmarks[None], *image.shape[:2]) for _, image, face in good]
    shapes = np.stack([s.normalise(face.landmarks) for s, (_, _, face) in zip(squares, good)])
    rows = []
    for square, shape, (path, image, _) in zip(squares, shapes, good):
        np.savez_compressed(out / "stills" / f"{path.stem}.npz", **label(shape[None], standard_face(), keep))
        write_image(out / "stills" / f"{path.stem}.jpg", square.cut(image))
        rows.append(
            Row(
                id=path.stem, person=path.stem, split="test" if held_out(path.stem) else "train", kind="still",
                group="still", source=path.name, licence=MIT[0], credit=MIT[1], frames=1, fps=25.0,
                size=CROP_SIZE, labels=f"stills/{path.stem}.npz", image=f"stills/{path.stem}.jpg",
            )
        )  # fmt: skip
    return rows


def main() -> None:
    """Parse arguments, label everything, write the manifest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--grid-clips", type=int, default=120)
    parser.add_argument("--groups", default="still,grid,rig,replay", help="which to prepare")
    parser.add_argument("--limit", type=int, default=None, help="clips per group, for a quick look")
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    for folder in ("clips", "stills"):
        (args.out / folder).mkdir(parents=True, exist_ok=True)
    keep = np.array(TRAINING_POINTS)
    with ProcessPoolExecutor(args.processes) as pool:
        wanted = args.groups.split(",")
        rows = stills(args.data / "stills", args.out, keep, pool) if "still" in wanted else []
        groups = [
            ("grid", sorted((args.data / "grid" / "others").glob("*.mp4")), 1),
            ("grid", sorted((args.data / "grid" / "s1").glob("*.mp4"))[:: max(1, 640 // args.grid_clips)], 2),
            ("rig", sorted((args.data / "rig" / "random").glob("*.mp4")), 1),
            ("replay", sorted((args.data / "rig" / "replay").glob("*.mp4")), 1),
        ]
        for group, paths, stride in (each for each in groups if each[0] in wanted):
            job = partial(one_clip, out=args.out, keep=keep, group=group, stride=stride)
            for done in tqdm(
                pool.map(job, paths[: args.limit], chunksize=4), total=len(paths[: args.limit]), desc=group
            ):
                if isinstance(done, str):
                    print(done)
                else:
                    rows.append(done)
    merged = merge_manifest(args.out, rows)
    print(f"{len(rows)} rows, with those that were there before {len(merged)} in {args.out}")


if __name__ == "__main__":
    main()
