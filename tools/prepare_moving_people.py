"""Filmed people with their poses, beside rendered ones: the data that Animate Anyone `lite` learns from.

    python tools/prepare_moving_people.py DATA OUT

DATA holds `gestures/*.mp4`; OUT becomes a data set, or, if it is one already (rendered people), gets the rows of the
filmed ones added (group `gestures`; every fifth video is held out, "test"). One square a video, 256 px, and labels
with `pose` (F, 128, 3): x and y in -1..1 of the square and the confidence. A video in which the person is lost is left
out and named.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from tqdm import tqdm

from vivant.controls.openpose import PoseTrack
from vivant.data.manifest import MANIFEST, Row, read_manifest, write_manifest
from vivant.media.video import open_clip
from vivant.media.writer import VideoWriter
from vivant.perception.body_tracking import follow_body
from vivant.pipelines.posed import person_crop

SIZE, QUALITY = 256, 18
CREDIT = "intel-iot-devkit/sample-videos"


def filmed_clip(path: Path, out: Path, test: bool) -> Row | str:
    """Follow, cut and write one video; a reason if the person is lost."""
    name = f"gestures_{path.stem}"
    clip = open_clip(path)
    frames = list(clip.frames)
    bodies = list(follow_body(frames))
    if any(body is None for body in bodies):
        return f"{path.name}: the person is lost in {sum(body is None for body in bodies)} of {len(frames)} frames"
    seen = [body for body in bodies if body is not None]
    boxes = np.stack([body.box for body in seen])
    box = np.concatenate([boxes[:, :2].min(0), boxes[:, 2:].max(0)]).astype(np.float32)
    track = PoseTrack(np.stack([body.keypoints for body in seen]), clip.fps, clip.size).smoothed()
    first = person_crop(frames[0], box, SIZE)
    pose = track.in_picture(first.to_frame, SIZE)
    np.savez_compressed(out / "clips" / f"{name}.npz", pose=pose.astype(np.float32))
    with VideoWriter(out / "clips" / f"{name}.mp4", clip.fps, quality=QUALITY) as writer:
        for frame in frames:
            writer.write(person_crop(frame, box, SIZE).image)
    return Row(
        id=name, person=path.stem, split="test" if test else "train", kind="clip", group="gestures", source=path.name,
        licence="CC-BY-4.0", credit=CREDIT, frames=len(frames), fps=float(clip.fps), size=SIZE,
        labels=f"clips/{name}.npz", video=f"clips/{name}.mp4",
    )  # fmt: skip


def main() -> None:
    """Parse arguments, make the clips, write the manifest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    (args.out / "clips").mkdir(parents=True, exist_ok=True)
    rows = read_manifest(args.out) if (args.out / MANIFEST).is_file() else []
    rows = [row for row in rows if row.group != "gestures"]
    for number, path in enumerate(tqdm(sorted((args.data / "gestures").glob("*.mp4")))):
        found = filmed_clip(path, args.out, number % 5 == 2)
        if isinstance(found, str):
            print(found)
        else:
            rows.append(found)
    write_manifest(args.out, rows)
    print(f"{len(rows)} rows in {args.out}")


if __name__ == "__main__":
    main()
