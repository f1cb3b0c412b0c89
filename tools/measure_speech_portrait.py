"""Measure `speech-portrait`: does the mouth do what it should, in which languages, how fast, how late.

    python tools/measure_speech_portrait.py DATA --out OUT [--weights FILE] [--only films,languages,speed,delay,memory]

DATA holds `grid/{s1,others}/` and `stills/`. Results go to OUT/PART.json and, as tables, to OUT/PART.md. Parts:

`films`: held-out clips of GRID (`--clips` of the man of training, all six held-out speakers); the first frame speaks
the clip's sound, and another still does. The opening of the mouth, tracked in the made pictures, against that of the
film: correlation at zero lag, the lag with the best one. Sync of film, made clip, made clip with its sound moved by 5
frames, and with the sound of another clip.
`languages`: made sentences in five languages; opening against loudness, against the opening that the phones ask for,
and how far lips close on p, b and m.
`speed`: seconds of work for a second of video. `delay`: from the arrival of a frame's last sample to its picture, sound
coming in its own time. `memory`: of the process while a stream runs for `--seconds`.
"""

from __future__ import annotations

import argparse
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from prepare_lite_data import TEST_SPEAKERS, held_out
from speech_portrait_speed import delay, memory, speed
from tqdm import tqdm

from vivant.core.clip import Audio, Clip
from vivant.core.errors import VivantError
from vivant.core.speech import SPEECH_RATE
from vivant.data.synthesis.sentences import sentence
from vivant.media.audio import read_audio
from vivant.media.image import read_image
from vivant.media.video import open_clip
from vivant.metrics.motion import lid_opening, mouth_opening
from vivant.metrics.statistics import bootstrap, correlation, gain
from vivant.metrics.sync_scorer import SyncScorer, sync_scorer
from vivant.perception.pose import head_pose
from vivant.perception.tracking import follow
from vivant.pipelines.load import Pipeline, load
from vivant.pipelines.speak_live import mono_blocks
from vivant.rig.motion import expression_rows
from vivant.rig.visemes import visemes
from vivant.tts.engines import speak
from vivant.tts.spoken import Spoken

FPS, FRAME = Fraction(25), SPEECH_RATE // 25
LAGS, SHIFT = range(-5, 6), 5
LANGUAGES = ("de", "fr", "es", "it", "pl")
PARTS = ("films", "languages", "speed", "delay", "memory")
_EDGE = 5


def openings(frames: Any) -> dict[str, np.ndarray]:
    """Series of a face: `mouth`, `lids`, `angles` (F, 3) in degrees; the frame before where it is not seen."""
    mouth, lids, angles = [], [], []
    for face in follow(frames):
        if face is None:
            if not mouth:
                raise VivantError("no face in the first frame")
            mouth.append(mouth[-1]), lids.append(lids[-1]), angles.append(angles[-1])
            continue
        pose = head_pose(face.landmarks)
        mouth.append(mouth_opening(face.landmarks)), lids.append(lid_opening(face.landmarks))
        angles.append([float(pose.pitch), float(pose.yaw), float(pose.roll)])
    return {"mouth": np.array(mouth), "lids": np.array(lids), "angles": np.array(angles)}


def best_lag(made: np.ndarray, true: np.ndarray) -> int:
    """Frames by which `made` comes late where both fit best."""
    middle = slice(_EDGE, len(made) - _EDGE)
    values = [correlation(true[middle], np.roll(made, -lag)[middle]) for lag in LAGS]
    return LAGS[int(np.nanargmax(values))]


def moved(sound: Audio, frames: int) -> Audio:
    """Sound that comes so many frames late."""
    late = frames * FRAME
    return Audio(np.concatenate([np.zeros((late, 1), np.float32), sound.samples])[: len(sound.samples)], sound.rate)


def scored(scorer: SyncScorer, frames: list[np.ndarray], sound: Audio) -> dict[str, float]:
    """Sync confidence, distance and offset."""
    height, width = frames[0].shape[:2]
    found = scorer.score(Clip(frames, FPS, (height, width), len(frames)), sound)
    return {"confidence": found.confidence, "distance": found.distance, "offset": found.offset}


def films(pipe: Pipeline, data: Path, clips: int) -> list[dict[str, Any]]:
    """One row a held-out clip and source."""
    own = sorted((data / "grid" / "s1").glob("*.mp4"))[7::20][:clips]
    others = [path for path in sorted((data / "grid" / "others").glob("*.mp4")) if path.stem in TEST_SPEAKERS]
    stills = [path for path in sorted((data / "stills").glob("*.jpg")) if held_out(path.stem)]
    scorer, rows = sync_scorer("lite"), []
    paths = [*others, *own]
    for number, path in enumerate(tqdm(paths, desc="films")):
        frames = list(open_clip(path).frames)
        sound = read_audio(path, SPEECH_RATE, mono=True)
        another = read_audio(paths[(number + 1) % len(paths)], SPEECH_RATE, mono=True)
        try:
            true = openings(frames)
        except VivantError as error:
            print(f"{path.name}: {error}")
            continue
        for kind, portrait in (("own", frames[0]), ("still", read_image(stills[number % len(stills)]))):
            try:
                made = list(pipe.animate(portrait, audio=sound, crop_only=True).frames)
                seen = openings(made)
            except VivantError as error:
                print(f"{path.name}, {kind}: {error}")
                continue
            count = min(len(made), len(frames))
            mouth, film = seen["mouth"][:count], true["mouth"][:count]
            rows.append(
                {
                    "clip": path.stem,
                    "speaker": "s1" if path in own else path.stem,
                    "source": kind,
                    "correlation": correlation(film, mouth),
                    "gain": gain(film, mouth),
                    "lag": best_lag(mouth, film),
                    "head": [float(v) for v in seen["angles"].std(0)],
                    "blinks": float((seen["lids"] < 0.5 * np.quantile(seen["lids"], 0.75)).mean()),
                    "true": scored(scorer, frames, sound),
                    "made": scored(scorer, made, sound),
                    "moved": scored(scorer, made, moved(sound, SHIFT)),
                    "other": scored(scorer, made, another),
                }
            )
    return rows


def films_table(rows: list[dict[str, Any]]) -> str:
    """Correlations with their 95 % intervals over clips, and the sync table."""
    lines = [
        "| clips | source | n | correlation at zero lag | least | gain | best lag within 1 frame |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, chosen in (("s1, held-out clips", "s1"), ("held-out speakers", "")):
        for source in ("own", "still"):
            own = [r for r in rows if r["source"] == source and (r["speaker"] == "s1") == bool(chosen)]
            if own:
                values = np.array([[r["correlation"]] for r in own])
                low, high = _interval(values)
                near = np.mean([abs(r["lag"]) <= 1 for r in own])
                lines.append(
                    f"| {name} | {source} | {len(own)} | {values.mean():.3f} [{low:.3f}, {high:.3f}] "
                    f"| {values.min():.2f} "
                    f"| {np.mean([r['gain'] for r in own]):.2f} | {100 * near:.0f} % |"
                )
    lines += ["", "| lips and sound | confidence | distance | offset 0 or 1 |", "|---|---|---|---|"]
    for key, name in (
        ("true", "film"),
        ("made", "made"),
        ("moved", f"made, sound {SHIFT} frames late"),
        ("other", "made, sound of another clip"),
    ):
        found = [r[key] for r in rows if r["source"] == "own"]
        close = np.mean([abs(f["offset"]) <= 1 for f in found])
        means = [np.mean([f[part] for f in found]) for part in ("confidence", "distance")]
        lines.append(f"| {name} | {means[0]:.2f} | {means[1]:.2f} | {100 * close:.0f} % |")
    heads = np.mean([r["head"] for r in rows], 0)
    lines += ["", f"Head, standard deviation of pitch, yaw, roll: {heads.round(2).tolist()} degrees."]
    lines.append(f"Share of frames with shut eyes: {np.mean([r['blinks'] for r in rows]):.3f}.")
    return "\n".join(lines)


def _interval(values: np.ndarray) -> tuple[float, float]:
    found = bootstrap(values, lambda rows: rows[..., 0].mean(-1))
    return found.low, found.high


def loudness(samples: np.ndarray, frames: int) -> np.ndarray:
    """(F,) root mean square of the sound of each frame, in decibels over a floor of -50."""
    padded = np.pad(samples, (0, max(0, frames * FRAME - len(samples))))[: frames * FRAME].reshape(frames, FRAME)
    return np.maximum(20 * np.log10(np.sqrt((padded**2).mean(1)) + 1e-9), -50.0)


def asked(spoken: Spoken, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """(F,) opening that the phones ask for, and where lips must be shut."""
    curve = visemes(spoken.phones, FPS, frames)[:, expression_rows("jawOpen")[0]]
    shut = np.zeros(frames, bool)
    for phone in spoken.phones:
        if phone.symbol[:1] in set("pbm"):
            shut[int((phone.start + phone.end) / 2 * 25)] = True
    return curve, shut


def languages(pipe: Pipeline, data: Path, sentences: int) -> list[dict[str, Any]]:
    """One row a sentence."""
    stills = [path for path in sorted((data / "stills").glob("*.jpg")) if held_out(path.stem)]
    rng, rows = np.random.default_rng(11), []
    for number, language in enumerate(tqdm([lang for lang in LANGUAGES for _ in range(sentences)], desc="languages")):
        spoken = speak(f"{sentence(rng, language)} {sentence(rng, language)}", f"espeak:{language}+f2", seed=number)
        sound = Audio(spoken.samples[:, None], spoken.rate)
        made = list(pipe.animate(read_image(stills[number % len(stills)]), audio=sound, crop_only=True).frames)
        mouth = openings(made)["mouth"]
        curve, shut = asked(spoken, len(made))
        heard = read_samples(sound)
        row = {
            "language": language,
            "loudness": correlation(loudness(heard, len(made)), mouth),
            "phones": correlation(curve, mouth),
        }
        if shut.any():
            row["closed"] = float(mouth[shut].mean() / mouth.mean())
        rows.append(row)
    return rows


def read_samples(sound: Audio) -> np.ndarray:
    """(N,) at 16 kHz."""
    return np.concatenate(list(mono_blocks(sound)))


def languages_table(rows: list[dict[str, Any]]) -> str:
    """Means of each language."""
    lines = [
        "| language | n | opening and loudness | opening and phones | opening on p, b, m over the mean |",
        "|---|---|---|---|---|",
    ]
    for language in LANGUAGES:
        own = [r for r in rows if r["language"] == language]
        closed = np.mean([r["closed"] for r in own if "closed" in r])
        loud, phones = (np.mean([r[k] for r in own]) for k in ("loudness", "phones"))
        lines.append(f"| {language} | {len(own)} | {loud:.2f} | {phones:.2f} | {closed:.2f} |")
    return "\n".join(lines)


def plain_table(values: dict[str, Any]) -> str:
    """Names and numbers."""
    return "\n".join(f"- {name}: {value}" for name, value in values.items())


def main() -> None:
    """Parse arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--weights", help="instead of the bundled ones")
    parser.add_argument("--only", default="films,languages,speed,delay", help=f"of {','.join(PARTS)}")
    parser.add_argument("--clips", type=int, default=16, help="held-out clips of the man of training")
    parser.add_argument("--sentences", type=int, default=2, help="a language")
    parser.add_argument("--seconds", type=float, default=20.0, help="of the streams")
    parser.add_argument("--unpainted", action="store_true", help="memory: all but the painting")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    pipe = load("speech-portrait", args.weights, device="cpu")
    tables = {"films": films_table, "languages": languages_table}
    for part in args.only.split(","):
        measured: Any = {
            "films": lambda: films(pipe, args.data, args.clips),
            "languages": lambda: languages(pipe, args.data, args.sentences),
            "speed": lambda: speed(pipe, args.data, args.out),
            "delay": lambda: delay(pipe, args.data, args.seconds),
            "memory": lambda: memory(pipe, args.data, args.seconds, not args.unpainted),
        }[part]()
        text = tables.get(part, plain_table)(measured)
        (args.out / f"{part}.json").write_text(json.dumps(measured, indent=1) + "\n")
        (args.out / f"{part}.md").write_text(text + "\n")
        print(text)


if __name__ == "__main__":
    main()
