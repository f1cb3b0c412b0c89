"""Measure what MegActor-Sigma claims, and how fast it is.

    python tools/talking_test_set.py SOURCES test
    python tools/measure_megactor_sigma.py claims test --weights W [--plain P] [--turning CLIPS] [--docs docs]
    python tools/measure_megactor_sigma.py speed --out measured     # a denoising step beside diffusers' PixArt (a GPU)
    python tools/measure_megactor_sigma.py bytes --out measured     # what a block of that step moves, counted
    python tools/measure_megactor_sigma.py train --out measured     # a training step of each stage of `paper`
    torchrun --nproc-per-node 2 tools/measure_megactor_sigma.py train --out measured

`claims`: speech alone, driver alone, both (the paper's ablation, with our own distances); a driver and speech that
disagree, by weights W and by weights P that were trained without decoupling (`--set stage.settings.plain=1`); both
amplitudes from 0 to 2. CLIPS: videos of turning heads for the driver's amplitude (default: the test set's). `--parts`
measures some of them alone. Results go to OUT/megactor_sigma_claims.json and, with --docs, to docs/results and
docs/images.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure_live_portrait_claims import number
from megactor_sigma_bytes import moved
from megactor_sigma_docs import AMPLITUDES, write_docs
from megactor_sigma_speed import speed
from tqdm import tqdm

from vivant.apps.cli import main as vivant
from vivant.core.clip import Audio
from vivant.core.errors import VivantError
from vivant.data.manifest import read_manifest
from vivant.media.audio import read_audio
from vivant.media.video import open_clip
from vivant.metrics.motion import Motion, read_motion
from vivant.metrics.results import write_json
from vivant.metrics.statistics import correlation
from vivant.metrics.timing import machine
from vivant.perception.tracking import follow
from vivant.pipelines.evaluation.generate import shortened
from vivant.pipelines.load import Pipeline, load

METHOD = "megactor-sigma"
DRIVES = {"audio": "audio", "video": "video", "both": "both"}
METRICS = "fvd-lite0,fid-lite0,feat-lite0,sync-c-lite,sync-d-lite,landmark-error,csim-dlib,flicker"
GROUPS = ("speaker", "replay")
PARTS = ("table", "disagreement", "visual", "audio")
UNRELATED = 0.3  # correlation of two mouths below which they say different things


class Seen:
    """Motion of clips, each looked at once."""

    def __init__(self, frames: int) -> None:
        self.frames = frames
        self._known: dict[Path, Motion] = {}

    def clip(self, path: Path) -> Motion:
        """Of a file's first frames."""
        if path not in self._known:
            self._known[path] = self.of(first(path, self.frames))
        return self._known[path]

    @staticmethod
    def of(frames: Sequence[np.ndarray]) -> Motion:
        """Of frames."""
        return read_motion([None if face is None else face.landmarks for face in follow(frames)])


def first(path: Path, count: int) -> list[np.ndarray]:
    """The first frames of a video."""
    found = []
    for frame in open_clip(path).frames:
        found.append(frame)
        if len(found) == count:
            break
    return found


def sound(path: Path, count: int) -> Audio:
    """The sound of a video's first frames at 25 a second."""
    heard = read_audio(path)
    return Audio(heard.samples[: round(count / 25 * heard.rate)], heard.rate)


def made(pipe: Pipeline, source: Path, frames: int, driver: Path | None, speech: Path | None, **how: Any) -> Motion:
    """What is seen in the square that the method makes of the source's first frame."""
    result = pipe.animate(
        first(source, 1)[0],
        None if driver is None else shortened(open_clip(driver), frames),
        audio=None if speech is None else sound(speech, frames),
        crop_only=True,
        fps=25,
        **how,
    )
    return Seen.of([frame for frame, _ in zip(result.frames, range(frames))])


def follows(driver: Motion, result: Motion, name: str) -> float:
    """Correlation of a series of two clips, frame by frame."""
    count = min(len(driver.landmarks), len(result.landmarks))
    return correlation(driver.series[name][:count], result.series[name][:count])


def table(args: argparse.Namespace) -> dict[str, Any]:
    """`vivant evaluate method` for each mix of drivers; {drive or "truth": {metric: {value, low, high}}}."""
    found: dict[str, Any] = {}
    for drive, word in DRIVES.items():
        out = args.out / f"table_{drive}"
        words = [
            "evaluate", "method", "--method", METHOD, "--preset", args.preset, "--drive", word, "--data",
            str(args.test), "--limit", str(args.limit), "--frames", str(args.frames), "--metrics", METRICS, "--out",
            str(out), "--device", args.device, "--dtype", args.dtype,
            "--fps", "25", "--size", "256", "--align", "face", "--sheets", "4",
        ]  # fmt: skip
        words += [word for group in GROUPS for word in ("--group", group)]
        words += ["--weights", str(args.weights)] if args.weights else []
        if vivant(words):
            raise VivantError(f"The table's row '{drive}' could not be measured: see above.")
        rows = json.loads((out / "results.json").read_text())["metrics"]
        found[drive] = {name: bounds(row) for name, row in rows.items()}
        found["truth"] = {name: bounds(row["truth"]) for name, row in rows.items() if row.get("truth")}
    return found


def bounds(row: Mapping[str, Any]) -> dict[str, Any]:
    """A number with its interval."""
    return {key: row.get(key) for key in ("value", "low", "high")}


def other_speech(clips: Sequence[Path], at: int, seen: Seen) -> Path | None:
    """The next clip whose mouth does not do what that of clip number ``at`` does: replays may share a recording."""
    for step in range(1, len(clips)):
        found = clips[(at + step) % len(clips)]
        if abs(follows(seen.clip(clips[at]), seen.clip(found), "mouth")) < UNRELATED:
            return found
    return None


def disagreement(pipe: Pipeline, clips: Sequence[Path], seen: Seen, drive: str) -> dict[str, dict[str, Any]]:
    """A driver and speech of another clip: whose mouth and whose lids are in the result?"""
    rows: dict[str, list[float]] = {"mouth by speech": [], "mouth by driver": [], "lids by driver": []}
    for at, driver in enumerate(tqdm(clips, desc=f"disagreement, {drive}", file=sys.stderr)):
        speech = other_speech(clips, at, seen)
        if speech is None:
            continue
        result = made(pipe, driver, seen.frames, driver, speech, drive=drive)
        rows["mouth by speech"].append(follows(seen.clip(speech), result, "mouth"))
        rows["mouth by driver"].append(follows(seen.clip(driver), result, "mouth"))
        rows["lids by driver"].append(follows(seen.clip(driver), result, "lids"))
    return {name: number(values) for name, values in rows.items()}


def amplitudes(
    pipe: Pipeline, clips: Sequence[Path], seen: Seen, name: str, read: Callable[[Motion], float]
) -> dict[float, list[float]]:
    """How far something moves at each amplitude, a number for each clip."""
    found: dict[float, list[float]] = {amount: [] for amount in AMPLITUDES}
    for clip in tqdm(clips, desc=f"amplitude of {name}", file=sys.stderr):
        for amount, values in found.items():
            driver, speech = (clip, None) if name == "visual" else (None, clip)
            motion = made(pipe, clip, seen.frames, driver, speech, strength={name: amount})
            values.append(read(motion))
    return found


def roll_range(motion: Motion) -> float:
    """Standard deviation of the head's roll in degrees."""
    return float(np.nanstd(motion.euler[:, 2]))


def mouth_range(motion: Motion) -> float:
    """Standard deviation of the mouth's opening, in heights of the upper face."""
    return float(np.nanstd(motion.series["mouth"]))


def claims(args: argparse.Namespace) -> dict[str, Any]:
    """What --parts names, as one mapping; results for the page of reproductions with --docs."""
    rows = [row for row in read_manifest(args.test) if row.group in GROUPS]
    clips = [args.test / str(row.video) for row in rows][: args.limit]
    turning = sorted(args.turning.glob("*.mp4"))[: args.limit] if args.turning else clips
    seen = Seen(args.frames)
    device = {"device": args.device, "dtype": args.dtype}
    pipe = load(METHOD, args.weights, args.preset, **device)
    found: dict[str, Any] = {
        "machine": machine(), "device": torch.cuda.get_device_name() if args.device == "cuda" else "CPU",
        "clips": len(clips), "frames": args.frames,
    }  # fmt: skip
    if "table" in args.parts:
        found["table"] = table(args)
    if "disagreement" in args.parts:
        found["disagreement"] = {"decoupled": disagreement(pipe, clips, seen, "auto")}
    for name, shown, read in (("visual", turning, roll_range), ("audio", clips, mouth_range)):
        if name in args.parts:
            found[f"{name} amplitude"] = amplitudes(pipe, shown, seen, name, read)
    if args.plain and "disagreement" in args.parts:
        other = load(METHOD, args.plain, args.preset, **device)
        for drive in ("both", "eyes"):
            found["disagreement"][f"plain, {drive}"] = disagreement(other, clips, seen, drive)
    if args.docs:
        write_docs(found, args)
    return found


def main() -> None:
    """Measure as asked, print and write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("claims", "speed", "bytes", "train"))
    parser.add_argument("test", type=Path, nargs="?", help="claims: folder of tools/talking_test_set.py")
    parser.add_argument("--weights", type=Path, help="claims: weights file (default: the shipped ones)")
    parser.add_argument("--plain", type=Path, help="claims: weights trained without decoupling")
    parser.add_argument("--turning", type=Path, help="claims: folder of videos of turning heads")
    parser.add_argument("--preset", default="lite")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="fp32", help="claims: number type of the nets (default: fp32)")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="claims: what of them (default: all)")
    parser.add_argument("--limit", type=int, default=12, help="claims: clips (default: 12)")
    parser.add_argument("--frames", type=int, default=48, help="claims: frames of a clip (default: 48)")
    parser.add_argument("--docs", type=Path, help="claims: folder docs to write results and plots into")
    parser.add_argument("--out", type=Path, default=Path("measured"))
    parser.add_argument("--tiny", action="store_true", help="speed, bytes, train: rehearsal on the CPU")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if args.what == "claims":
        if args.test is None:
            parser.error("claims needs the folder of the test set")
        found = claims(args)
    elif args.what == "speed":
        found = speed(args.tiny)
    elif args.what == "bytes":
        found = moved(args.tiny)
    else:
        from measure_reference_nets import train

        found = train(METHOD, args)
    found = {"torch": torch.__version__, **found}
    if torch.cuda.is_available():
        found["GPU"] = torch.cuda.get_device_name()
    suffix = f"_{found['GPUs']}" if "GPUs" in found else ""
    write_json(args.out / f"megactor_sigma_{args.what}{suffix}.json", found)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
