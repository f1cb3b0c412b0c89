"""A small test set of speaking faces with sound, from what training never sees, for `vivant evaluate method`.

    python tools/talking_test_set.py DATA OUT [--replays 12] [--long 4]

Groups: `speaker` (held-out GRID speakers, with sound), `replay` (held-out stills that replay a GRID clip, with its
sound), and `long`: a held-out still shown for a minute beside a minute of held-out speech, to see drift. The clips of
`long` do not move: there is no true video of them.
"""

from __future__ import annotations

import argparse
import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
from prepare_lite_data import GRID, MIT, TEST_SPEAKERS, held_out

from vivant.core.clip import Audio
from vivant.core.speech import SPEECH_RATE
from vivant.data.manifest import Row, write_manifest
from vivant.media.audio import read_audio
from vivant.media.image import read_image
from vivant.media.video import open_clip
from vivant.media.writer import VideoWriter

FPS = 25
LONG_SECONDS = 60


def row(path: Path, group: str, person: str, licence: tuple[str, str]) -> Row:
    """The manifest's row of a clip in the folder."""
    clip = open_clip(path)
    return Row(
        id=f"{group}_{path.stem}", person=person, split="test", kind="clip", group=group, frames=clip.count or 1,
        fps=float(clip.fps), size=min(clip.size), labels="", source=path.name, licence=licence[0], credit=licence[1],
        video=path.name,
    )  # fmt: skip


def main() -> None:
    """Parse arguments and make the folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--replays", type=int, default=12)
    parser.add_argument("--long", type=int, default=4)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    speakers = [p for p in sorted((args.data / "grid" / "others").glob("*.mp4")) if p.stem in TEST_SPEAKERS]
    replays = [p for p in sorted((args.data / "rig" / "replay").glob("*.mp4")) if held_out(p.stem.rpartition("__")[2])]
    rows = []
    for group, paths in (("speaker", speakers), ("replay", replays[: args.replays])):
        for path in paths:
            target = args.out / path.name
            shutil.copyfile(path, target)
            person = path.stem.rpartition("__")[2] if group == "replay" else path.stem
            rows.append(row(target, group, person, GRID if group == "speaker" else ("MIT AND CC-BY-4.0", MIT[1])))
    heard = np.concatenate([read_audio(path, SPEECH_RATE, mono=True).samples[:, 0] for path in speakers])
    sound = np.resize(heard, LONG_SECONDS * SPEECH_RATE)
    stills = [p for p in sorted((args.data / "stills").glob("*.jpg")) if held_out(p.stem)]
    for path in stills[:: max(1, len(stills) // max(1, args.long))][: args.long]:
        picture, target = read_image(path), args.out / f"long_{path.stem}.mp4"
        with VideoWriter(target, Fraction(FPS), audio=Audio(sound[:, None], SPEECH_RATE)) as writer:
            for _ in range(LONG_SECONDS * FPS):
                writer.write(picture)
        rows.append(row(target, "long", path.stem, MIT))
    write_manifest(args.out, rows)
    size = sum(file.stat().st_size for file in args.out.iterdir()) / 2**20
    print(f"{len(rows)} clips, {size:.1f} MiB in {args.out}")


if __name__ == "__main__":
    main()
