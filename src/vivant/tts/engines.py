"""Text-to-speech engines behind one call. All work offline and tell the exact times of the phones.

- ``hibari``: the Python package ``hibari-tts`` (extra ``tts``), Apache-2.0; English, one voice, the most natural.
- ``flite``: the system's program ``flite`` (Debian package of that name), BSD-like licence; English, four voices.
- ``espeak``: the system's eSpeak NG (Debian ``espeak-ng``), GPL-3.0, run as a program of its own; about 100 languages,
  many voices.

No engine is part of Vivant. The sound that eSpeak NG makes is not covered by its licence; the program is, so it is
neither bundled nor loaded into this process.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Protocol

import numpy as np

from vivant.core.errors import ConfigError
from vivant.tts.spoken import Spoken

ENGINES = ("hibari", "flite", "espeak")
"""All engines, the most natural first."""
MAX_CHARACTERS = 5000


class Engine(Protocol):
    """One engine."""

    @property
    def voices(self) -> tuple[str, ...]:
        """Names of its voices; more may exist."""

    def missing(self) -> str:
        """Empty, or what to install, as the rest of a sentence."""

    def speak(self, text: str, voice: str, speed: float, pitch: float, seed: int) -> Spoken:
        """Speech; ``speed`` 1 is the voice's own, ``pitch`` in semitones."""


@cache
def engine(name: str) -> Engine:
    """The engine of that name, whether it can be used here or not.

    Raises:
        ConfigError: no such engine.
    """
    if name not in ENGINES:
        raise ConfigError(f"There is no speech engine '{name}': use one of {', '.join(ENGINES)}.")
    made: Engine = import_module(f"vivant.tts.{name}").Engine()
    return made


def installed() -> tuple[str, ...]:
    """Names of the engines that can be used here."""
    return tuple(name for name in ENGINES if not engine(name).missing())


def speak(text: str, voice: str = "", speed: float = 1.0, pitch: float = 0.0, seed: int = 0) -> Spoken:
    """Say a text.

    Args:
        text: what to say, at most 5000 characters.
        voice: ``engine`` or ``engine:voice``, such as ``flite:slt`` or ``espeak:de+f3``; empty takes the first engine
            that is installed.
        speed: 0.4 to 2.5 times the voice's own.
        pitch: semitones up or down, -12 to 12.
        seed: of the noise in the sound, where an engine draws any; the same seed gives the same samples.

    Raises:
        ConfigError: no or too much text, no such voice, a value out of range, or the engine is not installed.
    """
    _check(text, speed, pitch)
    name, _, which = voice.partition(":")
    if not name:
        usable = installed()
        if not usable:
            raise ConfigError(f"No text-to-speech engine is installed: {engine(ENGINES[0]).missing()}.")
        name = usable[0]
    chosen = engine(name)
    lack = chosen.missing()
    if lack:
        raise ConfigError(f"Speech by '{name}' is not installed: {lack}, or use another engine.")
    spoken = chosen.speak(text, which or chosen.voices[0], speed, pitch, seed)
    if not len(spoken.samples) or not np.abs(spoken.samples).max() > 1e-4:
        raise ConfigError(f"The voice '{name}:{which}' says nothing for '{text[:40]}': give words it can read.")
    return spoken


def _check(text: str, speed: float, pitch: float) -> None:
    if not text.strip():
        raise ConfigError("There is no text to say: give a sentence.")
    if len(text) > MAX_CHARACTERS:
        raise ConfigError(f"The text has {len(text)} characters: give at most {MAX_CHARACTERS} at a time.")
    if not (0.4 <= speed <= 2.5 and -12 <= pitch <= 12):
        raise ConfigError(f"Speed {speed} or pitch {pitch} is out of range: give 0.4 to 2.5, and -12 to 12 semitones.")
