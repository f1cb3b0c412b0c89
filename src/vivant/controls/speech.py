"""Sound of any kind, rate and length as :class:`Speech` on the timeline of a video.

The sound is decoded once, from front to back. Its samples are kept (long ones in a temporary file), voice activity
is found on the way, and the features of the encoders are computed in windows when they are asked for, so memory does
not grow with length. Windows lie on a fixed grid: what was asked for before does not change a number.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from fractions import Fraction
from math import ceil, floor
from pathlib import Path
from typing import Any

import numpy as np

from vivant.core.clip import Audio
from vivant.core.errors import MediaError
from vivant.core.speech import SPEECH_FEATURES, SPEECH_RATE, Speech
from vivant.media.audio import audio_blocks, mix_to_mono, stream_audio
from vivant.perception.hearing import WINDOW_SECONDS, SpeechEncoder, load_encoder
from vivant.perception.voice import CHUNK, VoiceDetector

Sound = str | os.PathLike[str] | Audio
Watch = Callable[[Iterable[np.ndarray]], Iterable[np.ndarray]]

_IN_MEMORY = 600 * SPEECH_RATE  # samples; longer sound lies in a file, 64 kB a second
_HOP_SECONDS = 20  # between the windows of long sound; what they share are the margins that nets need to see
_MARGIN_SECONDS = (WINDOW_SECONDS - _HOP_SECONDS) // 2
_KEPT_WINDOWS = 3
_BLOCK_FRAMES = 500


def read_speech(
    sound: Sound,
    fps: Fraction,
    encoders: Iterable[str] = (),
    limit: int | None = None,
    paths: Mapping[str, str] | None = None,
    device: str = "cpu",
    watch: Watch | None = None,
) -> Speech:
    """Sound on the timeline of a video.

    Args:
        sound: path of an audio or video file, or an Audio of any rate and number of channels.
        fps: exact frames per second of the video.
        encoders: names of the features that are wanted, as in ``SPEECH_FEATURES``.
        limit: most frames of the video; else it has as many as the sound fills, the last one perhaps in part.
        paths: encoder name -> where its weights lie, as in ``load_encoder``.
        device: torch device of the encoders.
        watch: wraps the blocks of sound while they are read, for example with a progress bar.

    Raises:
        MediaError: there is no sound, or it cannot be decoded.
        ConfigError, MissingExtraError, WeightsError: an encoder cannot be had.
    """
    loaded = [load_encoder(name, (paths or {}).get(name), device) for name in encoders]
    samples, chunks = _heard(_mono_blocks(sound), watch)
    if len(samples) == 0:
        raise MediaError(f"There is no sound in {_name(sound)}: give a file that plays.")
    frames = frames_filled(len(samples), fps)
    frames = frames if limit is None else min(frames, limit)
    voiced = voice_on_frames(chunks, fps, frames)
    features: dict[str, Any] = {e.name: FeatureTrack(samples, fps, frames, e) for e in loaded}
    return Speech(samples, fps, voiced, features)


def frames_filled(samples: int, fps: Fraction) -> int:
    """Frames that so many samples fill, the last one perhaps in part."""
    return -(-samples * fps.numerator // (SPEECH_RATE * fps.denominator))


def _name(sound: Sound) -> str:
    return "the sound" if isinstance(sound, Audio) else f"'{Path(sound)}'"


def _mono_blocks(sound: Sound) -> Iterator[np.ndarray]:
    """(n,) float32 at :data:`SPEECH_RATE`."""
    if isinstance(sound, Audio):
        return (mix_to_mono(block.T)[0] for block in audio_blocks(sound, SPEECH_RATE))
    return (block[:, 0] for block in stream_audio(sound, SPEECH_RATE, mono=True))


def _heard(blocks: Iterable[np.ndarray], watch: Watch | None) -> tuple[np.ndarray, np.ndarray]:
    """All samples (N,), and the probability of a voice in each chunk of 32 ms."""
    spool, detector = _Spool(), VoiceDetector()
    chunks = []
    for block in watch(blocks) if watch else blocks:
        spool.add(block)
        chunks.append(detector.feed(block))
    chunks.append(detector.feed(np.zeros(0, np.float32), last=True))
    return spool.samples(), np.concatenate(chunks)


class _Spool:
    """Samples collected block by block: in memory, and beyond ten minutes in a temporary file without a name."""

    def __init__(self) -> None:
        self._blocks: list[np.ndarray] = []
        self._waiting = self._count = 0
        self._file: Any = None

    def add(self, block: np.ndarray) -> None:
        """The next samples (n,)."""
        self._blocks.append(block.astype(np.float32))
        self._waiting += len(block)
        self._count += len(block)
        if self._waiting > _IN_MEMORY or (self._file is not None and self._waiting > SPEECH_RATE):
            self._to_file()

    def _to_file(self) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="vivant-sound-")  # noqa: SIM115 - the memory map keeps it open
        np.concatenate(self._blocks).tofile(self._file)
        self._blocks, self._waiting = [], 0

    def samples(self) -> np.ndarray:
        """(N,) float32."""
        if self._file is None:
            return np.concatenate([np.zeros(0, np.float32), *self._blocks])
        if self._waiting:
            self._to_file()
        self._file.flush()
        return np.memmap(self._file, np.float32, "r", shape=(self._count,))


def voice_on_frames(chunks: np.ndarray, fps: Fraction, frames: int) -> np.ndarray:
    """Probabilities (S,) of chunks of 32 ms -> (F,) float32 of the frames; 0 after the end of the sound."""
    rate = Fraction(SPEECH_RATE, CHUNK)
    padded = np.pad(chunks, (0, max(0, ceil(frames * rate / fps) - len(chunks))))
    return on_raster(padded[:, None], _edges(0, frames, rate / fps))[:, 0]


def on_raster(steps: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Steps that fill one unit of time each, averaged between edges by the share of each step.

    Args:
        steps: (S, D), step s from s to s + 1.
        edges: (R + 1,) rising float64 within 0..S.

    Returns:
        (R, D) float32. A raster that equals the steps gives them back.
    """
    sums = np.concatenate([np.zeros((1, steps.shape[1])), np.cumsum(steps, axis=0, dtype=np.float64)])
    whole = np.minimum(edges.astype(np.int64), len(steps) - 1)
    at = sums[whole] + (edges - whole)[:, None] * (sums[whole + 1] - sums[whole])
    return (np.diff(at, axis=0) / np.diff(edges)[:, None]).astype(np.float32)


def _edges(first: int, last: int, unit: Fraction) -> np.ndarray:
    """Edges first..last of a raster whose cells are ``unit`` steps long, in steps."""
    return np.arange(first, last + 1, dtype=np.float64) * unit.numerator / unit.denominator


class FeatureTrack:
    """Features (F, T, D) float32 of one encoder, computed when sliced along the frames; else like an array.

    ``samples``: (N,) at 16 kHz; silence follows them up to the end of the video.
    """

    dtype = np.dtype(np.float32)
    ndim = 3

    def __init__(self, samples: np.ndarray, fps: Fraction, frames: int, encoder: SpeechEncoder) -> None:
        self._samples, self._encoder = samples, encoder
        per_frame = SPEECH_FEATURES[encoder.name][0]
        self.shape = (frames, per_frame, encoder.width)
        self._unit = Fraction(encoder.rate) / (fps * per_frame)  # encoder steps in one step of a frame
        self._length = max(len(samples), ceil(frames * SPEECH_RATE / fps))
        self._windows: OrderedDict[int, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        whole = self[:]
        return whole if dtype is None else whole.astype(dtype)

    def __getitem__(self, index: Any) -> np.ndarray:
        rows, rest = (index[0], index[1:]) if isinstance(index, tuple) else (index, ())
        if isinstance(rows, slice):
            found = self._slice(rows)
        else:
            chosen = np.arange(len(self))[rows]  # any other index that numpy takes, checked by numpy
            found = np.concatenate([self._frames(k, k + 1) for k in np.atleast_1d(chosen)] or [self._frames(0, 0)])
            found = found[0] if np.ndim(chosen) == 0 else found
            return found[rest] if np.ndim(chosen) == 0 else found[(slice(None), *rest)]
        return found[(slice(None), *rest)] if rest else found

    def _slice(self, rows: slice) -> np.ndarray:
        start, stop, step = rows.indices(len(self))
        if step < 0:
            return self._slice(slice(start + step * (len(range(start, stop, step)) - 1), start + 1, -step))[::-1]
        parts = [self._frames(0, 0)]
        for first in range(start, max(start, stop), _BLOCK_FRAMES * step):
            parts.append(self._frames(first, min(first + _BLOCK_FRAMES * step, stop))[::step])
        return np.concatenate(parts)

    def _frames(self, first: int, last: int) -> np.ndarray:
        """Frames first..last - 1."""
        _, per_frame, width = self.shape
        if last <= first:
            return np.zeros((0, per_frame, width), np.float32)
        edges = _edges(first * per_frame, last * per_frame, self._unit)
        begin = floor(edges[0])
        steps = self._steps(begin, max(begin + 1, ceil(edges[-1])))
        return on_raster(steps, np.minimum(edges - begin, len(steps))).reshape(last - first, per_frame, width)

    def _steps(self, first: int, last: int) -> np.ndarray:
        """Encoder steps first..last - 1, from as many windows as they lie in."""
        hop, margin = _HOP_SECONDS * self._encoder.rate, _MARGIN_SECONDS * self._encoder.rate
        parts, at = [], first
        while at < last:
            number = max(0, min((at - margin) // hop, self._last_window))
            window = self._window(number)
            end = last if number == self._last_window else min(last, (number + 1) * hop + margin)
            part = window[at - number * hop : end - number * hop]
            missing = end - at - len(part)  # the last raster cell may end a fraction after the last step
            parts.append(np.concatenate([part, np.repeat(window[-1:], missing, axis=0)]) if missing > 0 else part)
            at = end
        return np.concatenate(parts)

    @property
    def _last_window(self) -> int:
        """Number of the last window; all but the last are 30 s long and start every 20 s."""
        return max(0, -(-(self._length - WINDOW_SECONDS * SPEECH_RATE) // (_HOP_SECONDS * SPEECH_RATE)))

    def _window(self, number: int) -> np.ndarray:
        """All encoder steps of one window; the last few windows are kept."""
        with self._lock:
            if number in self._windows:
                self._windows.move_to_end(number)
                return self._windows[number]
            start = number * _HOP_SECONDS * SPEECH_RATE
            length = min(WINDOW_SECONDS * SPEECH_RATE, self._length - start)
            samples = np.array(self._samples[start : start + length])
            steps = self._encoder.encode(np.pad(samples, (0, length - len(samples))))
            self._windows[number] = steps
            if len(self._windows) > _KEPT_WINDOWS:
                self._windows.popitem(last=False)
            return steps
