"""Live from a microphone: sound comes as it is spoken, pictures go out in its rhythm, each with its sound's time."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np

from vivant.core.errors import ConfigError
from vivant.core.registry import get_method
from vivant.core.speech import SPEECH_RATE
from vivant.pipelines.inputs import Media
from vivant.pipelines.live import Newest, Shown
from vivant.pipelines.load import Pipeline

BLOCKS_WAITING = 100
"""Blocks of sound between the socket and the method; with 40 ms each, 4 s."""


def hears_live(method: str) -> bool:
    """Whether a method streams from sound."""
    return hasattr(get_method(method).part("generate").Generator, "live_motion")


class LiveSound:
    """A portrait that says what a microphone hears; a thread of its own computes.

    Give sound with :meth:`offer`, fetch pictures from ``results``, which holds the newest. A picture leaves when its
    turn has come, so that bursts of the method do not overtake each other.
    """

    def __init__(
        self, pipe: Pipeline, source: Media, values: dict[str, Any], face: str = "largest", crop_only: bool = True
    ) -> None:
        """``values``: keyword arguments of :meth:`vivant.Pipeline.stream`, such as ``strength``.

        Raises:
            ConfigError: the method does not hear live, several faces are meant, or the source is a video.
            FaceError: no usable face.
        """
        if not hears_live(pipe.spec.name):
            raise ConfigError(f"The method '{pipe.spec.name}' does not listen live: choose another, or the camera.")
        if face == "all":
            raise ConfigError("A live portrait is one face: choose which.")
        self.results: Newest[Shown] = Newest()
        self.error: Exception | None = None
        self.dropped = 0
        self._fps = float(pipe.config.fps)
        self._wait = (pipe.config.block + pipe.config.lookahead) / self._fps
        self._sound: queue.Queue[np.ndarray | None] = queue.Queue(BLOCKS_WAITING)
        self._stamps: deque[tuple[int, float]] = deque(maxlen=4 * BLOCKS_WAITING)
        self._heard = 0
        self._begun = 0.0
        self._over = threading.Event()
        given: dict[str, Any] = {"audio": self._blocks(), "live": True, "rate": SPEECH_RATE, **values}
        self._pictures = pipe.stream(source, face=face, crop_only=crop_only, **given)
        self._thread = threading.Thread(target=self._work, daemon=True, name="vivant-live-sound")
        self._thread.start()

    def offer(self, block: bytes | np.ndarray, tag: float) -> None:
        """Sound at 16 kHz: (n,) float32 in -1..1, or signed 16-bit little-endian; ``tag``: milliseconds on the giver's
        clock at its first sample. Pictures come back with the time of their own first sample."""
        if isinstance(block, bytes):
            block = np.frombuffer(block[: len(block) // 2 * 2], "<i2").astype(np.float32) / 32768
        self._begun = self._begun or time.monotonic()
        try:
            self._sound.put_nowait(block)
        except queue.Full:
            self.dropped += 1
            return
        self._stamps.append((self._heard, tag))
        self._heard += len(block)

    def calibrate(self) -> None:
        """Sound has no neutral face; nothing to do."""

    def close(self) -> None:
        """Stop."""
        self._over.set()
        try:
            self._sound.put_nowait(None)
        except queue.Full:
            self._sound.get_nowait()
            self._sound.put_nowait(None)
        self.results.close()
        self._thread.join(10)

    def _blocks(self) -> Iterator[np.ndarray]:
        while not self._over.is_set() and (block := self._sound.get()) is not None:
            yield block

    def _work(self) -> None:
        try:
            before = time.monotonic()
            for number, picture in enumerate(self._pictures):
                took = time.monotonic() - before
                due = self._begun + number / self._fps + self._wait
                if self._over.wait(max(0.0, due - time.monotonic())):
                    break
                self.results.put(Shown(self._stamp(number), picture, True, took))
                before = time.monotonic()
        except Exception as error:  # kept for whoever waits for pictures
            self.error = error
        finally:
            self.results.close()

    def _stamp(self, number: int) -> float:
        """The giver's time of the first sample of a frame."""
        sample = number * SPEECH_RATE / self._fps
        while len(self._stamps) > 1 and self._stamps[1][0] <= sample:
            self._stamps.popleft()
        first, stamp = self._stamps[0] if self._stamps else (0, 0.0)
        return stamp + (sample - first) * 1000 / SPEECH_RATE
