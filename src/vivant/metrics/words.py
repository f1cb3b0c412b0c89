"""Word error rate, and speech recognisers behind one call."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np

from vivant.core.errors import ConfigError, MissingExtraError, WeightsError

RATE = 16_000
Recogniser = Callable[[np.ndarray], str]
_PACKAGES = {"pocketsphinx": ("pocketsphinx", "asr"), "whisper": ("transformers", "speech")}  # and their extras


def words_of(text: str) -> list[str]:
    """Words in small letters, without punctuation; apostrophes inside words stay."""
    return re.findall(r"[^\W_]+(?:'[^\W_]+)*", text.lower().replace("’", "'"))


def word_error_rate(heard: str, said: str) -> float:
    """Substitutions, insertions and deletions over the number of words said; 0 and up, NaN if nothing was said."""
    ours, theirs = words_of(heard), words_of(said)
    if not theirs:
        return float("nan")
    row = np.arange(len(ours) + 1)
    for number, word in enumerate(theirs, 1):
        before, row = row, np.empty_like(row)
        row[0] = number
        for i, other in enumerate(ours, 1):
            row[i] = min(before[i] + 1, row[i - 1] + 1, before[i - 1] + (word != other))
    return float(row[-1]) / len(theirs)


def lacking_recogniser(name: str) -> str | None:
    """Why the recogniser ``name`` cannot run, None if it can.

    Raises:
        ConfigError: there is no such recogniser, or its model is not named.
    """
    kind = name.partition(":")[0]
    if kind not in _PACKAGES:
        raise ConfigError(f"There is no recogniser '{name}': use pocketsphinx or whisper:FOLDER_OR_MODEL.")
    package, extra = _PACKAGES[kind]
    if kind == "whisper" and not name.partition(":")[2]:
        raise ConfigError("Whisper needs its model: say whisper:FOLDER or whisper:openai/whisper-base.")
    if find_spec(package) is None:
        return str(MissingExtraError(package, extra, "Word error rate"))
    return None


def open_recogniser(name: str) -> Recogniser:
    """A function from mono samples (N,) float32 at 16 kHz to text.

    ``name``: "pocketsphinx" (English, its model is in the package) or "whisper:MODEL", a folder or a hub name of a
    Whisper model for transformers.

    Raises:
        ConfigError: no such recogniser. MissingExtraError: its package is not installed. WeightsError: no model.
    """
    kind, _, model = name.partition(":")
    if lacking_recogniser(name):
        raise MissingExtraError(*_PACKAGES[kind], "Word error rate")
    return _pocketsphinx() if kind == "pocketsphinx" else _whisper(model)


def _pocketsphinx() -> Recogniser:
    from pocketsphinx import Decoder

    decoder = Decoder(samprate=RATE, loglevel="FATAL")

    def hear(samples: np.ndarray) -> str:
        decoder.start_utt()
        decoder.process_raw((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes(), full_utt=True)
        decoder.end_utt()
        best = decoder.hyp()
        return best.hypstr if best else ""

    return hear


def _whisper(model: str) -> Recogniser:
    from transformers import pipeline

    try:
        run: Any = pipeline("automatic-speech-recognition", model=model)
    except (OSError, ValueError) as error:
        raise WeightsError(f"The speech model '{model}' cannot be loaded: give a folder that holds it.") from error

    def hear(samples: np.ndarray) -> str:
        long = len(samples) > 30 * RATE  # Whisper reads longer sound piece by piece along its own time marks
        heard = run({"raw": samples.astype(np.float32), "sampling_rate": RATE}, return_timestamps=long)
        return str(heard["text"])

    return hear
