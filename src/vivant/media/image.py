"""Pictures in and out, always as (H, W, 3) uint8 RGB.

What is applied on reading: the EXIF orientation; an embedded colour profile (to sRGB); 16-bit, 32-bit and float
values scaled to 8 bits; transparency laid over a white background. An animated picture gives its first frame.
"""

from __future__ import annotations

import io
import threading
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms, ImageOps

from vivant.core.errors import LimitError, MediaError
from vivant.media.files import PathLike, Staged, existing_file, reason

MAX_PIXELS = 200_000_000
"""Largest picture accepted, in pixels: the largest phone cameras' photos fit, decompression bombs do not."""

BACKGROUND = (255, 255, 255)
"""RGB colour laid under transparent pixels."""

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
"""Suffixes that :func:`write_image` writes and that count as frames in a folder."""

_WRITE_OPTIONS: dict[str, dict[str, Any]] = {
    ".jpg": {"format": "JPEG", "quality": 95, "subsampling": 0},
    ".jpeg": {"format": "JPEG", "quality": 95, "subsampling": 0},
    ".png": {"format": "PNG", "compress_level": 3},
    ".webp": {"format": "WEBP", "quality": 95},
    ".bmp": {"format": "BMP"},
    ".tif": {"format": "TIFF", "compression": "tiff_lzw"},
    ".tiff": {"format": "TIFF", "compression": "tiff_lzw"},
}
_WIDE_MODES = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")
_ALPHA_MODES = ("RGBA", "LA", "PA", "La", "RGBa")
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_OPENING = threading.Lock()


def read_image(path: PathLike) -> np.ndarray:
    """Read a JPEG, PNG, WebP, BMP, TIFF or GIF (its first frame).

    Returns:
        (H, W, 3) uint8 RGB, upright, writable.

    Raises:
        MediaError: missing, a directory, empty, no picture, damaged, or larger than ``MAX_PIXELS``.
    """
    file = existing_file(path)
    with open_picture(file) as picture:
        return picture_to_rgb(picture, file)


def open_picture(file: Path) -> Image.Image:
    """Open a picture without decoding it; the caller closes it.

    Raises:
        MediaError: no picture; LimitError: larger than ``MAX_PIXELS``.
    """
    # Pillow's own limit is a process-wide variable that stops at 178 megapixels; ours is checked below instead.
    with _OPENING:
        pillow_limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            picture = Image.open(file)
        except Exception as error:  # damaged headers raise many kinds
            if is_heif(_head(file)):
                raise MediaError(
                    f"'{file}' is a HEIC photo, which cannot be read: save or export it as JPEG first."
                ) from error
            raise MediaError(
                f"'{file}' cannot be read as a picture: give a JPEG, PNG, WebP, BMP, TIFF or GIF file."
            ) from error
        finally:
            Image.MAX_IMAGE_PIXELS = pillow_limit
    width, height = picture.size
    if width * height > MAX_PIXELS:
        picture.close()
        raise LimitError(
            f"'{file}' has {width} x {height} pixels, more than the {MAX_PIXELS // 1_000_000} megapixels that are "
            "accepted: scale it down first."
        )
    return picture


def is_heif(head: bytes) -> bool:
    """Whether the first 12 bytes are those of the container that phones keep photos in (HEIC, sometimes AVIF). FFmpeg
    would show a single tile of such a photo as a video."""
    return head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS


def _head(file: Path) -> bytes:
    with file.open("rb") as stream:
        return stream.read(12)


def picture_to_rgb(picture: Image.Image, file: Path) -> np.ndarray:
    """Decode the current frame of a picture to (H, W, 3) uint8 RGB, upright.

    Raises:
        MediaError: the data is damaged or cut short.
    """
    try:
        picture.load()
        return np.array(_to_rgb(_srgb(_upright(picture))), dtype=np.uint8)
    except Exception as error:  # decoders raise many kinds on damaged data
        raise MediaError(
            f"'{file}' is damaged or cut short ({reason(error)}): copy or download the file again."
        ) from error


def _upright(picture: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(picture)
    except Exception:  # unreadable EXIF is no reason to refuse the pixels
        return picture


def _srgb(picture: Image.Image) -> Image.Image:
    """Apply an embedded colour profile, as browsers do; a profile that cannot be used is ignored."""
    profile = picture.info.get("icc_profile")
    if not profile or picture.mode not in ("RGB", "RGBA", "CMYK"):
        return picture
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "sRGB" in ImageCms.getProfileDescription(source):
            return picture
        mode = "RGBA" if picture.mode == "RGBA" else "RGB"
        converted = ImageCms.profileToProfile(picture, source, ImageCms.createProfile("sRGB"), outputMode=mode)
        return converted or picture
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return picture


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode in _WIDE_MODES:
        return Image.fromarray(_to_8_bits(np.asarray(picture))).convert("RGB")
    if picture.mode in _ALPHA_MODES or "transparency" in picture.info:
        rgba = picture.convert("RGBA")
        background = Image.new("RGBA", rgba.size, (*BACKGROUND, 255))
        return Image.alpha_composite(background, rgba).convert("RGB")
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def _to_8_bits(values: np.ndarray) -> np.ndarray:
    """Scale one channel of wide values to uint8.

    Integers: 0..65535 unless values go beyond, then 0..maximum. Floats: 0..1 unless values go beyond 1, then 0..255
    unless they go beyond that, then 0..maximum. Values that are not finite become 0.
    """
    wide = np.nan_to_num(values.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    largest = float(wide.max(initial=0.0))
    steps = (1.0, 255.0) if values.dtype.kind == "f" else (65535.0,)
    top = next((step for step in steps if largest <= step), largest)
    return np.clip(np.rint(wide * (255.0 / top)), 0, 255).astype(np.uint8)


def check_frame(frame: np.ndarray) -> np.ndarray:
    """``frame`` if it is (H, W, 3) uint8 with at least one pixel.

    Raises:
        MediaError: anything else; the message says what came.
    """
    shape, dtype = getattr(frame, "shape", None), getattr(frame, "dtype", None)
    if shape is None or len(shape) != 3 or shape[2] != 3 or 0 in shape or dtype != np.uint8:
        raise MediaError(f"A picture must be a (height, width, 3) uint8 RGB array, but shape {shape}, {dtype} came.")
    return np.ascontiguousarray(frame)


def write_image(path: PathLike, image: np.ndarray) -> None:
    """Write (H, W, 3) uint8 RGB; the suffix chooses PNG, JPEG (quality 95, 4:4:4), WebP, BMP or TIFF.

    The file appears whole or not at all; an older file of that name is replaced.

    Raises:
        MediaError: unknown suffix, not an RGB picture, or the folder cannot be written.
    """
    options = _WRITE_OPTIONS.get(Path(path).suffix.lower())
    if options is None:
        raise MediaError(f"'{path}' has no picture suffix: end the name in one of {', '.join(IMAGE_SUFFIXES)}.")
    picture = Image.fromarray(check_frame(image))
    with Staged(path) as staged:
        try:
            picture.save(staged.temporary, **options)
        except (OSError, ValueError) as error:
            raise MediaError(f"'{path}' cannot be written ({reason(error)}): choose another output path.") from error
