"""What :class:`vivant.media.writer.VideoWriter` writes with: an H.264 movie, a GIF, or a folder of PNG files.

Each sink is made for one size and one rate, takes frames in order and is finished or aborted once.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import av
import numpy as np
from av.codec.codec import UnknownCodecError
from av.filter import Graph
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation, VideoReformatter
from PIL import Image

from vivant.core.clip import Audio
from vivant.core.errors import MediaError
from vivant.media.audio import audio_blocks, audio_frame, layout_name, mix_to_mono
from vivant.media.container import file_url

VIDEO_ENCODERS = ("libx264", "libopenh264", "h264_videotoolbox", "h264_mf", "mpeg4")
"""Encoders by preference: H.264 first; MPEG-4 part 2, which browsers do not play, only where no other is built in."""

MOVIE_FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
"""FFmpeg's container for each movie suffix."""

_BITS_PER_PIXEL = 0.2
_AUDIO_BITS = 96_000
_AAC_CHANNELS = (1, 2, 6)
_AAC_FALLBACK_RATE = 48_000
_GIF_TICKS = 100
_GIF_FASTEST = Fraction(50)


class Sink(Protocol):
    """Takes frames in order, then is finished, or aborted on any failure."""

    def write(self, frame: np.ndarray) -> None:
        """Add one (H, W, 3) uint8 RGB frame."""

    def finish(self) -> None:
        """Write what is left and close."""

    def abort(self) -> None:
        """Close without caring for the output."""


def video_encoder() -> str:
    """The best encoder that this PyAV was built with.

    Raises:
        MediaError: none of ``VIDEO_ENCODERS`` is there.
    """
    for name in VIDEO_ENCODERS:
        try:
            av.Codec(name, "w")
        except (UnknownCodecError, ValueError):
            continue
        return name
    raise MediaError("This PyAV cannot write H.264 or MPEG-4: install the wheel with pip install --force-reinstall av.")


def even_size(frame: np.ndarray) -> np.ndarray:
    """Repeat the last column or row once where width or height is odd, as 4:2:0 needs even sizes."""
    height, width = frame.shape[:2]
    if height % 2 == 0 and width % 2 == 0:
        return frame
    return np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")


class MovieSink:
    """H.264 4:2:0 8 bits, BT.709, and AAC where there is sound; the index comes first, for browsers (mp4, mov).

    ``quality``: constant rate factor of x264, 0 (lossless) to 51; 18 is visually lossless. Sound is cut to the
    pictures' length or filled with silence up to it. ``threads``: None leaves their number to the encoder.
    """

    def __init__(
        self, path: Path, suffix: str, fps: Fraction, size: tuple[int, int], audio: Audio | None, quality: int,
        threads: int | None = None,
    ):  # fmt: skip
        kind = MOVIE_FORMATS[suffix]
        self._fps, self._count = fps, 0
        self._reformatter = VideoReformatter()
        self._container: Any = av.open(
            file_url(path), "w", format=kind, options={"movflags": "+faststart"} if kind != "matroska" else {}
        )
        self._stream = self._video_stream(size, quality, threads)
        self._sound = _SoundTrack(self._container, audio) if audio is not None else None

    def _video_stream(self, size: tuple[int, int], quality: int, threads: int | None) -> Any:
        name = video_encoder()
        options = {"crf": str(quality)} if name == "libx264" else {}
        stream = self._container.add_stream(name, rate=self._fps, options=options)
        stream.height, stream.width = size[0] + size[0] % 2, size[1] + size[1] % 2
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.time_base = 1 / self._fps
        if threads is not None:
            context.thread_count = threads
        if not options:
            context.bit_rate = int(stream.width * stream.height * self._fps * _BITS_PER_PIXEL)
        context.colorspace, context.color_range = int(Colorspace.ITU709), int(ColorRange.MPEG)
        context.color_primaries, context.color_trc = int(ColorPrimaries.BT709), int(ColorTrc.BT709)
        return stream

    def write(self, frame: np.ndarray) -> None:
        """Encode one frame and the sound up to its end."""
        picture = self._reformatter.reformat(
            av.VideoFrame.from_ndarray(even_size(frame), format="rgb24"),
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
            interpolation=Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT,
            threads=1,
        )
        picture.pts, picture.time_base = self._count, 1 / self._fps
        self._container.mux(self._stream.encode(picture))
        self._count += 1
        if self._sound is not None:
            self._sound.advance(self._count / self._fps)

    def finish(self) -> None:
        """Flush both encoders and write the index."""
        self._container.mux(self._stream.encode(None))
        if self._sound is not None:
            self._sound.finish()
        self._container.close()

    def abort(self) -> None:
        """Close the file; what it holds does not matter any more."""
        _close_quietly(self._container)


def _close_quietly(container: Any) -> None:
    try:
        container.close()
    except (av.FFmpegError, OSError):
        return


class _SoundTrack:
    """AAC track that is written along with the pictures, so that memory stays constant."""

    def __init__(self, container: Any, audio: Audio) -> None:
        rates = av.Codec("aac", "w").audio_rates or []
        self._rate = int(audio.rate) if audio.rate in rates else _AAC_FALLBACK_RATE
        self._blocks = self._prepared(audio)
        self._left = next(self._blocks, np.zeros((1, 0), np.float32))
        self._channels = len(self._left)
        self._written = 0
        self._container = container
        self._stream = container.add_stream("aac", rate=self._rate, layout=layout_name(self._channels))
        self._stream.codec_context.bit_rate = _AUDIO_BITS * self._channels

    def _prepared(self, audio: Audio) -> Iterator[np.ndarray]:
        """(C, n) blocks with a number of channels that AAC players know; others become mono."""
        for block in audio_blocks(audio, self._rate):
            yield block.T if block.shape[1] in _AAC_CHANNELS else mix_to_mono(block.T)

    def advance(self, seconds: Fraction) -> None:
        """Write sound up to ``seconds`` from the start; silence where there is none left."""
        wanted = round(seconds * self._rate) - self._written
        while wanted > 0:
            block = self._take(wanted)
            self._container.mux(self._stream.encode(audio_frame(block, self._rate, self._written)))
            self._written += block.shape[1]
            wanted -= block.shape[1]

    def _take(self, wanted: int) -> np.ndarray:
        while not self._left.shape[1]:
            self._left = next(self._blocks, np.zeros((self._channels, wanted), np.float32))
        block, self._left = self._left[:, :wanted], self._left[:, wanted:]
        return block

    def finish(self) -> None:
        """Flush the encoder."""
        self._container.mux(self._stream.encode(None))


class GifSink:
    """GIF that repeats for ever, each frame with its own palette of 256 colours; it has no sound.

    GIF counts time in hundredths of a second: delays are rounded so that the mean rate is exact. Viewers slow down
    beyond 50 frames per second, so frames in excess of that are left out.
    """

    def __init__(self, path: Path, fps: Fraction, size: tuple[int, int]) -> None:
        self._fps, self._count, self._last = fps, 0, -1
        self._base = Fraction(1, _GIF_TICKS)
        tick = max(round(_GIF_TICKS / _GIF_FASTEST), round(_GIF_TICKS / fps))
        options = {"loop": "0", "final_delay": str(tick)}
        self._container: Any = av.open(file_url(path), "w", format="gif", options=options)
        self._stream: Any = self._container.add_stream("gif", rate=_GIF_TICKS)
        self._stream.height, self._stream.width = size
        self._stream.pix_fmt = "pal8"
        self._stream.codec_context.time_base = self._base
        self._source, self._sink = self._palettes(size)

    def _palettes(self, size: tuple[int, int]) -> tuple[Any, Any]:
        """Filters that reduce each frame to its own best 256 colours with an ordered dither, which does not flicker."""
        graph = self._graph = Graph()
        source = graph.add_buffer(width=size[1], height=size[0], format=av.VideoFormat("rgb24"), time_base=self._base)
        split, sink = graph.add("split"), graph.add("buffersink")
        make = graph.add("palettegen", "stats_mode=single:reserve_transparent=0")
        use = graph.add("paletteuse", "new=1:dither=bayer:bayer_scale=4")
        source.link_to(split)
        split.link_to(make, 0, 0)
        split.link_to(use, 1, 0)
        make.link_to(use, 0, 1)
        use.link_to(sink)
        graph.configure()
        return source, sink

    def write(self, frame: np.ndarray) -> None:
        """Add one frame, unless it would come sooner than 1/50 s after the last."""
        time = round(self._count * _GIF_TICKS / self._fps)
        self._count += 1
        if self._last >= 0 and time - self._last < _GIF_TICKS / _GIF_FASTEST:
            return
        self._last = time
        picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
        picture.pts, picture.time_base = time, self._base
        self._source.push(picture)
        self._drain()

    def _drain(self) -> None:
        while True:
            try:
                picture = self._sink.pull()
            except (av.BlockingIOError, av.EOFError):
                return
            picture.time_base = self._base
            self._container.mux(self._stream.encode(picture))

    def finish(self) -> None:
        """Flush filters and encoder."""
        self._source.push(None)
        self._drain()
        self._container.mux(self._stream.encode(None))
        self._container.close()

    def abort(self) -> None:
        """Close the file; what it holds does not matter any more."""
        _close_quietly(self._container)


class FolderSink:
    """PNG files frame_000000.png, frame_000001.png and so on in an existing folder; sound and rate are not kept."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._count = folder, 0

    def write(self, frame: np.ndarray) -> None:
        """Write the next file."""
        Image.fromarray(frame).save(self._folder / f"frame_{self._count:06d}.png", compress_level=3)
        self._count += 1

    def finish(self) -> None:
        """Nothing is left to write."""

    def abort(self) -> None:
        """Nothing is open."""
