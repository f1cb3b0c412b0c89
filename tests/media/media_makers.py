"""Small media files, written with PyAV and by hand, for the tests of the media room."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

CLOCKWISE_90 = (0, 1, -1, 0)
HALF_TURN = (-1, 0, 0, -1)
COUNTER_CLOCKWISE_90 = (0, -1, 1, 0)
MIRRORED = (-1, 0, 0, 1)


def flat(value: int | Sequence[int], size: tuple[int, int] = (48, 64)) -> np.ndarray:
    return np.broadcast_to(np.asarray(value, np.uint8), (*size, 3)).copy()


def quarters(size: tuple[int, int] = (48, 64)) -> np.ndarray:
    """Top left red, top right green, bottom left blue, bottom right white."""
    image = np.zeros((*size, 3), np.uint8)
    height, width = size[0] // 2, size[1] // 2
    image[:height, :width], image[:height, width:] = (220, 30, 30), (30, 200, 30)
    image[height:, :width], image[height:, width:] = (30, 30, 220), (235, 235, 235)
    return image


def corners(image: np.ndarray) -> str:
    """Names of the four corners' colours, clockwise from the top left."""
    height, width = image.shape[:2]
    y, x = height // 8, width // 8
    spots = [image[y, x], image[y, -1 - x], image[-1 - y, -1 - x], image[-1 - y, x]]
    return "".join("w" if spot.min() > 150 else "rgb"[int(spot.argmax())] for spot in spots)


def write_video(
    path: Path,
    frames: Sequence[np.ndarray],
    rate: Fraction | int = 25,
    times: Sequence[int] | None = None,
    base: Fraction | None = None,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    options: dict[str, str] | None = None,
    tags: tuple[int, int, int] | None = None,
) -> Path:
    """Encode RGB frames; ``times``: timestamps in units of ``base``; ``tags``: matrix, primaries and transfer."""
    base = base or 1 / Fraction(rate)
    with av.open(str(path), "w", options={"movflags": "+faststart"} if path.suffix == ".mp4" else {}) as container:
        stream = container.add_stream(
            codec, rate=Fraction(rate), options=options or ({"crf": "12"} if codec == "libx264" else {})
        )
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.codec_context.time_base = pixels, base
        context = stream.codec_context
        if tags is not None:
            context.colorspace, context.color_primaries, context.color_trc = tags
            context.color_range = 1
        for index, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=pixels)
            frame.pts, frame.time_base = (index if times is None else times[index]), base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def set_display_matrix(path: Path, matrix: tuple[int, int, int, int]) -> Path:
    """Write a, b, c, d of the display matrix into the track header of an mp4."""
    data = bytearray(path.read_bytes())
    start = data.index(b"tkhd") + 4 + 4 + 20 + 8 + 8
    a, b, c, d = (value * 0x10000 for value in matrix)
    data[start : start + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 0x40000000)
    path.write_bytes(bytes(data))
    return path


def write_sound(
    path: Path, samples: np.ndarray, rate: int, codec: str = "pcm_f32le", kind: str = "flt", layout: str = "mono"
) -> Path:
    """Encode (N, C) float32 samples."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.T), format="fltp", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        for converted in av.AudioResampler(kind, layout, rate).resample(frame):
            container.mux(stream.encode(converted))
        container.mux(stream.encode(None))
    return path


def tone(seconds: float, rate: int, channels: int = 1, hertz: float = 440.0) -> np.ndarray:
    """(N, C) float32 sine of amplitude 0.5."""
    wave = 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)
    return np.repeat(wave[:, None], channels, axis=1).astype(np.float32)


def ramp(count: int, step: int = 4) -> list[np.ndarray]:
    """Grey frames, each a step brighter than the one before."""
    return [flat(index * step) for index in range(count)]
