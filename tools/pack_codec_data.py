"""Pack pictures for training the latent codec: stills, rendered clips, speakers, gestures, as JPEG in one file.

    python tools/pack_codec_data.py DATA OUT

DATA holds `stills/`, `grid/{s1,others}/`, `rig/{random,replay}/` and, if there, `gestures/`. OUT becomes a folder with
pack.safetensors of 256 px squares. Stills whose number is 7 modulo 20, and clips made from them, are kept for measuring
(split "test"), and so are the speakers that `tools/prepare_lite_data.py` keeps.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from prepare_lite_data import GRID, MIT, TEST_SPEAKERS, held_out
from tqdm import tqdm

from vivant.data.pack import PACK, PackRow, encode_frames, write_pack
from vivant.media.image import read_image
from vivant.media.video import open_clip

SIDE = 256
GESTURES = ("CC-BY-4.0", "intel-iot-devkit/sample-videos")


def square(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) to its middle square of SIDE pixels."""
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    cut = image[top : top + side, left : left + side]
    inter = cv2.INTER_AREA if side > SIDE else cv2.INTER_CUBIC
    return cut if side == SIDE else cv2.resize(cut, (SIDE, SIDE), interpolation=inter)


def spread(path: Path, count: int) -> Iterator[np.ndarray]:
    """`count` frames of a video, evenly apart."""
    clip = open_clip(path)
    frames = [square(frame) for frame in clip.frames]
    for at in np.linspace(0, len(frames) - 1, count + 2)[1:-1]:
        yield frames[round(at)]


def sources(data: Path, share: float) -> list[tuple[str, Path, int, Callable[[Path], bool], tuple[str, str]]]:
    """(group, file, frames to take, whether it is kept for measuring, licence and credit) of everything."""

    def rig_held(path: Path) -> bool:
        driver, _, still = path.stem.rpartition("__")
        return held_out(still) or driver in TEST_SPEAKERS

    def speaker_held(path: Path) -> bool:
        return path.stem in TEST_SPEAKERS

    found = [("still", p, 0, lambda p: held_out(p.stem), MIT) for p in sorted((data / "stills").glob("*.jpg"))]
    found += [("rig", p, 1, rig_held, MIT) for p in sorted((data / "rig" / "random").glob("*.mp4"))]
    both = ("MIT AND CC-BY-4.0", f"{MIT[1]}; {GRID[1]}")
    found += [("replay", p, 2, rig_held, both) for p in sorted((data / "rig" / "replay").glob("*.mp4"))]
    found += [("grid", p, 20, speaker_held, GRID) for p in sorted((data / "grid" / "others").glob("*.mp4"))]
    found += [("grid", p, 2, speaker_held, GRID) for p in sorted((data / "grid" / "s1").glob("*.mp4"))[::4]]
    gestures = sorted((data / "gestures").glob("*.mp4"))
    found += [("gesture", p, 12, lambda p: p.stem == "yes", GESTURES) for p in gestures]
    return found[:: max(1, round(1 / share))]


def main() -> None:
    """Parse arguments and pack."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--quality", type=int, default=90, help="of the JPEGs (default: 90)")
    parser.add_argument("--share", type=float, default=1.0, help="part of the sources, for a quick look")
    args = parser.parse_args()
    coded: list[bytes] = []
    rows: list[PackRow] = []
    for group, path, count, held, (licence, credit) in tqdm(sources(args.data, args.share)):
        frames = list(spread(path, count)) if count else [square(read_image(path))]
        person = path.stem.rpartition("__")[2] if group in ("rig", "replay") else path.parent.name
        coded += encode_frames(frames, args.quality)
        split = "test" if held(path) else "train"
        rows.append(PackRow(f"{group}_{path.stem}", person, split, group, len(frames), licence, credit))
    target = write_pack(args.out / PACK, coded, rows)
    print(f"{len(coded)} frames, {target.stat().st_size / 2**20:.1f} MiB in {target}")


if __name__ == "__main__":
    main()
