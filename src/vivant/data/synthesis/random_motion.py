"""Motion that nobody made: smooth random heads, expressions, blinks and gaze, in takes of several kinds.

Some takes show one thing alone (only the eyes, only the lids, only the head, only the mouth), so that a model can learn
what belongs to what; most show everything at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from vivant.data.synthesis.curves import Random, blinks, gesture, glances, smooth_step, wander
from vivant.data.synthesis.expressions import draw_expression, plausible
from vivant.data.synthesis.takes import Take, generator
from vivant.rig.motion import EXPRESSION_NAMES, RigMotion, expression_rows
from vivant.rig.visemes import VISEMES, visemes

KINDS: dict[str, float] = {
    "free": 0.4, "talk": 0.14, "expression": 0.12, "mouth": 0.06, "head": 0.16, "gaze": 0.07, "blink": 0.05,
}  # fmt: skip
"""Share of each kind of take: everything; like speech, with everything else moderate; held expressions; wide and held
mouths on a nearly still head; the head alone; the eyes alone; the lids alone."""
START = 0.24
"""Seconds in which a take leaves the still, so that frame 0 is the photograph."""
SPREAD = 0.8
"""Standard deviation of a head's angles, in parts of their soft limits."""


@dataclass(frozen=True)
class Range:
    """How far random motion goes. Degrees for yaw, pitch and roll; cm for the shift; ``log_scale`` natural logarithm.

    The numbers are soft limits (``wander``); the rig's own good range is a little larger. Heads have to go far on
    average, too: of clips whose pitch varied by 1.6 degrees a net learned to read no pitch at all.
    """

    yaw: float = 27.0
    pitch: float = 15.0
    roll: float = 18.0
    shift: float = 1.2
    log_scale: float = 0.07
    gaze: tuple[float, float] = (0.2, 0.11)

    def scaled(self, by: float) -> Range:
        """The same, ``by`` times as far; the gaze stays."""
        return Range(by * self.yaw, by * self.pitch, by * self.roll, by * self.shift, by * self.log_scale, self.gaze)


@dataclass(frozen=True)
class RandomMotion:
    """Random takes of ``frames`` frames at ``fps``."""

    frames: int = 32
    fps: Fraction = Fraction(25)
    reach: Range = field(default_factory=Range)

    def take(self, number: int, seed: int) -> Take:
        """See :class:`vivant.data.synthesis.takes.MotionSource`."""
        rng = generator(seed, 1, number)
        kind = str(rng.choice(list(KINDS), p=np.array(list(KINDS.values())) / sum(KINDS.values())))
        talking = kind in ("talk", "mouth") or (kind == "free" and rng.random() < 0.5)
        return Take(random_motion(rng, kind, self.frames, self.fps, self.reach), kind, talking=talking)


def random_motion(rng: Random, kind: str, frames: int, fps: Fraction, reach: Range | None = None) -> RigMotion:
    """One motion of a kind of :data:`KINDS`; frame 0 does not move."""
    reach = reach or Range()
    t = np.arange(frames) / float(fps)
    far = {"free": rng.uniform(0.7, 1.1), "head": rng.uniform(0.9, 1.2), "talk": 0.6, "expression": 0.5}.get(kind, 0.06)
    pose = head(rng, t, reach.scaled(far))
    eyes = kind in ("free", "talk", "expression", "gaze")
    wide = 1.2 if kind == "gaze" else 0.85
    pause = (0.08, 0.4) if kind == "gaze" else (0.15, 0.7)
    gaze = glances(rng, t, (wide * reach.gaze[0], wide * reach.gaze[1]), pause) if eyes else np.zeros((frames, 2))
    if kind in ("free", "talk") and rng.random() < 0.5:
        pose, gaze = follow(pose, gaze, rng.uniform(0.2, 0.5), fps)
    expression = _expression(rng, kind, t, fps)
    lids = blinks(rng, t, {"blink": 0.35, "gaze": 2.5, "head": 2.5}.get(kind, 1.3), 0.5 if kind == "blink" else 0.2)
    for side, name in enumerate(("eyeBlink_L", "eyeBlink_R")):
        expression[:, EXPRESSION_NAMES.index(name)] = lids[:, side]
    fade = smooth_step(t / START)[:, None]
    gaze = np.clip(gaze, [-0.42, -0.24], [0.42, 0.24])
    return RigMotion(fps, pose * fade, plausible(expression) * fade, gaze * fade)


def head(rng: Random, t: np.ndarray, reach: Range) -> np.ndarray:
    """(F, 6) a head that wanders, quickly or slowly; columns as in ``RigMotion``."""
    slow = rng.uniform(0.16, 0.45)
    limits = (reach.yaw, reach.pitch, reach.roll, reach.shift, 0.7 * reach.shift, reach.log_scale)
    pace = (1, 1, 1.1, 1.4, 1.4, 1.6)
    return np.stack([wander(rng, t, slow * p, SPREAD * top, top) for top, p in zip(limits, pace)], 1)


def follow(pose: np.ndarray, gaze: np.ndarray, share: float, fps: Fraction) -> tuple[np.ndarray, np.ndarray]:
    """The head goes a ``share`` of the way to where the eyes look, later and slower; the eyes give way by as much."""
    from scipy.ndimage import gaussian_filter1d, shift

    late = shift(gaze, (0.12 * float(fps), 0), order=1, mode="nearest")
    turn = share * gaussian_filter1d(late, 0.1 * float(fps), axis=0, mode="nearest")
    moved = pose.copy()
    moved[:, 0] -= np.degrees(turn[:, 0])  # yaw > 0 turns to the left of the picture, gaze > 0 to the right
    moved[:, 1] += np.degrees(turn[:, 1])
    return moved, gaze - 0.7 * turn


def babble(rng: Random, seconds: float) -> list[tuple[str, float, float]]:
    """Random syllables of one consonant and one vowel, with pauses: (IPA, start, end)."""
    vowels, consonants = list("iɪeɛæaɑɔoʊuʌəy"), list("pbmfvθsztdnlɹʃʒkɡjwh")
    phones, at = [], rng.uniform(0, 0.15)
    while at < seconds:
        for letters, shortest, longest in ((consonants, 0.05, 0.12), (vowels, 0.07, 0.24)):
            length = rng.uniform(shortest, longest)
            phones.append((str(rng.choice(letters)), at, at + length))
            at += length
        if rng.random() < 0.15:
            pause = rng.uniform(0.1, 0.4)
            phones.append(("", at, at + pause))
            at += pause
    assert all(letter in VISEMES for letter, _, _ in phones if letter)
    return phones


def _expression(rng: Random, kind: str, t: np.ndarray, fps: Fraction) -> np.ndarray:
    """(F, E) all units but the lids'."""
    units = np.zeros((len(t), len(EXPRESSION_NAMES)))
    if kind == "talk" or (kind == "free" and rng.random() < 0.5):
        units += visemes(babble(rng, t[-1]), fps, len(t), rng.uniform(0.7, 1.35))
    elif kind == "free":
        units += restless(rng, t)
    if kind in ("free", "talk"):
        units += brows(rng, t)
    if kind == "mouth":
        units += wide_mouth(rng, t)
    if kind == "expression" or (kind in ("free", "talk") and rng.random() < 0.3):
        units += held(rng, t, 1.0 if kind == "expression" else 0.5)
    return np.clip(units, 0, 1.1)


def restless(rng: Random, t: np.ndarray) -> np.ndarray:
    """(F, E) a mouth that never rests: each unit by its own noise."""
    units = np.zeros((len(t), len(EXPRESSION_NAMES)))
    spread = {
        "jawOpen": 0.15, "mouthSmile": 0.3, "mouthPucker": 0.3, "mouthFunnel": 0.22, "mouthStretch": 0.15,
        "mouthUpperUp": 0.15, "mouthLowerDown": 0.2, "mouthFrown": 0.15, "mouthPress": 0.15, "mouthRollLower": 0.15,
        "mouthRollUpper": 0.1, "mouthShrugLower": 0.15, "mouthShrugUpper": 0.08, "mouthLeft": 0.15, "mouthRight": 0.15,
        "jawLeft": 0.12, "jawRight": 0.12, "jawForward": 0.1, "mouthDimple": 0.15, "cheekPuff": 0.1, "noseSneer": 0.15,
        "cheekSquint": 0.2,
    }  # fmt: skip
    active = rng.random(len(spread)) < 0.6
    for (name, size), on in zip(spread.items(), active):
        if not on and name != "jawOpen":
            continue
        together = wander(rng, t, rng.uniform(0.08, 0.18), size, 2.5 * size)
        for row in expression_rows(name):
            own = wander(rng, t, 0.15, 0.25 * size, size)
            units[:, row] += np.maximum(together + own - 0.1 * size, 0)
    return units


def brows(rng: Random, t: np.ndarray) -> np.ndarray:
    """(F, E) brows and the skin around the eyes, slower than a mouth."""
    units = np.zeros((len(t), len(EXPRESSION_NAMES)))
    for name, size in {
        "browInnerUp": 0.3,
        "browOuterUp": 0.25,
        "browDown": 0.3,
        "eyeSquint": 0.2,
        "eyeWide": 0.2,
    }.items():
        together = wander(rng, t, 0.28, size, 2.5 * size)
        for row in expression_rows(name):
            units[:, row] += np.maximum(together + wander(rng, t, 0.25, 0.2 * size, size) - 0.2 * size, 0)
    return units


def held(rng: Random, t: np.ndarray, strength: float) -> np.ndarray:
    """(F, E) one expression after the other, each taken up, held and let go."""
    units = np.zeros((len(t), len(EXPRESSION_NAMES)))
    at = rng.uniform(0.0, 0.15)
    while at < t[-1]:
        rise, hold, fall = rng.uniform(0.1, 0.3), rng.uniform(0.15, 0.7), rng.uniform(0.12, 0.35)
        _, vector = draw_expression(rng, strength * rng.uniform(0.55, 1.1))
        units += gesture(t, at, rise, hold, fall)[:, None] * vector
        at += rise + hold + 0.4 * fall + rng.uniform(0, 0.25)
    return units


def wide_mouth(rng: Random, t: np.ndarray) -> np.ndarray:
    """(F, E) mouths that open wide, stay open, round, bare the teeth or shut, in turn."""
    shapes: list[dict[str, float]] = [
        {"jawOpen": rng.uniform(0.35, 0.62)}, {"jawOpen": rng.uniform(0.2, 0.5), "mouthFunnel": rng.uniform(0.2, 0.6)},
        {"jawOpen": rng.uniform(0.1, 0.35), "mouthSmile": rng.uniform(0.3, 0.6)},
        {"mouthUpperUp": rng.uniform(0.2, 0.5), "mouthLowerDown": rng.uniform(0.3, 0.7)},
        {"mouthPucker": rng.uniform(0.4, 0.8)}, {"mouthRollLower": 0.5, "mouthRollUpper": 0.5},
        {"jawOpen": rng.uniform(0.25, 0.5), "mouthStretch": rng.uniform(0.2, 0.5)},
    ]  # fmt: skip
    units = np.zeros((len(t), len(EXPRESSION_NAMES)))
    at = rng.uniform(0, 0.1)
    while at < t[-1]:
        rise, hold, fall = rng.uniform(0.08, 0.25), rng.uniform(0.08, 0.5), rng.uniform(0.1, 0.25)
        weight = gesture(t, at, rise, hold, fall)
        for name, value in shapes[int(rng.integers(len(shapes)))].items():
            for row in expression_rows(name):
                units[:, row] += weight * value
        at += rise + hold + 0.5 * fall + rng.uniform(0, 0.2)
    return units
