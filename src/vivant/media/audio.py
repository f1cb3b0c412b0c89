"""Sound in: any rate, any channels, from audio and video files, whole or block by block.

Time 0 is the first picture of a file that has pictures (covers do not count), else the first sample, so that sound
is in step with :func:`vivant.media.video.open_clip`; gaps in the file's timestamps become silence. Samples that are
not a number become 0 and all are limited to -1..1. Mixing to mono: the mean for two channels; with more, the centre
counts 1, left and right 0.71, surrounds 0.5, the low-frequency channel 0, and the sum is divided by the sum of the
weights.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from vivant.core.clip import Audio
from vivant.core.errors import MediaError
from vivant.media.container import open_container, video_stream
from vivant.media.files import DamagedMediaWarning, PathLike

_MIX = {"FC": 1.0, "FL": 0.7071, "FR": 0.7071, "LFE": 0.0, "LFE2": 0.0}
_MIX_OTHERS = 0.5
_SMALLEST_GAP = 0.05
_LARGEST_GAP = 3600.0


def read_audio(path: PathLike, rate: int | None = None, mono: bool = False) -> Audio:
    """All sound of an audio or video file.

    Args:
        path: file.
        rate: samples per second to deliver, None for the file's own.
        mono: mix all channels into one.

    Returns:
        Samples (N, C) float32 in -1..1.

    Raises:
        MediaError: no sound in it, or the file cannot be read.
    """
    blocks = list(stream_audio(path, rate, mono))
    if not blocks:
        raise MediaError(f"The sound of '{path}' cannot be decoded: the file is cut short or damaged.")
    return Audio(np.concatenate(blocks), rate or _native_rate(Path(path)))


def stream_audio(path: PathLike, rate: int | None = None, mono: bool = False) -> Iterator[np.ndarray]:
    """Sound block by block, for files of any length; arguments and errors as in :func:`read_audio`.

    The file is checked at once, not at the first block.

    Yields:
        (n, C) float32 in -1..1, n varying.
    """
    file = Path(path)
    native = _native_rate(file)
    target = native if rate is None else checked_rate(rate)
    blocks = resample_blocks(_decoded(file, mono), native, target)
    return (np.ascontiguousarray(np.clip(block, -1.0, 1.0).T) for block in blocks)


def has_sound(path: PathLike) -> bool:
    """Whether a media file has a sound track.

    Raises:
        MediaError: the file cannot be read.
    """
    with open_container(Path(path)) as container:
        return bool(container.streams.audio)


def sound_seconds(container: Any) -> float | None:
    """Length of the sound of an open container in seconds, when it says so."""
    stream = container.streams.audio[0]
    if stream.duration:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else None


class FileAudio(Audio):
    """Sound of a file that is decoded when ``samples`` is first asked for, and never by :meth:`blocks`."""

    path: Path

    @classmethod
    def open(cls, path: PathLike) -> FileAudio | None:
        """Sound of a file, or None if there is no track that can be decoded."""
        file = Path(path)
        with open_container(file) as container:
            usable = [stream for stream in container.streams.audio if stream.codec_context and stream.rate]
        if not usable:
            return None
        audio = cls.__new__(cls)
        object.__setattr__(audio, "path", file)
        object.__setattr__(audio, "rate", usable[0].rate)
        return audio

    def __getattr__(self, name: str) -> np.ndarray:
        # Called only while ``samples`` is not there yet; afterwards it is an ordinary attribute.
        if name != "samples":
            raise AttributeError(name)
        samples = read_audio(self.path, self.rate).samples
        object.__setattr__(self, "samples", samples)
        return samples

    def __repr__(self) -> str:
        return f"FileAudio({str(self.path)!r}, rate={self.rate})"

    def blocks(self, rate: int) -> Iterator[np.ndarray]:
        """(n, C) float32 blocks at ``rate``, without holding all of them."""
        return stream_audio(self.path, rate)


def audio_blocks(audio: Audio, rate: int) -> Iterator[np.ndarray]:
    """Sound as (n, C) float32 blocks in -1..1 at ``rate`` samples per second, wherever it comes from.

    Raises:
        MediaError: not (N,) or (N, C) samples, or a rate that is not above 0.
    """
    checked_rate(rate)
    if isinstance(audio, FileAudio):
        return audio.blocks(rate)
    samples = np.asarray(audio.samples)
    samples = samples.astype(np.float32, copy=False) if samples.dtype.kind == "f" else in_floats(samples)
    samples = samples[:, None] if samples.ndim == 1 else samples
    if samples.ndim != 2 or not 1 <= samples.shape[1] <= 64:
        raise MediaError(f"Sound must be (samples, channels), but an array of shape {samples.shape} came.")
    step = checked_rate(audio.rate)
    pieces = (_clean(samples[start : start + step].T) for start in range(0, len(samples), step))
    return (np.ascontiguousarray(np.clip(piece, -1.0, 1.0).T) for piece in resample_blocks(pieces, audio.rate, rate))


def mix_to_mono(block: np.ndarray, names: list[str] | None = None) -> np.ndarray:
    """(C, n) to (1, n) by the weights on top of this file; ``names``: channel names such as FL, FC, LFE."""
    channels = len(block)
    if channels <= 2 or names is None or len(names) != channels:
        return block.mean(axis=0, keepdims=True)
    weights = np.array([_MIX.get(name, _MIX_OTHERS) for name in names], dtype=np.float32)
    if not weights.any():
        return block.mean(axis=0, keepdims=True)
    return (weights / weights.sum())[None] @ block


def resample_blocks(blocks: Iterable[np.ndarray], source: int, target: int) -> Iterator[np.ndarray]:
    """(C, n) float32 blocks at another rate (windowed sinc of FFmpeg); the number of channels must stay."""
    if source == target:
        yield from blocks
        return
    resampler, position = None, 0
    for block in blocks:
        if resampler is None:
            resampler = av.AudioResampler(format="fltp", layout=layout_name(len(block)), rate=target)
        frame = audio_frame(block, source, position)
        position += block.shape[1]
        yield from (out.to_ndarray() for out in resampler.resample(frame))
    if resampler is not None:
        yield from (out.to_ndarray() for out in resampler.resample(None))


def audio_frame(block: np.ndarray, rate: int, position: int) -> Any:
    """(C, n) float32 as a PyAV frame that starts at sample ``position``."""
    data = np.ascontiguousarray(block, dtype=np.float32)
    frame = av.AudioFrame.from_ndarray(data, format="fltp", layout=layout_name(len(block)))
    frame.sample_rate, frame.pts, frame.time_base = rate, position, Fraction(1, rate)
    return frame


def layout_name(channels: int) -> str:
    """FFmpeg's name of the usual layout with that many channels."""
    return {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}.get(channels, f"{channels} channels")


def checked_rate(rate: int) -> int:
    """``rate``, if it is samples per second.

    Raises:
        MediaError: it is not.
    """
    if not 1000 <= rate <= 768_000 or int(rate) != rate:
        raise MediaError(f"{rate} is no sample rate: give samples per second from 1000 to 768000, such as 16000.")
    return int(rate)


def _native_rate(path: Path) -> int:
    with open_container(path) as container:
        return int(_sound_stream(container, path).rate)


def _sound_stream(container: Any, path: Path) -> Any:
    for stream in container.streams.audio:
        if stream.codec_context and stream.rate:
            return stream
    raise MediaError(f"'{path}' has no sound that can be decoded: give an audio file or a video with sound.")


def _clean(block: np.ndarray) -> np.ndarray:
    return np.nan_to_num(block, nan=0.0, posinf=1.0, neginf=-1.0)


def _origin(container: Any, stream: Any) -> Fraction | None:
    """File time in seconds that counts as 0."""
    first = video_stream(container) or stream
    return None if first.start_time is None else first.start_time * Fraction(first.time_base)


def _decoded(path: Path, mono: bool) -> Iterator[np.ndarray]:
    """(C, n) float32 at the file's rate, finite, in place on the timeline."""
    with open_container(path) as container:
        stream = _sound_stream(container, path)
        rate, channels = int(stream.rate), stream.layout.nb_channels
        origin, written = _origin(container, stream), 0
        names = [channel.name for channel in stream.layout.channels]
        for frame in _frames(container, stream, path):
            stamp = None if frame.pts is None else frame.pts * Fraction(frame.time_base)
            block = _floats(frame, channels, rate)
            if stamp is not None:
                origin = stamp if origin is None else origin
                block = _in_place(block, round((stamp - origin) * rate) - written, written == 0, rate)
            written += block.shape[1]
            if block.shape[1]:
                yield mix_to_mono(block, names) if mono else block


def _in_place(block: np.ndarray, late: int, first: bool, rate: int) -> np.ndarray:
    """Put silence before a block that comes ``late`` samples after its turn; cut what lies before time 0."""
    if late > (0 if first else _SMALLEST_GAP * rate) and late <= _LARGEST_GAP * rate:
        return np.pad(block, ((0, 0), (late, 0)))
    return block[:, -late:] if first and late < 0 else block


def _floats(frame: Any, channels: int, rate: int) -> np.ndarray:
    """Any sample format as (C, n) float32; a change of rate or channels within the file follows the first ones."""
    if frame.sample_rate != rate or frame.layout.nb_channels != channels:
        frame.pts = None
        resampler = av.AudioResampler(format="fltp", layout=layout_name(channels), rate=rate)
        parts = [out.to_ndarray() for out in (*resampler.resample(frame), *resampler.resample(None))]
        return _clean(np.concatenate(parts, axis=1)) if parts else np.zeros((channels, 0), np.float32)
    values = frame.to_ndarray()
    return in_floats(values if frame.format.is_planar else values.reshape(-1, channels).T)


def in_floats(samples: np.ndarray) -> np.ndarray:
    """Samples of any shape as float32: whole numbers as files store them (unsigned: 8 bits) scaled to -1..1, floats as
    they are with what is no number as 0.

    Raises:
        MediaError: they are no numbers.
    """
    if samples.dtype.kind == "f":
        return _clean(samples.astype(np.float32))
    if samples.dtype == np.uint8:
        return samples.astype(np.float32) / 128.0 - 1.0
    if samples.dtype.kind == "i":
        return (samples / -float(np.iinfo(samples.dtype).min)).astype(np.float32)
    raise MediaError(f"Sound of {samples.dtype} cannot be heard: give float samples in -1..1, or int16 as files hold.")


def _frames(container: Any, stream: Any, path: Path) -> Iterator[Any]:
    """Decoded sound frames; what cannot be decoded is left out, with a warning at the end."""
    packets, damaged = container.demux(stream), 0
    while True:
        try:
            packet = next(packets, None)
            if packet is None:
                break
            yield from packet.decode()
        except (av.FFmpegError, OSError) as error:
            damaged += 1
            if isinstance(error, av.EOFError) or damaged > 1000:
                break
    if damaged:
        warnings.warn(f"The sound of '{path}' is damaged: some of it is missing.", DamagedMediaWarning, stacklevel=2)
