"""Pack motion of speaking faces with what is heard, for `speech-portrait`: films, and made speech in exact sync.

    python tools/pack_speech_motion.py DATA OUT [--stills 48] [--takes 900] [--processes 2]

DATA holds `grid/{s1,others}/` and `stills/`. OUT gets `motion.safetensors` (docs/training.md), and `tracks/` and
`takes/`, which are used again by a second run. Filmed faces are tracked. Made speech needs no pictures: text becomes
sound with phone times (all speech engines that are installed), the phones move rigs of the stills, and the rigs say
where the 478 points of the mesh are.

Every clip is heard as a part of up to 30 s, as files are; some (`-live` groups) once more by themselves, louder or
softer and in noise, as a stream hears them. Held out ("test"): GRID speakers of TEST_SPEAKERS, every 20th clip of s1,
and stills whose number is 7 modulo 20.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from fractions import Fraction
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from prepare_lite_data import GRID, MIT
from speech_clips import SAMPLES, Spoken, filmed, made, speak, track
from tqdm import tqdm

from vivant.controls.speech import read_speech
from vivant.core.clip import Audio
from vivant.core.speech import SPEECH_RATE
from vivant.data.face_motions import PACK, write_motions
from vivant.methods.speech_portrait.prepare import head_frame, numbers_of, rest_of, shape_of
from vivant.methods.speech_portrait.weights import rigid_template
from vivant.perception.hearing import load_encoder

FPS = Fraction(25)
ENCODER = "whisper-tiny-en"
KEPT = 80
_PART = 30 * SPEECH_RATE
_LIVE = 0.33  # share of the clips that are heard once more as a stream hears them


def parts(spoken: list[Spoken], rng: np.random.Generator) -> Iterator[list[Spoken]]:
    """Clips in parts of one to ten, of at most 30 s together."""
    at = 0
    while at < len(spoken):
        count, length, first = int(rng.integers(1, 11)), 0, at
        while at < len(spoken) and at - first < count and length + len(spoken[at].samples) <= _PART:
            length += len(spoken[at].samples)
            at += 1
        at = max(at, first + 1)
        yield spoken[first:at]


@cache
def _live_encoder() -> Any:
    return load_encoder(ENCODER, padded=False)


def heard(samples: np.ndarray, live: bool) -> tuple[np.ndarray, np.ndarray]:
    """(F, 2, D) features and (F,) voice of samples (F * 640,)."""
    speech = read_speech(Audio(samples[:, None], SPEECH_RATE), FPS, () if live else (ENCODER,))
    if not live:
        return np.asarray(speech.features[ENCODER][:]), speech.voiced
    steps = _live_encoder().encode(samples)
    return steps.reshape(len(speech), 2, -1), speech.voiced


def noisy(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Louder or softer, in noise that is 8 to 40 dB below the voice."""
    gained = samples * 10 ** (rng.uniform(-10, 6) / 20)
    level = np.sqrt((gained**2).mean()) * 10 ** (-rng.uniform(8, 40) / 20)
    hiss = np.fft.irfft(np.fft.rfft(rng.normal(size=len(samples))) / (1 + np.arange(len(samples) // 2 + 1)) ** 0.4,
                        len(samples))  # fmt: skip
    sound = gained + hiss * (level / (np.abs(hiss).std() + 1e-9))
    return np.clip(sound, -1, 1).astype(np.float32)


def hear_part(job: tuple[list[np.ndarray], bool, int], basis: dict[str, np.ndarray] | None) -> list[tuple[Any, Any]]:
    """(kept features (F, 2, H), voice (F,)) of each clip of a part; without a basis the features themselves."""
    clips, live, seed = job
    rng = np.random.default_rng(seed)
    results = []
    whole = [noisy(clip, rng) for clip in clips] if live else [np.concatenate(clips)]
    for samples in whole:
        features, voiced = heard(samples, live)
        if basis is None:
            results.append((features.astype(np.float16), voiced))
            continue
        results.append(((features - basis["mean"]) @ basis["basis"], voiced))
    if live:
        return results
    edges = np.cumsum([len(clip) // SAMPLES for clip in clips])[:-1]
    return list(zip(*(np.split(values, edges) for values in results[0])))


def basis_of(features: np.ndarray) -> dict[str, np.ndarray]:
    """What is kept of features (n, D): half-whitened principal components of numbers of equal spread."""
    mean, spread = features.mean(0), features.std(0) + 1e-3
    normal = (features - mean) / spread
    values, vectors = np.linalg.eigh(normal.T @ normal / len(normal))
    order = np.argsort(values)[::-1][:KEPT]
    kept = vectors[:, order] / spread[:, None] / np.maximum(values[order], 1e-6) ** 0.25
    scale = np.sqrt(((features[::7] - mean) @ kept).var(0).mean())
    share = values[order].sum() / values.sum()
    print(f"{KEPT} of {len(mean)} components hold {share:.3f} of the spread of {ENCODER}")
    return {"mean": mean.astype(np.float32), "basis": (kept / scale).astype(np.float32)}


def motion_of(spoken: Spoken) -> tuple[np.ndarray, np.ndarray]:
    """Rows (F, 42) and the shape (S,) of a clip's face."""
    frame = head_frame(spoken.landmarks, rigid_template())
    rest = rest_of(frame)
    return numbers_of(frame, rest), shape_of(rest)


def pack(spoken: list[Spoken], out: Path, pool: ProcessPoolExecutor, live_share: float) -> None:
    """Hear all clips, tell their motion, write the pack."""
    rng = np.random.default_rng(0)
    spoken = [spoken[k] for k in rng.permutation(len(spoken))]
    spoken.sort(key=lambda s: (s.clip.group, s.clip.person))  # parts are of one speaker where they can
    jobs = [([s.samples for s in part], False, 0) for part in parts(spoken, rng)]
    tries = [jobs[k] for k in rng.permutation(len(jobs))[: max(1, len(jobs) // 8)]]
    first = [f.reshape(-1, f.shape[-1]) for part in pool.map(partial(hear_part, basis=None), tries) for f, _ in part]
    basis = basis_of(np.concatenate(first)[::2].astype(np.float32))
    del first
    hear = partial(hear_part, basis=basis)
    sounds = [clip for part in tqdm(pool.map(hear, jobs), total=len(jobs), desc="hear") for clip in part]
    told = list(tqdm(pool.map(motion_of, spoken, chunksize=8), total=len(spoken), desc="tell"))
    rows = [(s.clip, numbers, shape, *sound) for s, (numbers, shape), sound in zip(spoken, told, sounds)]
    chances = [1.0 if s.clip.group == "others" else live_share for s in spoken]
    again = [k for k, c in enumerate(chances) if rng.random() < c and spoken[k].clip.split == "train"]
    jobs = [([spoken[k].samples], True, k) for k in again]
    for k, part in zip(again, tqdm(pool.map(hear, jobs, chunksize=8), total=len(jobs), desc="live")):
        clip = spoken[k].clip
        live = replace(clip, id=f"{clip.id}_live", group=f"{clip.group}-live")
        rows.append((live, *told[k], *part[0]))
    _write(out, rows, basis)


def _write(out: Path, rows: list[tuple[Any, ...]], basis: dict[str, np.ndarray]) -> None:
    clips, numbers, shapes, sounds, voiced = zip(*rows)
    sound = np.concatenate(sounds)
    unit = np.maximum(np.quantile(np.abs(sound[::3]), 0.9995, axis=(0, 1)) / 127, 1e-6).astype(np.float32)
    template = rigid_template()
    arrays = {
        "numbers": np.concatenate(numbers).astype(np.float16),
        "sound": np.clip(np.round(sound / unit), -127, 127).astype(np.int8),
        "voiced": np.round(np.concatenate(voiced) * 255).astype(np.uint8),
        "shapes": np.stack(shapes).astype(np.float32),
        "sound_unit": unit,
        "heard_mean": basis["mean"],
        "heard_basis": basis["basis"],
        "rigid_rows": template.rows.numpy(),
        "rigid_points": template.points.numpy(),
    }
    notes = {"licence": f"{MIT[0]} AND {GRID[0]}", "credit": f"{MIT[1]}; {GRID[1]}"}
    target = write_motions(out / PACK, clips, arrays, ENCODER, notes)
    for group in sorted({clip.group for clip in clips}):
        own = [clip for clip in clips if clip.group == group]
        print(f"{group}: {len(own)} clips, {sum(clip.frames for clip in own)} frames")
    print(f"{target.stat().st_size / 2**20:.1f} MiB in {target}")


def main() -> None:
    """Parse arguments and pack."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--grid-clips", type=int, default=640, help="clips of the speaker s1")
    parser.add_argument("--stills", type=int, default=48, help="people who speak made speech")
    parser.add_argument("--takes", type=int, default=900, help="made takes of 3 s")
    parser.add_argument("--live", type=float, default=_LIVE, help="share of clips that are heard again as in a stream")
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    for name in ("tracks", "takes"):
        (args.out / name).mkdir(parents=True, exist_ok=True)
    own = sorted((args.data / "grid" / "s1").glob("*.mp4"))
    paths = [*sorted((args.data / "grid" / "others").glob("*.mp4")), *own[:: max(1, len(own) // args.grid_clips)]]
    stills = sorted((args.data / "stills").glob("*.jpg"))
    stills = stills[:: max(1, len(stills) // args.stills)][: args.stills]
    shares = [list(range(k, args.takes, len(stills))) for k in range(len(stills))]
    with ProcessPoolExecutor(args.processes) as pool:
        work = [pool.submit(track, path, args.out) for path in paths]
        work += [pool.submit(speak, still, share, args.out) for still, share in zip(stills, shares)]
        for done in tqdm(work, desc="look"):
            if problem := done.result():
                print(problem)
        pack([*filmed(args.data, args.out), *made(args.out)], args.out, pool, args.live)


if __name__ == "__main__":
    main()
