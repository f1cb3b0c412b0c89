"""Pack speaking faces for training methods that listen: face crops as movies, speech features, mouth boxes.

    python tools/pack_talking_data.py DATA OUT [--speaker-clips 190] [--side 128]

DATA holds `grid/{s1,others}/` and `rig/replay/`. OUT becomes a folder with pack.safetensors. Each clip has one fixed
upright square around the face, framed as `vivant animate` frames a portrait. Arrays a frame: `mouth` (4,) x0 y0 x1 y1
in pixels of the square; `mel` (4, 80) and `whisper-tiny-en` (2, 384), what Whisper's last block says, both int8 in
units of `table.<name>`. Replayed stills whose number is 7 modulo 20, and the speakers that
`tools/prepare_lite_data.py` keeps, are kept for measuring (split "test").
"""

from __future__ import annotations

import argparse
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from prepare_lite_data import GRID, MIT, TEST_SPEAKERS, held_out
from tqdm import tqdm

from vivant.controls.crop import crop_window
from vivant.controls.speech import read_speech
from vivant.core.errors import VivantError
from vivant.data.ingest import full_track
from vivant.data.pack import PACK, PackRow, write_pack
from vivant.media.video import open_clip
from vivant.media.writer import VideoWriter
from vivant.perception.faces import FaceFinder
from vivant.perception.tracking import follow

SCALE, SHIFT = 1.3, -0.02  # as methods.diffused_heads.config frames a portrait
FPS = Fraction(25)
LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
LAST = 384  # numbers of Whisper tiny.en's last block, the end of each step
ENCODERS = ("mel", "whisper-tiny-en")


@dataclass
class Packed:
    """One clip ready to be written."""

    row: PackRow
    movie: bytes
    mouth: np.ndarray
    mel: np.ndarray
    whisper: np.ndarray


def one(path: Path, group: str, lips: np.ndarray | None, side: int, quality: int) -> Packed | str:
    """Crop one clip, listen to it, code it; a clip that cannot be used gives its reason."""
    cv2.setNumThreads(1)
    try:
        frames = list(open_clip(path).frames)
        if lips is None:
            landmarks = full_track(follow(frames))
            window, mouths = np.median(landmarks, axis=0), landmarks[:, list(LIPS), :2]
        else:
            finder = FaceFinder(threads=1)
            seen = [found[0].landmarks for frame in frames[::20] if (found := finder.find(frame))]
            window, mouths = np.median(seen, axis=0), lips
        speech = read_speech(path, FPS, ENCODERS)
    except (VivantError, ValueError) as error:
        return f"{path.name}: {error}"
    count = min(len(frames), len(mouths), len(speech))
    to_crop = crop_window(window, SCALE, SHIFT, "mesh").to_crop(side, rotate=True)
    boxes = mouths[:count] @ to_crop[:, :2].T + to_crop[:, 2]
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "clip.mp4"
        with VideoWriter(target, FPS, quality=quality) as writer:
            for frame in islice(frames, count):
                writer.write(shrink(frame, to_crop, side))
        movie = target.read_bytes()
    driver, _, still = path.stem.rpartition("__")
    replay = group == "replay"
    test = (replay and held_out(still)) or driver in TEST_SPEAKERS or path.stem in TEST_SPEAKERS
    licence, credit = ("MIT AND CC-BY-4.0", f"{MIT[1]}; {GRID[1]}") if replay else GRID
    person = still if replay else ("s1" if path.parent.name == "s1" else path.stem)
    row = PackRow(f"{group}_{path.stem}", person, "test" if test else "train", group, count, licence, credit)
    features = speech.features
    whisper = np.asarray(features["whisper-tiny-en"][:count])[..., -LAST:]
    mouth = np.concatenate([boxes.min(1), boxes.max(1)], 1).astype(np.float16)
    return Packed(row, movie, mouth, np.asarray(features["mel"][:count]), whisper)


def shrink(frame: np.ndarray, to_crop: np.ndarray, side: int) -> np.ndarray:
    """The square, cut at twice the size and averaged, so that fine detail does not alias."""
    twice = np.array([[2.0, 0, 0.5], [0, 2.0, 0.5]])
    matrix = np.column_stack([twice[:, :2] @ to_crop[:, :2], twice[:, :2] @ to_crop[:, 2] + twice[:, 2]])
    cut = cv2.warpAffine(frame, matrix, (2 * side, 2 * side), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return cv2.resize(cut, (side, side), interpolation=cv2.INTER_AREA)


def jobs(data: Path, speaker_clips: int, limit: int | None) -> list[tuple[Path, str, np.ndarray | None]]:
    """(file, group, exact lips or None) of every clip."""
    keys = list(np.load(data / "rig" / "landmark_keys.npy"))
    rows = [keys.index(point) for point in LIPS]
    own = sorted((data / "grid" / "s1").glob("*.mp4"))
    found: list[tuple[Path, str, np.ndarray | None]] = [
        (path, "grid", None) for path in own[:: max(1, len(own) // max(1, speaker_clips))][:speaker_clips]
    ]
    found += [(path, "others", None) for path in sorted((data / "grid" / "others").glob("*.mp4"))]
    for path in sorted((data / "rig" / "replay").glob("*.mp4")):
        found.append((path, "replay", np.load(path.with_suffix(".npz"))["landmarks_px"][:, rows].astype(np.float64)))
    return found[:: max(1, len(found) // limit)] if limit else found


def main() -> None:
    """Parse arguments and pack."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--speaker-clips", type=int, default=190, help="clips of the one speaker (default: 190)")
    parser.add_argument("--side", type=int, default=128, help="of the squares in pixels (default: 128)")
    parser.add_argument("--quality", type=int, default=17, help="x264 rate factor of the clips (default: 17)")
    parser.add_argument("--limit", type=int, help="about so many clips, for a quick look")
    parser.add_argument("--processes", type=int, default=1)
    args = parser.parse_args()
    work = jobs(args.data, args.speaker_clips, args.limit)
    task = partial(one, side=args.side, quality=args.quality)
    with ProcessPoolExecutor(args.processes) as pool:
        paths, groups, lips = zip(*work)
        made = list(tqdm(pool.map(task, paths, groups, lips), total=len(work)))
    good = [item for item in made if isinstance(item, Packed)]
    print(*[item for item in made if isinstance(item, str)], sep="\n")
    arrays = {"mouth": np.concatenate([p.mouth for p in good])}
    for name, values in (("mel", [p.mel for p in good]), ("whisper-tiny-en", [p.whisper for p in good])):
        everything = np.concatenate(values)
        unit = np.maximum(np.abs(everything).max((0, 1)) / 127, 1e-6).astype(np.float32)
        arrays |= {name: np.round(everything / unit).astype(np.int8), f"table.{name}": unit}
    target = write_pack(args.out / PACK, [p.movie for p in good], [p.row for p in good], arrays)
    frames, clips = sum(p.row.frames for p in good), len(good)
    print(f"{frames} frames in {clips} clips, {target.stat().st_size / 2**20:.1f} MiB in {target}")


if __name__ == "__main__":
    main()
