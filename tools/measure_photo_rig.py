"""Numbers and sheets of the photo rig over a folder of portraits (run by developers only).

Usage: python tools/measure_photo_rig.py FOLDER --out OUT [--limit 40] [--device cpu] [--only first,speed,sheets]

``first``: difference of the first frame to the photo, inside the matte and over the whole picture, in grey levels.
``speed``: frames per second at 256 px with and without supersampling, on one thread or on a GPU, and time of a build.
``sheets``: contact sheets of fits (drawn landmarks, residual in cm; red where the still is refused), random motions and
blinks. Fits and re-detection over a whole folder are measured by ``vivant synthesize FOLDER -o OUT --check``.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch

from vivant.media.image import read_image
from vivant.perception.faces import FaceFinder
from vivant.perception.matte import MatteFinder
from vivant.rig.build import PhotoRig
from vivant.rig.check import inspect_still, lid_opening
from vivant.rig.limits import within_reach
from vivant.rig.motion import EXPRESSION_NAMES, RigMotion, expression_vector
from vivant.rig.render import Renderer

SIDE, COLUMNS, QUALITY = 160, 8, 80
PARTS = ("first", "speed", "sheets")


def rigs(folder: Path, limit: int, seed: int) -> Iterator[tuple[str, PhotoRig]]:
    """Rigs of ``limit`` stills in random order; those without a face or with one that does not fit are left out."""
    finder, mattes = FaceFinder(threads=1), MatteFinder(threads=1)
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    found = 0
    for number in np.random.default_rng(seed).permutation(len(paths)):
        if found == limit:
            return
        image = read_image(paths[number])
        faces = finder.find(image, thorough=False)
        if faces:
            yield paths[number].stem, PhotoRig.build(image, faces[0].landmarks, mattes.find(image))
            found += 1


def shown(rig: PhotoRig, picture: np.ndarray, size: int) -> np.ndarray:
    """What the window shows of a picture of the still's size."""
    scale, window = size / rig.window.side, rig.window
    matrix = np.array([[scale, 0, (0.5 - window.left) * scale - 0.5], [0, scale, (0.5 - window.top) * scale - 0.5]])
    return np.asarray(cv2.warpAffine(picture, matrix, (size, size), flags=cv2.INTER_LINEAR))


def first_frame(rig: PhotoRig, device: str) -> tuple[float, float]:
    """Mean absolute difference to the photo inside the matte, and over the whole picture."""
    frame = next(rig.render(RigMotion.still(), 256, device=device))
    difference = np.abs(frame.image.astype(float) - shown(rig, rig.image, 256)).mean(-1)
    person = shown(rig, rig.layers.matte, 256) > 0.95
    return float(difference[person].mean()), float(difference.mean())


def random_motion(seed: int) -> RigMotion:
    """One moderate pose with expression and gaze."""
    rng = np.random.default_rng(seed)
    pose = np.concatenate([rng.normal(size=3) * [10, 6, 6], rng.normal(size=2) * 0.4, rng.normal(size=1) * 0.02])
    spread = {"jawOpen": 0.15, "mouthSmile": 0.3, "mouthPucker": 0.3, "mouthFunnel": 0.25, "browInnerUp": 0.4}
    spread |= {"browDown": 0.3, "eyeWide": 0.25, "mouthLowerDown": 0.2}
    units = {name: max(0.0, rng.normal() * size) for name, size in spread.items()}
    units["eyeBlink"] = float(rng.random() < 0.2) * rng.uniform(0.4, 1)
    return RigMotion(25, pose[None], expression_vector(units)[None], rng.normal(size=(1, 2)) * [0.15, 0.08])


def fit_tile(rig: PhotoRig) -> np.ndarray:
    """The still with the drawn landmarks and the residual."""
    report = inspect_still(rig)
    frame = next(rig.render(RigMotion.still(), SIDE, device="cpu"))
    tile = frame.image.copy()
    colour = (255, 60, 60) if report.reasons else (80, 255, 80)
    for x, y in np.round(frame.landmarks[:, :2] * 8).astype(int):
        cv2.circle(tile, (int(x), int(y)), 4, colour, -1, cv2.LINE_AA, 3)
    return np.asarray(
        cv2.putText(tile, f"{report.residual:.2f}", (3, SIDE - 4), 0, 0.35, (255, 255, 0), 1, cv2.LINE_AA)
    )


def blink_tiles(rig: PhotoRig, finder: FaceFinder) -> np.ndarray:
    """Eyes at blink 0, 0.5 and 1, with the opening that the detector reads."""
    units = np.stack([expression_vector({"eyeBlink": b}) for b in (0.0, 0.5, 1.0)])
    tiles = []
    for frame in rig.render(RigMotion(25, np.zeros((3, 6)), units, np.zeros((3, 2))), 384, device="cpu"):
        found = finder.find(cv2.resize(frame.image, (256, 256), interpolation=cv2.INTER_AREA), thorough=False)
        middle = frame.landmarks[[33, 263], :2].mean(0)
        half = np.linalg.norm(frame.landmarks[33, :2] - frame.landmarks[263, :2]) * 0.75
        x0, x1 = (int(np.clip(middle[0] + s * half, 0, 384)) for s in (-1, 1))
        y0, y1 = (int(np.clip(middle[1] + s * half / 2, 0, 384)) for s in (-1, 1))
        tile = cv2.resize(frame.image[y0:y1, x0:x1], (SIDE, SIDE // 2), interpolation=cv2.INTER_AREA)
        text = f"{lid_opening(found[0].landmarks):.2f}" if found else "no face"
        tiles.append(cv2.putText(tile, text, (3, SIDE // 2 - 4), 0, 0.35, (255, 255, 0), 1, cv2.LINE_AA))
    return np.concatenate(tiles, 1)


def write_sheet(path: Path, tiles: list[np.ndarray], columns: int) -> None:
    """A JPEG of tiles of the same size, row by row."""
    tiles = tiles + [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    rows = [np.concatenate(tiles[k : k + columns], 1) for k in range(0, len(tiles), columns)]
    cv2.imwrite(str(path), np.concatenate(rows)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])


def sheets(folder: Path, limit: int, out: Path) -> None:
    """The three contact sheets."""
    finder, fits, motions, blinks = FaceFinder(threads=1), [], [], []
    for number, (_, rig) in enumerate(rigs(folder, 3 * limit, 3)):
        if len(motions) == limit:
            break
        if len(fits) < limit:
            fits.append(fit_tile(rig))
        if inspect_still(rig).reasons:
            continue
        motions.append(next(rig.render(within_reach(random_motion(number), rig), SIDE, device="cpu")).image)
        if len(blinks) < 24:
            blinks.append(blink_tiles(rig, finder))
    write_sheet(out / "fits.jpg", fits, COLUMNS)
    write_sheet(out / "motions.jpg", motions, COLUMNS)
    write_sheet(out / "blinks.jpg", blinks, 3)


def speed(rig: PhotoRig, device: str) -> dict[str, float]:
    """Frames per second of a talking, turning head, the best of five runs."""
    frames = 200 if device != "cpu" else 40
    pose = np.zeros((frames, 6))
    pose[:, 0] = np.linspace(-15, 15, frames)
    units = np.tile(expression_vector({"jawOpen": 0.2, "mouthSmile": 0.2}), (frames, 1))
    assert units.shape == (frames, len(EXPRESSION_NAMES))
    motion, rates = RigMotion(25, pose, units, np.zeros((frames, 2))), {}
    for finer in (2, 1):
        renderer = Renderer(rig, 256, finer, None, device)
        for _ in renderer.frames(motion[:32]):
            pass
        best = np.inf
        for _ in range(5):
            begin = time.perf_counter()
            for _ in renderer.frames(motion):
                pass
            best = min(best, time.perf_counter() - begin)
        rates[f"fps_256_supersample_{finer}"] = round(frames / best, 1)
    return rates


def build_seconds(folder: Path) -> float:
    """Median time of ten builds, landmarks and matte given."""
    finder, mattes, times = FaceFinder(threads=1), MatteFinder(threads=1), []
    for path in sorted(folder.glob("*.jpg"))[:11]:
        image = read_image(path)
        faces = finder.find(image, thorough=False)
        if faces:
            matte, begin = mattes.find(image), time.perf_counter()
            PhotoRig.build(image, faces[0].landmarks, matte)
            times.append(time.perf_counter() - begin)
    return round(float(np.median(times)), 3)


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=Path("out/photo_rig"))
    parser.add_argument("--limit", type=int, default=40)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", default=",".join(PARTS))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    wanted, result = args.only.split(","), {"device": args.device}
    if "first" in wanted:
        differences = np.array([first_frame(rig, args.device) for _, rig in rigs(args.folder, args.limit, 3)])
        for name, column in zip(("inside_matte", "whole_picture"), differences.T):
            result[f"first_frame_{name}_50_90_99"] = [round(float(v), 2) for v in np.percentile(column, [50, 90, 99])]
    if "speed" in wanted:
        result |= speed(next(rigs(args.folder, 1, 3))[1], args.device) | {"build_seconds": build_seconds(args.folder)}
    if "sheets" in wanted:
        sheets(args.folder, args.limit, args.out)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
