"""Make ``src/vivant/assets/photo_rig/speech_mouth.safetensors`` from talking clips (run by developers only).

Usage: python tools/fit_speech_mouth.py FOLDER [CACHE]
where FOLDER holds ``s1/*.mp4`` and ``others/*.mp4``, clips of single speakers at 25 frames per second with sound (the
GRID corpus, CC BY 4.0); CACHE keeps what was tracked. Every fifth clip of ``s1`` is used, so that one man does not
outweigh the others, whose clips count three times. Before the table is written, it is fitted without each fifth of
``others``, and the correlation and gain of the opening of the lips there are printed.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from tqdm import tqdm

from vivant.controls.speech import read_speech
from vivant.media.video import open_clip
from vivant.methods.photo_rig.prepare import MOUTH
from vivant.methods.photo_rig.speech import AROUND, STEPS, spectra_around, voice_mean
from vivant.perception.tracking import follow
from vivant.rig.anatomy import LOWER_RIM, UPPER_RIM
from vivant.rig.head import HeadModel
from vivant.rig.motion import EXPRESSION_NAMES
from vivant.rig.track import RigTracker

TARGET = Path(__file__).resolve().parent.parent / "src" / "vivant" / "assets" / "photo_rig" / "speech_mouth.safetensors"
RIDGE = 0.05
UNITS = np.flatnonzero(MOUTH)


@dataclass(frozen=True)
class Sample:
    """One clip: ``heard`` (F, C), ``seen`` (F, units), ``weight`` of its frames."""

    name: str
    heard: np.ndarray
    seen: np.ndarray
    weight: float


def tracked(path: Path, cache: Path) -> np.ndarray:
    """(F, E) expression against the clip's own neutral one."""
    kept = cache / f"{path.stem}.npy"
    if not kept.exists():
        clip = open_clip(path)
        tracker = RigTracker(clip.size)
        for face in follow(clip.frames):
            tracker.add(None if face is None else face.landmarks)
        track = tracker.finish()
        np.save(kept, track.expression - track.neutral_expression())
    return np.load(kept)


def sample(path: Path, cache: Path, weight: float) -> Sample | None:
    """What is heard and seen; None where no voice is found."""
    seen = tracked(path, cache)[:, UNITS]
    speech = read_speech(path, Fraction(25), ("mel",))
    mean = voice_mean(speech)
    if mean is None:
        return None
    count = min(len(speech), len(seen))
    heard = spectra_around(speech, 0, len(speech))[:count] - np.tile(mean, STEPS + 2 * AROUND)
    return Sample(path.stem, heard, seen[:count], weight)


def fit(samples: list[Sample]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights (C, units) of features divided by their spread (C,), and the offset (units,)."""
    heard, seen = np.concatenate([s.heard for s in samples]), np.concatenate([s.seen for s in samples])
    weight = np.concatenate([np.full(len(s.heard), s.weight) for s in samples])[:, None]
    spread = heard.std(0) + 1e-6
    basis = np.column_stack([heard / spread, np.ones(len(heard))])
    system = basis.T @ (basis * weight) + np.eye(basis.shape[1]) * len(basis) * RIDGE
    solution = np.linalg.solve(system, basis.T @ (seen * weight))
    return solution[:-1], solution[-1], spread


def report(samples: list[Sample], others: list[str]) -> None:
    """Print correlation and gain of the lips' opening for people that were held out."""
    head = HeadModel.load()
    top, bottom = UPPER_RIM[len(UPPER_RIM) // 2], LOWER_RIM[len(LOWER_RIM) // 2]
    opening = head.expression[UNITS, top, 1] - head.expression[UNITS, bottom, 1]
    scores = []
    for fold in range(5):
        held = others[fold::5]
        weights, offset, spread = fit([s for s in samples if s.name not in held])
        for item in (s for s in samples if s.name in held):
            told, true = (item.heard / spread @ weights + offset) @ opening, item.seen @ opening
            scores.append((np.corrcoef(told, true)[0, 1], told.std() / true.std()))
    middle, least = np.mean(scores, 0), np.min(scores, 0)
    print(f"lip opening of {len(scores)} clips of people held out: correlation {middle[0]:.3f} (least {least[0]:.3f}), "
          f"spread over true spread {middle[1]:.2f} (least {least[1]:.2f})")  # fmt: skip


def main(folder: Path, cache: Path) -> None:
    """Fit and write."""
    cache.mkdir(parents=True, exist_ok=True)
    others = sorted((folder / "others").glob("*.mp4"))
    first = sorted((folder / "s1").glob("*.mp4"))[::5]
    found = [sample(path, cache, 3.0 if path in others else 1.0) for path in tqdm([*others, *first])]
    samples = [item for item in found if item is not None]
    report(samples, [path.stem for path in others])
    weights, offset, spread = fit(samples)
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    tensors = {"weights": weights.astype(np.float16), "offset": offset.astype(np.float32)}
    tensors["spread"] = spread.astype(np.float32)
    units = ",".join(EXPRESSION_NAMES[row] for row in UNITS)
    save_file({key: np.ascontiguousarray(value) for key, value in tensors.items()}, TARGET, metadata={"units": units})
    print(f"{TARGET}: {TARGET.stat().st_size} bytes from {len(samples)} clips")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else Path("out/speech_mouth"))
