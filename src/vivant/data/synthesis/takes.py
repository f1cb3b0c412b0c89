"""A take: one motion with all that belongs to it, to be rendered on one person or on several."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import numpy as np

from vivant.core.clip import Audio
from vivant.core.errors import ARRAY_ERRORS, MediaError
from vivant.rig.motion import RigMotion
from vivant.tts.spoken import Phone

FOLDER = "takes"


@dataclass(frozen=True)
class Take:
    """``motion``: relative to the still. ``audio`` and ``phones``: what is heard, where somebody speaks. ``kind``: what
    the take shows, a word. ``talking``: the mouth starts from closed lips, also on a still that smiles.
    ``licence``, ``credit``: of the motion and the sound, empty where nothing is owed. ``text``: what is said."""

    motion: RigMotion
    kind: str
    audio: Audio | None = None
    phones: tuple[Phone, ...] = ()
    talking: bool = False
    licence: str = ""
    credit: str = ""
    text: str = ""
    notes: dict[str, str] = field(default_factory=dict)


class MotionSource(Protocol):
    """Where takes come from. Take ``number`` is a function of the seed and its number alone."""

    def take(self, number: int, seed: int) -> Take:
        """The take of that number."""


def generator(*numbers: int) -> np.random.Generator:
    """Random numbers that depend on these numbers alone."""
    return np.random.default_rng(list(numbers))


def save_take(path: Path, take: Take) -> None:
    """Keep a take in an ``.npz``: motion as it is, sound in 16 bits."""
    motion, audio = take.motion, take.audio
    sound = np.zeros((0, 1), np.float32) if audio is None else np.asarray(audio.samples, np.float32)
    words = {"kind": take.kind, "talking": take.talking, "licence": take.licence, "credit": take.credit,
             "text": take.text, "notes": take.notes, "rate": 0 if audio is None else audio.rate}  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    with part.open("wb") as stream:
        np.savez_compressed(
            stream, fps=np.array([motion.fps.numerator, motion.fps.denominator]), pose=motion.pose,
            expression=motion.expression, gaze=motion.gaze, words=np.array(json.dumps(words)),
            sound=np.round(np.clip(sound, -1, 1) * 32767).astype(np.int16),
            phones=np.array([p.symbol for p in take.phones], dtype=np.str_),
            times=np.array([(p.start, p.end) for p in take.phones], np.float64).reshape(-1, 2),
        )  # fmt: skip
    os.replace(part, path)


def load_take(path: Path) -> Take:
    """A kept take.

    Raises:
        MediaError: missing or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as data:
            words = json.loads(str(data["words"]))
            rate = words.pop("rate")
            fps = Fraction(*(int(v) for v in data["fps"]))
            motion = RigMotion(fps, data["pose"], data["expression"], data["gaze"])
            phones = tuple(Phone(str(s), float(a), float(b)) for s, (a, b) in zip(data["phones"], data["times"]))
            audio = Audio(data["sound"].astype(np.float32) / 32767, rate) if rate else None
            return Take(motion, audio=audio, phones=phones, **words)
    except (*ARRAY_ERRORS, TypeError) as error:
        raise MediaError(f"{path} is no take or is damaged ({error}): remove it and run again.") from error


@dataclass(frozen=True)
class KeptMotion:
    """Takes that were made before: speech needs its engines, and clips their files, only once."""

    out: Path
    motion: str

    def name(self, number: int) -> str:
        """What a take is called."""
        return f"{self.motion}_{number:06d}"

    def path(self, number: int) -> Path:
        """Where a take is kept."""
        return self.out / FOLDER / f"{self.name(number)}.npz"

    def missing(self, numbers: Sequence[int]) -> list[int]:
        """Those that are not kept yet."""
        return [number for number in numbers if not self.path(number).exists()]

    def keeper(self, source: MotionSource, seed: int) -> Callable[[int], int]:
        """A function that makes the take of a number and keeps it."""

        def keep(number: int) -> int:
            save_take(self.path(number), source.take(number, seed))
            return number

        return keep

    def take(self, number: int, seed: int) -> Take:
        """See :class:`MotionSource`."""
        return load_take(self.path(number))
