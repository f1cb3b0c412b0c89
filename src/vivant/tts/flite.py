"""Speech by CMU Flite, run as a program; ``-psdur`` prints every phone with the time of its end."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import wave
from pathlib import Path

import numpy as np

from vivant.core.errors import ConfigError
from vivant.tts.phonesets import from_arpabet
from vivant.tts.spoken import Phone, Spoken, gapless, resized

PITCH_CONTROL = {"slt": "f0_shift", "rms": "", "awb": "f0_shift", "kal": "int_f0_target_mean"}
"""What changes the pitch of a voice: a factor, or the mean in Hz. The voice rms has neither: it is made smaller or
larger as a whole, which moves its formants too."""
_KAL_HZ = 110.0


class Engine:
    """Flite: ``slt`` an American woman, ``rms`` an American man, ``awb`` a Scottish man, ``kal`` an older voice."""

    voices = tuple(PITCH_CONTROL)

    def missing(self) -> str:
        """Empty, or what to install."""
        return "" if shutil.which("flite") else "install the program flite (apt install flite)"

    def speak(self, text: str, voice: str, speed: float, pitch: float, seed: int) -> Spoken:
        """See :func:`vivant.tts.engines.speak`; the same text always sounds the same."""
        if voice not in PITCH_CONTROL:
            raise ConfigError(f"Flite has no voice '{voice}': use one of {', '.join(PITCH_CONTROL)}.")
        factor, control = 2 ** (pitch / 12), PITCH_CONTROL[voice]
        if not control:
            return resized(_run(text, voice, speed / factor, []), factor)
        value = factor * (_KAL_HZ if voice == "kal" else 1)
        return _run(text, voice, speed, ["--setf", f"{control}={value:.4f}"])


def _run(text: str, voice: str, speed: float, more: list[str]) -> Spoken:
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "speech.wav"
        command = ["flite", "-voice", voice, "-psdur", "--setf", f"duration_stretch={1 / speed:.4f}", *more,
                   "-o", str(target), "-t", text]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        if done.returncode or not target.is_file():
            raise ConfigError(f"Flite failed on '{text[:40]}' ({done.stderr.strip()[:80]}): try another text.")
        samples, rate = _read_wave(target)
    return Spoken(samples, rate, gapless(_phones(done.stdout), len(samples) / rate))


def _read_wave(path: Path) -> tuple[np.ndarray, int]:
    with wave.open(str(path)) as sound:
        data = np.frombuffer(sound.readframes(sound.getnframes()), "<i2")
        return data.astype(np.float32) / 32768, sound.getframerate()


def _phones(printed: str) -> list[Phone]:
    """``pau:0.195 p:0.280 ...``, ends in seconds; every utterance of a text starts again at 0."""
    phones: list[Phone] = []
    base = last = 0.0
    for item in printed.split():
        name, _, value = item.rpartition(":")
        end = float(value)
        if end < last:
            base, last = base + last, 0.0
        phones.append(Phone(from_arpabet(name), base + last, base + end))
        last = end
    return phones
