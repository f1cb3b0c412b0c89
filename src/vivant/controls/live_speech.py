"""Speech that is still going on: blocks of sound become windows on the timeline of the video as soon as they can.

Where a frame lies follows from the number of samples that came before it, never from a sum of durations, so sound and
pictures cannot drift apart. Only the last seconds are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Protocol

import numpy as np

from vivant.controls.speech import on_raster
from vivant.core.errors import ConfigError
from vivant.core.speech import SPEECH_FEATURES, SPEECH_RATE, HeardWindow, Speech
from vivant.perception.hearing import SpeechEncoder, load_encoder
from vivant.perception.voice import CHUNK, VoiceDetector

HEARD_FRAMES = 75
"""Frames that the encoder hears at once, 3 s at 25 a second; before the beginning there is silence."""


class Voice(Protocol):
    """What tells voices, such as :class:`vivant.perception.voice.VoiceDetector`."""

    def feed(self, samples: np.ndarray, last: bool = False) -> np.ndarray:
        """Probabilities of the chunks that became complete."""


class LiveSpeech:
    """Listens to one stream.

    ``fps``: frames a second, such that a frame has a whole number of samples. ``encoder``: name of the features.
    ``before``: most frames of a window before its new ones; ``block``: new frames of a window; ``lookahead``: frames
    after them that are heard first, the wait that every frame has. ``paths``: where the encoder's weights lie.

    Raises:
        ConfigError: a rate that does not divide the samples.
    """

    def __init__(
        self,
        fps: Fraction,
        encoder: str,
        before: int = 48,
        block: int = 6,
        lookahead: int = 4,
        paths: dict[str, str] | None = None,
        device: str = "cpu",
        voice: Voice | None = None,
        listen: SpeechEncoder | None = None,
    ) -> None:
        each = Fraction(SPEECH_RATE) / fps
        if each.denominator != 1:
            raise ConfigError(f"A stream of {fps} frames per second has no whole number of samples a frame: use 25.")
        self.fps, self._each = fps, int(each)
        self._encoder = listen or load_encoder(encoder, (paths or {}).get(encoder), device, padded=False)
        self._voice: Voice = voice or VoiceDetector()
        self._before, self._block, self._lookahead = before, block, lookahead
        self._samples = np.zeros(HEARD_FRAMES * self._each, np.float32)
        self._heard = self._made = self._chunks_gone = 0
        self._chunks = np.zeros(0, np.float32)

    @property
    def heard(self) -> int:
        """Samples that came so far."""
        return self._heard

    def windows(self, blocks: Iterable[np.ndarray]) -> Iterator[HeardWindow]:
        """A window each time that enough has come; at the end those of what is left, as if silence followed.

        ``blocks``: (n,) float32 at 16 kHz, n of any size.
        """
        for block in blocks:
            for at in range(0, len(block), self._each):
                yield from self._feed(block[at : at + self._each])
        frames = -(-self._heard // self._each)
        missing = (frames + self._lookahead + self._block) * self._each - self._heard
        for at in range(0, missing, self._each):
            for window in self._feed(np.zeros(min(self._each, missing - at), np.float32)):
                if window.first < frames:
                    yield window._replace(new=min(window.new, frames - window.first))

    def _feed(self, samples: np.ndarray) -> Iterator[HeardWindow]:
        """At most one frame of sound."""
        samples = np.clip(np.nan_to_num(samples.astype(np.float32), posinf=1, neginf=-1), -1, 1)
        self._samples = np.concatenate([self._samples, samples])
        self._heard += len(samples)
        self._chunks = np.concatenate([self._chunks, self._voice.feed(samples)])
        end = self._heard // self._each
        if end - self._made < self._block + self._lookahead:
            return
        first = self._made
        self._made += self._block
        yield self._window(first, end)

    def _window(self, first: int, end: int) -> HeardWindow:
        extra = self._heard - end * self._each  # samples of a frame that is not whole yet
        self._samples = self._samples[len(self._samples) - extra - HEARD_FRAMES * self._each :]
        heard = self._samples[: HEARD_FRAMES * self._each]
        start = max(0, first - self._before, end - HEARD_FRAMES)
        count = end - start
        steps = self._encoder.encode(heard)
        per_frame = SPEECH_FEATURES[self._encoder.name][0]
        edges = np.linspace(0, len(steps), HEARD_FRAMES * per_frame + 1)
        features = on_raster(steps, edges).reshape(HEARD_FRAMES, per_frame, -1)[HEARD_FRAMES - count :]
        speech = Speech(
            heard[len(heard) - count * self._each :], self.fps, self._voiced(start, end),
            {self._encoder.name: features},
        )  # fmt: skip
        return HeardWindow(speech, start, first, self._block)

    def _voiced(self, start: int, end: int) -> np.ndarray:
        """Voice of the frames start..end - 1; the last chunk stands for sound whose own is not complete."""
        gone = start * self._each // CHUNK
        self._chunks, self._chunks_gone = self._chunks[gone - self._chunks_gone :], gone
        edges = np.arange(start, end + 1) * (self._each / CHUNK) - gone
        known = self._chunks if len(self._chunks) else np.zeros(1, np.float32)
        steps = np.pad(known, (0, max(0, int(np.ceil(edges[-1])) - len(known))), mode="edge")
        return on_raster(steps[:, None], edges)[:, 0]
