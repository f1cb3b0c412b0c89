"""Speech by eSpeak NG in about 100 languages. Its library is GPL-3.0, so it runs in a process of its own
(:mod:`vivant.tts.espeak_program`), which answers in JSON and raw samples."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

from vivant.core.errors import ConfigError
from vivant.tts.phonesets import from_ipa
from vivant.tts.spoken import Phone, Spoken, gapless


class Engine:
    """eSpeak NG: a voice is a language, and after ``+`` a variant: ``en-us+f3``, ``de+m2``, ``fr``."""

    voices = ("en-us", "en", "de", "fr", "es", "it", "pt-br", "nl", "sv", "pl", "ru", "tr", "fi", "ja", "hi", "el")

    def missing(self) -> str:
        """Empty, or what to install."""
        return "" if shutil.which("espeak-ng") else "install the program espeak-ng (apt install espeak-ng)"

    def speak(self, text: str, voice: str, speed: float, pitch: float, seed: int) -> Spoken:
        """See :func:`vivant.tts.engines.speak`; the same text always sounds the same."""
        program = Path(__file__).with_name("espeak_program.py")
        wish = json.dumps({"text": text, "voice": voice, "words": round(165 * speed), "pitch": round(50 + 7 * pitch)})
        done = subprocess.run(
            [sys.executable, str(program)], input=wish.encode(), capture_output=True, check=False, timeout=120
        )
        if done.returncode:
            reason = done.stderr.decode(errors="replace").strip().splitlines()
            why = reason[-1][:80] if reason else "killed"
            raise ConfigError(
                f"eSpeak NG failed with the voice '{voice}' ({why}): give a --language or --voice of it, such as "
                f"{', '.join(self.voices[:5])}; espeak-ng --voices lists all."
            )
        head, _, sound = done.stdout.partition(b"\n")
        told = json.loads(head)
        samples = np.frombuffer(sound, "<i2").astype(np.float32) / 32768
        seconds = len(samples) / told["rate"]
        starts = [*(start for start, _ in told["phones"]), round(seconds * told["rate"])]
        phones = [
            Phone(from_ipa(name), a / told["rate"], b / told["rate"])
            for (_, name), a, b in zip(told["phones"], starts, starts[1:])
        ]
        return Spoken(samples, told["rate"], gapless(phones, seconds))
