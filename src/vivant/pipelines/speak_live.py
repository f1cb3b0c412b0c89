"""A portrait that speaks while the sound still comes: bounded queues, late pictures left out, always in step.

Frame f belongs to the samples from f / fps to (f + 1) / fps, whatever happens. Where painting falls behind, the picture
before stands for those whose time is over, so a stream that is watched live never lags by more than its tolerance.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import tee
from typing import Any

import numpy as np

from vivant.core.clip import Audio
from vivant.core.errors import ConfigError
from vivant.core.speech import SPEECH_RATE, HeardWindow
from vivant.pipelines.inputs import Media, as_clip, is_path, name_of
from vivant.pipelines.load import Pipeline
from vivant.pipelines.sources import Portrait, still_portrait

QUEUE_SECONDS = 5.0
"""Most sound that waits to be heard."""
TOLERANCE = 0.2
"""Seconds after its time at which a picture is not painted any more."""
_AT_ONCE = 2  # frames painted between two looks at the clock


class SoundQueue:
    """Blocks of sound between who brings and who takes them, never more than ``seconds`` of it.

    With ``lossy`` the oldest sound becomes silence of the same length when it is full (a microphone cannot wait), else
    who brings waits. ``lost``: samples that became silence.
    """

    def __init__(self, seconds: float = QUEUE_SECONDS, lossy: bool = False) -> None:
        self._most, self._lossy = int(seconds * SPEECH_RATE), lossy
        self._blocks: deque[np.ndarray] = deque()
        self._change = threading.Condition()
        self._waiting = self._silence = self.lost = 0
        self._closed = False
        self._error: BaseException | None = None

    @property
    def waiting(self) -> int:
        """Samples in the queue."""
        return self._waiting

    def put(self, block: np.ndarray) -> bool:
        """Add samples (n,); False when nobody takes them any more."""
        with self._change:
            while not self._lossy and self._waiting and self._waiting + len(block) > self._most and not self._closed:
                self._change.wait()
            if self._closed:
                return False
            self._blocks.append(block)
            self._waiting += len(block)
            while self._lossy and self._waiting > self._most and len(self._blocks) > 1:
                gone = len(self._blocks.popleft())
                self._waiting -= gone
                self._silence += gone
                self.lost += gone
            self._change.notify_all()
            return True

    def close(self, error: BaseException | None = None) -> None:
        """Nothing more comes, or nobody takes any more."""
        with self._change:
            self._closed, self._error = True, self._error or error
            self._change.notify_all()

    def __iter__(self) -> Iterator[np.ndarray]:
        while True:
            with self._change:
                while not (self._blocks or self._silence or self._closed):
                    self._change.wait()
                if self._silence:
                    count = min(self._silence, SPEECH_RATE)
                    self._silence -= count
                    block = np.zeros(count, np.float32)
                elif self._blocks:
                    block = self._blocks.popleft()
                    self._waiting -= len(block)
                    self._change.notify_all()
                elif self._error is not None:
                    raise self._error
                else:
                    return
            yield block


@dataclass
class Clock:
    """When frames are due. ``delay``: seconds between a frame's first sample and its turn. A clock that was never
    started says nothing is late. ``late``: frames left out."""

    fps: Fraction
    delay: float
    now: Callable[[], float] = time.monotonic
    started: float | None = None
    late: set[int] = field(default_factory=set)

    def start(self) -> None:
        """The first sample is here."""
        if self.started is None:
            self.started = self.now()

    def is_late(self, frame: int) -> bool:
        """Whether the time of a frame is over."""
        if self.started is None:
            return False
        due = self.started + float(frame / self.fps) + self.delay
        return self.now() > due + TOLERANCE


def speak_live(
    pipe: Pipeline,
    source: Media,
    sound: Any,
    options: Any,
    face: str | int = "largest",
    crop_only: bool = False,
    live: bool = False,
    rate: int = SPEECH_RATE,
    clock: Clock | None = None,
) -> Iterator[np.ndarray]:
    """Whole pictures (H, W, 3) uint8 RGB, one for each frame of the sound, as soon as what they need was heard.

    ``sound``: a path, an Audio, or any iterable of blocks (n,) or (n, C) float in -1..1 at ``rate``. ``live``: it comes
    in its own time and cannot wait: late pictures are left out (the one before stands) and no sound queues up.

    Raises:
        ConfigError: the method does not hear, or does not stream, or the source is a video.
        FaceError: no usable face in the source. MediaError: the sound cannot be read.
    """
    if not hasattr(pipe.generator, "live_motion"):
        raise ConfigError(f"The method '{pipe.spec.name}' does not stream from sound: use --method speech-portrait.")
    clip, name = as_clip(source, "source"), name_of(source, "source")
    if clip.count != 1:
        raise ConfigError(f"A stream moves a still, and {name} is a video: give a picture.")
    blocks = mono_blocks(sound, rate)
    portrait = still_portrait(pipe.finder, clip, pipe.config, face, name)
    fps = Fraction(pipe.config.fps)
    wait = (pipe.config.block + pipe.config.lookahead) / fps
    clock = clock or Clock(fps, float(wait))
    return _frames(pipe, portrait, blocks, options, crop_only, live, clock)


def _frames(
    pipe: Pipeline, portrait: Portrait, blocks: Iterable[np.ndarray], options: Any, crop_only: bool, live: bool,
    clock: Clock,
) -> Iterator[np.ndarray]:  # fmt: skip
    from vivant.controls.live_speech import LiveSpeech

    config = pipe.config
    heard = LiveSpeech(clock.fps, config.encoder, config.told, config.block, config.lookahead, device=pipe.device)
    queue = SoundQueue(lossy=live)
    reader = threading.Thread(target=_bring, args=(blocks, queue, clock if live else None), daemon=True)
    reader.start()
    try:
        shared = tee(heard.windows(queue), len(portrait.crops))
        streams: list[Any] = [
            _spoken(pipe.generator, crop, windows, options, clock) for crop, windows in zip(portrait.crops, shared)
        ]
        yield from portrait.cropped(streams) if crop_only else portrait.pasted(streams)
    finally:
        queue.close()


def _bring(blocks: Iterable[np.ndarray], queue: SoundQueue, clock: Clock | None) -> None:
    try:
        for block in blocks:
            if clock is not None:
                clock.start()
            if not queue.put(block):
                break
        queue.close()
    except BaseException as error:  # handed to who takes, who decides
        queue.close(error)


def _spoken(
    generator: Any, crop: Any, windows: Iterable[HeardWindow], options: Any, clock: Clock
) -> Iterator[np.ndarray]:
    """Squares of one face, one for each frame; the one before where the time is over."""
    paint, number = generator.painting(crop, options), 0
    last: np.ndarray | None = None
    for motion in generator.live_motion(crop, windows, options):
        for first in range(0, len(motion), _AT_ONCE):
            part = motion[first : first + _AT_ONCE]
            if last is not None and clock.is_late(number + len(part) - 1):
                clock.late.update(range(number, number + len(part)))
                squares = [last] * len(part)
            else:
                squares = list(paint(part))
            for square in squares:
                last = square
                number += 1
                yield square


def mono_blocks(sound: Any, rate: int = SPEECH_RATE) -> Iterator[np.ndarray]:
    """(n,) float32 blocks at 16 kHz of a path, an Audio or an iterable of blocks (n,) or (n, C) at ``rate``.

    Raises:
        MediaError: a file that cannot be read, or a rate that is none.
    """
    from vivant.media.audio import audio_blocks, checked_rate, mix_to_mono, resample_blocks, stream_audio

    if is_path(sound):
        return (block[:, 0] for block in stream_audio(sound, SPEECH_RATE, mono=True))
    if isinstance(sound, Audio):
        return (mix_to_mono(block.T)[0] for block in audio_blocks(sound, SPEECH_RATE))
    single = (_one_channel(block) for block in sound)
    return (block[0] for block in resample_blocks(single, checked_rate(rate), SPEECH_RATE))


def _one_channel(block: np.ndarray) -> np.ndarray:
    """(1, n) float32 of a block (n,) or (n, C)."""
    values = np.asarray(block, np.float32)
    return values[None] if values.ndim == 1 else values.mean(1)[None]


def pcm_blocks(pipe: Any, frames: int = 640) -> Iterator[np.ndarray]:
    """Signed 16-bit little-endian mono samples of a binary pipe as blocks (n,) float32 in -1..1, until it ends."""
    rest = b""
    read = getattr(pipe, "read1", pipe.read)
    while data := read(2 * frames):
        data = rest + data
        whole = len(data) // 2 * 2
        rest = data[whole:]
        yield np.frombuffer(data[:whole], "<i2").astype(np.float32) / 32768
