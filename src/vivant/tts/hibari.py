"""Speech by the package ``hibari-tts``: a small neural voice whose own durations are the phone times."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from vivant.core.errors import ConfigError
from vivant.tts.phonesets import from_misaki
from vivant.tts.spoken import SILENCE, Phone, Spoken, gapless

DURATIONS = "/Clip_output_0"
"""Tensor of the net that holds the length of each phoneme, in pairs of spectral frames (2 x 12.5 ms)."""
WORD_GAP = 0.08
"""Seconds from which on a space between words is a pause."""
STRESS = "ˈˌ"
LEAD = 0.06
"""Seconds by which the sound comes before the net's own durations: the lag at which the energy above 3.5 kHz of seven
sentences full of sibilants fits the phone times best (0.078, 0.060, 0.056 at speeds 0.75, 1, 1.3; Flite and eSpeak NG
measured in the same way: 0.000 to 0.002)."""
_FRAMES, _HOP, _RATE = 2, 300, 24_000


class Engine:
    """hibari: ``heart``, an American woman, inside the package. Its other voices are downloads and are not used."""

    voices = ("heart",)

    def missing(self) -> str:
        """Empty, or what to install."""
        return "" if find_spec("hibari") else "pip install 'vivant[tts]'"

    def speak(self, text: str, voice: str, speed: float, pitch: float, seed: int) -> Spoken:
        """See :func:`vivant.tts.engines.speak`."""
        if voice not in self.voices:
            raise ConfigError(f"hibari has no voice '{voice}' without a download: use heart.")
        rng = np.random.default_rng(seed)
        parts: list[np.ndarray] = []
        phones: list[Phone] = []
        at = 0.0
        for sentence in self._model.phonemize(text):
            samples, found = self._sentence(sentence, speed, pitch, rng)
            phones += [Phone(p.symbol, p.start + at, p.end + at) for p in found]
            parts.append(samples)
            at += len(samples) / _RATE
        samples = np.concatenate(parts) if parts else np.zeros(0, np.float32)
        return Spoken(np.clip(samples, -1, 1), _RATE, gapless(phones, len(samples) / _RATE))

    def _sentence(
        self, phonemes: str, speed: float, pitch: float, rng: np.random.Generator
    ) -> tuple[np.ndarray, list[Phone]]:
        from hibari import dsp

        heard = [c for c in phonemes if c in self._model.vocab]
        feed = {"ids": np.array([self._model.ids(phonemes)], np.int64), "speed": np.array([speed], np.float32)}
        *spectra, durations = self._session.run(None, feed)
        harmonic, phase, noise, rest, turn, tone = (part[0] for part in spectra)
        samples = dsp.synth(harmonic, phase, noise, rest, turn, tone * np.float32(2 ** (pitch / 12)), rng)
        ends = np.cumsum(durations) * (_FRAMES * _HOP / _RATE)
        ends[:-1] = np.maximum(ends[:-1] - LEAD * (1 + 1 / speed) / 2, 0)
        return samples, _phones(["", *heard, ""], ends)

    @cached_property
    def _model(self) -> Any:
        from hibari import Hibari

        return Hibari()

    @cached_property
    def _session(self) -> Any:
        """The net with its durations as one more output. A protocol buffer may be continued by appending to it: the
        appended bytes say ``graph { output { name } }``."""
        import onnxruntime

        name = DURATIONS.encode()
        output = b"\x0a" + bytes([len(name)]) + name
        graph = b"\x62" + bytes([len(output)]) + output
        data = Path(self._model.model_path).read_bytes() + b"\x3a" + bytes([len(graph)]) + graph
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the runtime has no error class of its own for this
            raise ConfigError(
                f"This hibari-tts does not tell phone times ({str(error)[:60]}): pip install 'vivant[tts]' again."
            ) from error


def _phones(signs: Sequence[str], ends: np.ndarray) -> list[Phone]:
    """One phone for each sound. A stress mark's time belongs to the next sound, that of a length mark or of the short
    space between two words to the one before."""
    phones: list[Phone] = []
    start = 0.0
    for sign, end in zip(signs, ends.tolist()):
        symbol = from_misaki(sign)
        joins = symbol is None or (sign == " " and end - start < WORD_GAP)
        if joins and sign not in STRESS and phones:
            phones[-1] = phones[-1]._replace(end=end)
        if joins and sign in STRESS:
            continue
        if not joins:
            phones.append(Phone(symbol or SILENCE, start, end))
        start = end
    return phones
