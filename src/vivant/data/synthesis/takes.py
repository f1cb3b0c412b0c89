"""A take: one motion with all that belongs to it, to be rendered on one person or on several."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from vivant.core.clip import Audio
from vivant.rig.motion import RigMotion
from vivant.tts.spoken import Phone


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
