"""Phones become the motion of a mouth: visemes with coarticulation.

Each phone pulls three articulators (opening, rounding, spreading) towards its own targets. How strongly, and how far
beyond its own time, is its dominance (Cohen and Massaro, Modeling coarticulation in synthetic visual speech, 1993):
the curve of an articulator is the mean of all targets, weighted by dominances that fall off exponentially outside the
phone. Closures (p b m) and lip on teeth (f v) are no matter of degree: they are reached whatever the neighbours want.
Phones are IPA, as :mod:`vivant.tts` gives them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from scipy.ndimage import gaussian_filter1d

from vivant.rig.motion import EXPRESSION_NAMES, expression_rows

STEP = 0.005
"""Seconds between the points at which curves are computed; frames read them in the middle of their time."""
OPEN, ROUND, SPREAD = range(3)
BEFORE, AFTER = np.array([0.055, 0.11, 0.065]), np.array([0.05, 0.07, 0.06])
"""Seconds in which dominance falls to 1/e before and after a phone: opening, rounding (lips round early), spreading."""
_REACH = 5.0
_RAMP = 0.055
_SHORTEST = 0.07  # of a closure, in seconds: longer than a frame of 25 fps, so that one frame always shows it
_SMOOTH = 0.014


@dataclass(frozen=True)
class Viseme:
    """Targets in 0..1 of (opening, rounding, spreading), their dominances, and the lips' special tasks.

    ``flare``: lips stand out without closing round (sh). ``teeth``: how far the lips draw back to bare the teeth (s).
    ``closed``: lips shut (p b m). ``bite``: the lower lip on the upper teeth (f v).
    """

    targets: tuple[float, float, float]
    dominance: tuple[float, float, float]
    flare: float = 0.0
    teeth: float = 0.0
    closed: bool = False
    bite: bool = False


def _vowel(opening: float, rounding: float, spreading: float) -> Viseme:
    return Viseme((opening, rounding, spreading), (1.0, 0.4 + rounding, 0.3 + spreading))


# fmt: off
_VOWELS = {
    "i": (0.12, 0.0, 0.65), "ɪ": (0.22, 0.0, 0.4), "e": (0.28, 0.0, 0.45), "ɛ": (0.48, 0.0, 0.3),
    "æ": (0.72, 0.0, 0.35), "a": (0.9, 0.0, 0.12), "ɑ": (0.95, 0.05, 0.0), "ɒ": (0.75, 0.4, 0.0),
    "ɔ": (0.55, 0.6, 0.0), "o": (0.36, 0.85, 0.0), "ʊ": (0.25, 0.6, 0.0), "u": (0.16, 0.95, 0.0),
    "ʌ": (0.58, 0.0, 0.05), "ə": (0.32, 0.05, 0.05), "ɐ": (0.6, 0.0, 0.05), "ɜ": (0.36, 0.25, 0.0),
    "ɝ": (0.3, 0.4, 0.0), "ɚ": (0.28, 0.35, 0.0), "y": (0.14, 0.95, 0.0), "ʏ": (0.22, 0.7, 0.0),
    "ø": (0.32, 0.85, 0.0), "œ": (0.5, 0.65, 0.0), "ɨ": (0.18, 0.0, 0.3), "ɯ": (0.16, 0.1, 0.3),
    "ɤ": (0.36, 0.05, 0.1), "ɵ": (0.3, 0.7, 0.0), "ʉ": (0.16, 0.85, 0.0), "ᵻ": (0.2, 0.0, 0.3), "ɘ": (0.3, 0.0, 0.1),
}
_CONSONANTS = (
    ("pbmɓɸβ", Viseme((0.1, 0.0, 0.0), (0.5, 0.05, 0.05), closed=True)),
    ("fvɱʋ", Viseme((0.1, 0.0, 0.15), (0.8, 0.1, 0.2), bite=True)),
    ("θð", Viseme((0.2, 0.0, 0.1), (0.8, 0.1, 0.2), teeth=0.35)),
    ("sz", Viseme((0.07, 0.0, 0.3), (1.4, 0.15, 0.5), teeth=0.6)),
    ("tdnʈɖɳ", Viseme((0.14, 0.0, 0.1), (0.7, 0.06, 0.12), teeth=0.3)),
    ("lɭɫ", Viseme((0.28, 0.0, 0.1), (0.6, 0.06, 0.12), teeth=0.15)),
    ("rɾʀɽ", Viseme((0.22, 0.05, 0.05), (0.6, 0.08, 0.1), teeth=0.15)),
    ("ʃʒɕʑʂʐ", Viseme((0.1, 0.2, 0.0), (1.3, 0.7, 0.5), flare=0.8, teeth=0.35)),
    ("ɹɻ", Viseme((0.16, 0.5, 0.0), (0.8, 0.8, 0.3), flare=0.3)),
    ("kɡgŋxɣqɴχʁħʕ", Viseme((0.24, 0.0, 0.0), (0.45, 0.04, 0.05))),
    ("jçɲʎʝcɟ", Viseme((0.14, 0.0, 0.4), (0.8, 0.2, 0.6), teeth=0.2)),
    ("wʍɥ", Viseme((0.1, 1.0, 0.0), (1.0, 1.8, 0.8))),
    ("hɦʔʜ", Viseme((0.3, 0.0, 0.0), (0.05, 0.02, 0.02))),
)
# fmt: on
VISEMES: dict[str, Viseme] = {s: _vowel(*t) for s, t in _VOWELS.items()} | {
    sign: viseme for signs, viseme in _CONSONANTS for sign in signs
}
"""Viseme of every IPA letter that is known here; unknown letters (clicks, tones) move nothing."""
REST = Viseme((0.0, 0.0, 0.0), (0.7, 0.25, 0.25))
_STOPS = set("pbɓ")


def visemes(
    phones: Sequence[tuple[str, float, float]],
    fps: Fraction | float,
    count: int,
    strength: float = 1.0,
    emphasis: Sequence[float] | None = None,
) -> np.ndarray:
    """How the mouth moves while these phones are heard.

    Args:
        phones: (IPA, start, end) in seconds, in order; an empty symbol is a pause. Diphthongs and affricates are
            several letters, which share the time; letters that are not in :data:`VISEMES` are passed over.
        fps: frames per second.
        count: F; frame f is seen from f / fps to (f + 1) / fps and shows the middle of that time.
        strength: 1 is clear everyday speech, 0.6 mumbled, 1.4 very clear; closures stay closures.
        emphasis: one factor for the opening of each phone, such as its loudness; 1 everywhere if None.

    Returns:
        (F, E) float32, units of ``vivant.rig.motion.EXPRESSION_NAMES`` on top of a closed, neutral mouth.
    """
    spans = _letters(phones, emphasis)
    seconds = max(float(count / Fraction(fps)), spans[-1].end if spans else 0.0)
    size = int(seconds / STEP) + 2
    shape, extra = _articulators(spans, size), _tasks(spans, size)
    curves = _units(shape * [strength, 1.0, strength], extra)
    times = (np.arange(count) + 0.5) / float(fps)
    grid = np.arange(size) * STEP
    result = np.zeros((count, len(EXPRESSION_NAMES)), np.float32)
    for name, curve in curves.items():
        values = np.interp(times, grid, curve)
        for row in expression_rows(name):
            result[:, row] = values
    return result


def resting_mouth(expression: np.ndarray) -> np.ndarray:
    """What closes and relaxes a still's mouth: (E,) absolute expression of the still -> (E,) to add, so that visemes
    start from closed lips also where the still shows an open or smiling mouth (half of the smile stays)."""
    away = np.zeros_like(expression)
    for name, share in _RELAXED.items():
        for row in expression_rows(name):
            away[row] = -share * expression[row]
    return away


_RELAXED = {
    "jawOpen": 1.0, "mouthClose": 1.0, "mouthFunnel": 1.0, "mouthPucker": 0.7, "mouthLowerDown": 1.0,
    "mouthUpperUp": 1.0, "mouthShrugUpper": 1.0, "mouthShrugLower": 0.7, "mouthSmile": 0.5, "mouthStretch": 0.7,
    "mouthRollLower": 0.5, "mouthRollUpper": 0.5,
}  # fmt: skip


@dataclass(frozen=True)
class _Span:
    viseme: Viseme
    start: float
    end: float
    emphasis: float
    stop: bool


def _letters(phones: Sequence[tuple[str, float, float]], emphasis: Sequence[float] | None) -> list[_Span]:
    """Phones of several letters share their time equally."""
    spans = []
    for number, (symbol, start, end) in enumerate(phones):
        factor = 1.0 if emphasis is None else float(emphasis[number])
        letters = [letter for letter in symbol if letter in VISEMES]
        if not symbol:
            spans.append(_Span(REST, start, end, 1.0, False))
        for place, letter in enumerate(letters):
            a, b = (start + (end - start) * k / len(letters) for k in (place, place + 1))
            spans.append(_Span(VISEMES[letter], a, b, factor, letter in _STOPS))
    return spans


def _window(start: float, end: float, before: float, after: float, size: int) -> tuple[slice, np.ndarray]:
    """The grid points from ``before`` seconds ahead of ``start`` to ``after`` seconds behind ``end``, with times."""
    first, last = max(0, int((start - before) / STEP)), min(size, int((end + after) / STEP) + 2)
    return slice(first, last), np.arange(first, last) * STEP


def _articulators(spans: Sequence[_Span], size: int) -> np.ndarray:
    """(T, 3) opening, rounding and spreading: targets averaged by dominance."""
    total, weight = np.zeros((size, 3)), np.full((size, 3), 1e-3)
    for span in spans:
        core = 0.2 * min(span.end - span.start, 0.15)
        part, times = _window(span.start, span.end, _REACH * BEFORE.max(), _REACH * AFTER.max(), size)
        early = np.maximum(span.start + core - times, 0)[:, None] / BEFORE
        late = np.maximum(times - span.end + core, 0)[:, None] / AFTER
        pull = np.array(span.viseme.dominance) * np.exp(-early - late)
        targets = np.array(span.viseme.targets) * [span.emphasis, 1.0, 1.0]
        total[part] += pull * targets
        weight[part] += pull
    return np.asarray(gaussian_filter1d(total / weight, _SMOOTH / STEP, axis=0, mode="nearest"))


def _tasks(spans: Sequence[_Span], size: int) -> dict[str, np.ndarray]:
    """Curves (T,) in 0..1 of closing, biting, flaring and baring the teeth; the strongest phone counts."""
    curves = {name: np.zeros(size) for name in ("closed", "bite", "flare", "teeth")}
    for span in spans:
        start, end = span.start, span.end
        if span.viseme.closed or span.viseme.bite:
            end -= 0.25 * (end - start) if span.stop else 0.0  # the burst is heard after the lips part
            start = min(start, end - _SHORTEST)
        for name, curve in curves.items():
            height = float(getattr(span.viseme, name))
            if height:
                part, times = _window(start, end, _RAMP, _RAMP, size)
                rise = np.clip(np.minimum(times - start + _RAMP, end + _RAMP - times) / _RAMP, 0, 1)
                curve[part] = np.maximum(curve[part], height * rise * rise * (3 - 2 * rise))
    return {name: gaussian_filter1d(c, 0.008 / STEP, mode="nearest") if name != "closed" else c
            for name, c in curves.items()}  # fmt: skip


def _units(shape: np.ndarray, task: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Articulators and tasks as units of the head. ``mouthClose`` as large as ``jawOpen`` shuts its lips."""
    opening, rounding, spreading = (np.clip(shape[:, k], 0, 1.3) for k in (OPEN, ROUND, SPREAD))
    closed, bite, flare, teeth = (task[name] for name in ("closed", "bite", "flare", "teeth"))
    free = (1 - closed) * (1 - bite)
    narrow = 1 - 0.75 * np.minimum(rounding, 1)
    jaw = 0.32 * opening
    return {
        "jawOpen": jaw,
        "mouthClose": jaw * np.maximum(closed, 0.75 * bite),
        "mouthPucker": rounding * (0.62 - 0.3 * opening) * (1 - 0.4 * closed) * (1 - 0.5 * flare),
        "mouthFunnel": (rounding * (0.08 + 0.4 * opening) + 0.38 * flare) * free,
        "mouthStretch": 0.26 * spreading,
        "mouthSmile": 0.16 * spreading * (1 - 0.5 * closed),
        "mouthLowerDown": (0.34 * opening + 0.3 * teeth) * narrow * free,
        "mouthUpperUp": (0.14 * opening + 0.14 * teeth) * narrow * free + 0.14 * bite,
        "mouthPress": 0.22 * closed,
        "mouthRollLower": 0.36 * bite + 0.07 * closed,
        "mouthRollUpper": 0.07 * closed,
    }
