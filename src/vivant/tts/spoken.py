"""What a text-to-speech engine gives: sound, and when which phone is heard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

SILENCE = ""
"""Symbol of a pause."""


class Phone(NamedTuple):
    """One speech sound. ``symbol``: IPA, :data:`SILENCE` for a pause; ``start`` and ``end`` in seconds."""

    symbol: str
    start: float
    end: float


@dataclass(frozen=True)
class Spoken:
    """Speech. ``samples``: (N,) float32 mono in -1..1 at ``rate`` Hz; ``phones``: in order, without gaps, from 0 to the
    end of the sound."""

    samples: np.ndarray
    rate: int
    phones: tuple[Phone, ...]

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.rate


def gapless(phones: Sequence[Phone], seconds: float) -> tuple[Phone, ...]:
    """Phones in order with every gap filled by silence, cut at ``seconds``; pauses that touch become one."""
    filled: list[Phone] = []
    at = 0.0
    for phone in sorted(phones, key=lambda p: p.start):
        start, end = min(seconds, max(at, phone.start)), min(seconds, phone.end)
        if start > at + 1e-4:
            filled.append(Phone(SILENCE, at, start))
        else:
            start = at
        if end > start:
            filled.append(Phone(phone.symbol, start, end))
            at = end
    if seconds > at + 1e-4:
        filled.append(Phone(SILENCE, at, seconds))
    joined: list[Phone] = []
    for phone in filled:
        if joined and joined[-1].symbol == phone.symbol == SILENCE:
            phone = Phone(SILENCE, joined.pop().start, phone.end)
        joined.append(phone)
    return tuple(joined)


def resized(spoken: Spoken, factor: float) -> Spoken:
    """The same speech by a smaller (``factor`` > 1) or larger head: formants and pitch go up by it, time runs by it."""
    from scipy.signal import resample_poly

    if abs(factor - 1) < 1e-3:
        return spoken
    up, down = 100, round(100 * factor)
    samples = resample_poly(spoken.samples.astype(np.float64), up, down).astype(np.float32)
    seconds = len(samples) / spoken.rate
    phones = [Phone(p.symbol, p.start * up / down, p.end * up / down) for p in spoken.phones]
    return Spoken(np.clip(samples, -1, 1), spoken.rate, gapless(phones, seconds))


def padded(spoken: Spoken, before: float, after: float) -> Spoken:
    """Silence of that many seconds before and after."""
    first, last = round(before * spoken.rate), round(after * spoken.rate)
    samples = np.pad(spoken.samples, (first, last))
    shift = first / spoken.rate
    phones = [Phone(p.symbol, p.start + shift, p.end + shift) for p in spoken.phones if p.symbol != SILENCE]
    return Spoken(samples, spoken.rate, gapless(phones, len(samples) / spoken.rate))
