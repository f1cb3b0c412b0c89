"""Text that drives: it is spoken by :mod:`vivant.tts` first, and then is sound like any other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vivant.core.clip import Audio
from vivant.core.errors import ConfigError
from vivant.pipelines.options import check_seed


@dataclass(frozen=True)
class Saying:
    """``text`` in ``voice`` ("engine" or "engine:name", empty for the first engine that is installed) and ``language``
    (as "de", "pt-br", empty for the voice's own); see :func:`vivant.tts.engines.speak`."""

    text: str
    voice: str = ""
    language: str = ""

    def resolved_voice(self) -> str:
        """The voice that speaks.

        Raises:
            ConfigError: the voice cannot speak the language.
        """
        if not self.language or (self.language.split("-")[0] == "en" and not self.voice.startswith("espeak")):
            return self.voice
        engine, _, name = self.voice.partition(":")
        if engine not in ("", "espeak"):
            raise ConfigError(
                f"The voice '{self.voice}' speaks English only, and the language is '{self.language}': leave the voice "
                "out, or use espeak."
            )
        return f"espeak:{self.language}{name if name.startswith('+') else ''}"


def said(saying: Saying | None, audio: Any, seed: int = 0) -> Any:
    """The sound that drives: ``audio`` as given, or what ``saying`` sounds like.

    Raises:
        ConfigError: both are given; or no engine, no such voice, no text to say, or a seed that cannot be used.
    """
    if saying is None:
        return audio
    if audio is not None:
        raise ConfigError("Text and sound are both given: leave one out, a portrait says one thing at a time.")
    from vivant.tts.engines import speak

    spoken = speak(saying.text, saying.resolved_voice(), seed=check_seed(seed))
    return Audio(spoken.samples[:, None], spoken.rate)


def saying_of(text: str | None, voice: str = "", language: str = "") -> Saying | None:
    """None where there is no text.

    Raises:
        ConfigError: a voice or a language without a text.
    """
    if text is None:
        if voice or language:
            raise ConfigError("A voice or a language is given, but no text that it could say: add it with --text.")
        return None
    return Saying(text, voice, language)
