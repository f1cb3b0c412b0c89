"""Motion that speaks: text becomes sound with phone times, and the same phones move the lips, so both agree exactly."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property

import numpy as np

from vivant.core.clip import Audio
from vivant.core.errors import ConfigError
from vivant.data.synthesis.curves import Random, blink, blinks, gesture, glances, smooth_step
from vivant.data.synthesis.expressions import MOUTH, draw_expression, plausible
from vivant.data.synthesis.random_motion import START, Range, brows, follow, head
from vivant.data.synthesis.sentences import LANGUAGES, sentence
from vivant.data.synthesis.takes import Take, generator
from vivant.rig.motion import EXPRESSION_NAMES, RigMotion, expression_rows
from vivant.rig.visemes import visemes
from vivant.tts.engines import ENGINES, engine, installed, speak
from vivant.tts.spoken import SILENCE, Phone, Spoken, gapless, padded, resized

ESPEAK_VARIANTS = ("", "+m1", "+m3", "+m7", "+f1", "+f2", "+f4")
_ESPEAK_NAMES = {"en": ("en-us", "en", "en-gb-scotland")}
ENGINE_SHARES = {"hibari": 0.45, "flite": 0.3, "espeak": 0.25}
_LOUDNESS = 0.08  # mean square root of the samples of a voice at usual level
_VOWELS = set("aeiouyæɑɒɔəɛɜɝɚɪʊʌøœɐɨʉɯ")


@dataclass(frozen=True)
class SpeechMotion:
    """Spoken takes of ``frames`` frames. ``engines``: text-to-speech engines to use, all that are installed if empty;
    ``languages``: of ``sentences.LANGUAGES``; others than English need ``espeak``.

    Raises:
        ConfigError: an engine that is not installed, or a language that none of them speaks.
    """

    frames: int = 75
    fps: Fraction = Fraction(25)
    engines: tuple[str, ...] = ()
    languages: tuple[str, ...] = LANGUAGES
    reach: Range = field(default_factory=Range)

    def __post_init__(self) -> None:
        for name in self.engines:
            if engine(name).missing():
                raise ConfigError(f"Speech by '{name}' is not installed: {engine(name).missing()}.")
        if not self.usable:
            what = "; or ".join(engine(name).missing() for name in ENGINES)
            raise ConfigError(f"No text-to-speech engine is installed: {what}.")
        if not set(self.languages) <= set(LANGUAGES):
            strange = sorted(set(self.languages) - set(LANGUAGES))
            raise ConfigError(f"There are no sentences in {', '.join(strange)}: use {', '.join(LANGUAGES)}.")
        if "en" not in self.languages and "espeak" not in self.usable:
            raise ConfigError("Languages other than English need eSpeak NG: apt install espeak-ng.")

    @cached_property
    def usable(self) -> tuple[str, ...]:
        """Engines that take part."""
        return self.engines or installed()

    def take(self, number: int, seed: int) -> Take:
        """See :class:`vivant.data.synthesis.takes.MotionSource`."""
        rng = generator(seed, 2, number)
        voice, language = self._voice(rng)
        spoken, text = talk(rng, voice, language, float(self.frames / self.fps))
        motion = speaking_motion(rng, spoken, self.frames, self.fps, self.reach)
        return Take(
            motion, "speech", Audio(spoken.samples[:, None], spoken.rate), spoken.phones, talking=True, text=text,
            notes={"voice": voice, "language": language},
        )  # fmt: skip

    def _voice(self, rng: Random) -> tuple[str, str]:
        """An engine with its voice, and the language it speaks."""
        usable = [e for e in self.usable if e == "espeak" or "en" in self.languages]
        shares = np.array([ENGINE_SHARES[e] for e in usable])
        name = str(rng.choice(usable, p=shares / shares.sum()))
        if name != "espeak":
            return f"{name}:{rng.choice(engine(name).voices)}", "en"
        language = str(rng.choice(self.languages))
        spelled = str(rng.choice(_ESPEAK_NAMES.get(language, (language,))))
        return f"espeak:{spelled}{rng.choice(ESPEAK_VARIANTS)}", language


def talk(rng: Random, voice: str, language: str, seconds: float) -> tuple[Spoken, str]:
    """Sentences that fill ``seconds``, by a voice of random speed, pitch, size and loudness, and their text."""
    speed, pitch, size = rng.uniform(0.85, 1.25), rng.uniform(-3, 3), rng.uniform(0.92, 1.1)
    if voice.startswith("hibari") and rng.random() < 0.5:  # its only voice is a woman's
        pitch, size = rng.uniform(-6, -3), rng.uniform(0.82, 0.9)
    gap, texts = rng.uniform(0.2, 0.35), []
    parts: list[Spoken] = []
    at = gap
    while not parts or at < seconds - 0.3:
        text = sentence(rng, language)
        part = resized(speak(text, voice, speed, pitch, int(rng.integers(2**31))), size)
        part = padded(trimmed(part), 0.0 if parts else gap, rng.uniform(0.15, 0.6))
        texts.append(text)
        parts.append(part)
        at = sum(p.seconds for p in parts)
    joined = fitted(parts, seconds)
    level = np.sqrt((joined.samples**2).mean()) + 1e-6
    gain = min(_LOUDNESS * rng.uniform(0.5, 1.6) / level, 0.97 / (np.abs(joined.samples).max() + 1e-6))
    return Spoken((joined.samples * gain).astype(np.float32), joined.rate, joined.phones), " ".join(texts)


def trimmed(spoken: Spoken, keep: float = 0.05) -> Spoken:
    """Without the silence before and after, but for ``keep`` seconds."""
    heard = [p for p in spoken.phones if p.symbol != SILENCE]
    if not heard:
        return spoken
    first = max(0, round((heard[0].start - keep) * spoken.rate))
    last = min(len(spoken.samples), round((heard[-1].end + keep) * spoken.rate))
    shift = first / spoken.rate
    phones = [Phone(p.symbol, p.start - shift, p.end - shift) for p in heard]
    return Spoken(spoken.samples[first:last], spoken.rate, gapless(phones, (last - first) / spoken.rate))


def fitted(parts: list[Spoken], seconds: float) -> Spoken:
    """Parts one after the other, cut (with a short fade) or filled with silence to ``seconds``."""
    rate, phones, at = parts[0].rate, [], 0.0
    for part in parts:
        phones += [Phone(p.symbol, p.start + at, p.end + at) for p in part.phones]
        at += part.seconds
    samples = np.concatenate([p.samples for p in parts])
    wanted = round(seconds * rate)
    if len(samples) > wanted:
        fade = min(wanted, rate // 50)
        samples = samples[:wanted].copy()
        samples[wanted - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
    samples = np.pad(samples, (0, wanted - len(samples)))
    return Spoken(samples, rate, gapless(phones, wanted / rate))


def emphasis(spoken: Spoken) -> np.ndarray:
    """(phones,) how loud each vowel is beside the others, 0.75 to 1.3; 1 for everything else."""
    loud = np.array([_level(spoken, p) if set(p.symbol) & _VOWELS else np.nan for p in spoken.phones])
    usual = np.nanmedian(loud) if np.isfinite(loud).any() else 1.0
    return np.asarray(np.nan_to_num(np.clip(0.65 + 0.35 * loud / (usual + 1e-6), 0.75, 1.3), nan=1.0))


def _level(spoken: Spoken, phone: Phone) -> float:
    part = spoken.samples[int(phone.start * spoken.rate) : int(phone.end * spoken.rate) + 1]
    return float(np.sqrt((part**2).mean()))


def speaking_motion(rng: Random, spoken: Spoken, frames: int, fps: Fraction, reach: Range) -> RigMotion:
    """Lips by the phones; head, brows, lids and gaze as people move them while they speak."""
    t = np.arange(frames) / float(fps)
    stress = emphasis(spoken)
    units = visemes(spoken.phones, fps, frames, rng.uniform(0.8, 1.3), stress.tolist()).astype(np.float64)
    pose = head(rng, t, reach.scaled(rng.uniform(0.15, 0.55)))
    gaze = glances(rng, t, (0.7 * reach.gaze[0], 0.7 * reach.gaze[1]), (0.4, 1.6))
    if rng.random() < 0.6:
        pose, gaze = follow(pose, gaze, rng.uniform(0.2, 0.5), fps)
    upper = 0.7 * brows(rng, t)
    for phone, loud in zip(spoken.phones, stress):
        if loud > 1.08 and rng.random() < 0.5:
            beat = gesture(t, phone.start - 0.12, 0.14, 0.03, 0.22)
            pose[:, 1] += rng.uniform(1.0, 4.0) * beat
            if rng.random() < 0.35:
                for name in ("browInnerUp", "browOuterUp"):
                    upper[:, list(expression_rows(name))] += rng.uniform(0.2, 0.5) * beat[:, None]
    units += upper + _mood(rng)
    lids = np.maximum(blinks(rng, t, 2.4, 0.1), _pause_blinks(rng, t, spoken))
    for side, name in enumerate(("eyeBlink_L", "eyeBlink_R")):
        units[:, EXPRESSION_NAMES.index(name)] = lids[:, side]
    fade = smooth_step(t / START)[:, None]
    gaze = np.clip(gaze, [-0.42, -0.24], [0.42, 0.24])
    return RigMotion(fps, pose * fade, plausible(np.clip(units, 0, 1.1)) * fade, gaze * fade)


def _mood(rng: Random) -> np.ndarray:
    """(E,) an expression that stays while one speaks; of the mouth only its corners."""
    _, vector = draw_expression(rng, rng.uniform(0, 0.45))
    keep = np.ones(len(EXPRESSION_NAMES))
    keep[list(MOUTH)] = 0
    keep[[*expression_rows("mouthSmile"), *expression_rows("mouthFrown"), *expression_rows("mouthDimple")]] = 0.6
    return np.asarray(vector * keep)


def _pause_blinks(rng: Random, t: np.ndarray, spoken: Spoken) -> np.ndarray:
    """(F, 1) blinks in the pauses of speech, where people make half of theirs."""
    lids = np.zeros((len(t), 1))
    for phone in spoken.phones[1:]:
        if phone.symbol == SILENCE and phone.end - phone.start > 0.12 and rng.random() < 0.5:
            lids[:, 0] = np.maximum(lids[:, 0], blink(t, phone.start, 0.08, 0.06, 0.2))
    return lids
