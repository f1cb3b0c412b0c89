"""Clips out: browser-playable movies with sound, GIFs and folders of PNG files, whole or not at all."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import cv2
import numpy as np

from vivant.core.clip import Audio, Clip
from vivant.core.errors import MediaError
from vivant.media.encode import MOVIE_FORMATS, FolderSink, GifSink, MovieSink, Sink
from vivant.media.files import PathLike, Staged, reason
from vivant.media.image import check_frame
from vivant.media.timeline import exact_rate


class VideoWriter:
    """Write frames one by one; memory does not grow with length.

    The path decides what is written: ``.mp4``, ``.m4v``, ``.mov`` or ``.mkv`` a movie (H.264 4:2:0, AAC, index
    first); ``.gif`` an animated GIF without sound; no suffix or a closing ``/`` a folder of PNG files without sound.
    Output goes to a temporary name in the same folder and is renamed when whole; on any exception inside the
    ``with`` block the temporary is removed and an older file stays. Missing parent folders are made.

    Odd widths and heights: a movie gets one more column or row that repeats the last one. Sound is cut to the length
    of the pictures, or filled with silence up to it.

    Args:
        path: output.
        fps: frames per second, exactly, such as ``Fraction(30000, 1001)``.
        size: (height, width) that frames must have; the first frame's if None.
        audio: sound, its time 0 at the first frame.
        quality: constant rate factor of x264, 0 (lossless) to 51 (worst); movies only.
        threads: that encode a movie, as many as the encoder likes if None. The same frames give the same file only
            with one: with more, a few bits depend on which thread is first.

    Raises:
        MediaError: before any work if the path, the rate or the quality cannot be used; on :meth:`write` for a frame
            that is not RGB or of another size; on leaving the block if no frame was written.
    """

    def __init__(
        self,
        path: PathLike,
        fps: Fraction | float | str,
        size: tuple[int, int] | None = None,
        audio: Audio | None = None,
        quality: int = 18,
        threads: int | None = None,
    ) -> None:
        self._suffix = output_suffix(path)
        if not 0 <= quality <= 51:
            raise MediaError(f"Quality {quality} is out of range: give 0 (lossless) to 51 (worst), 18 is usual.")
        self.fps = exact_rate(fps)
        self.size = size
        self.count = 0
        self._audio, self._quality, self._threads = audio, int(quality), threads
        self._staged = Staged(path, folder=not self._suffix)
        self._sink: Sink | None = None
        self._closed = False

    @property
    def path(self) -> Path:
        """Where the finished output will be."""
        return self._staged.target

    def write(self, frame: np.ndarray) -> None:
        """Add one (H, W, 3) uint8 RGB frame.

        Raises:
            MediaError: not RGB, another size than the frames before, the disk is full, or the writer is closed.
        """
        if self._closed:
            raise MediaError(f"'{self.path}' is finished already: open a new writer.")
        frame = self._checked(frame)
        try:
            if self._sink is None:
                self._sink = self._open_sink(frame.shape[0], frame.shape[1])
            self._sink.write(frame)
        except (av.FFmpegError, OSError, ValueError) as error:
            self.discard()
            raise self._failure(error) from error
        except BaseException:
            self.discard()
            raise
        self.count += 1

    def close(self) -> Path:
        """Finish the output and give it its name; closing twice does nothing more. Returns the path.

        Raises:
            MediaError: no frame was written, or the disk is full.
        """
        if self._closed:
            return self.path
        if self._sink is None:
            self.discard()
            raise MediaError(f"'{self.path}' was not written because there was no frame: check the input.")
        try:
            self._sink.finish()
        except (av.FFmpegError, OSError, ValueError) as error:
            self.discard()
            raise self._failure(error) from error
        self._closed = True
        return self._staged.commit()

    def discard(self) -> None:
        """Give up: close and remove the temporary output. An older file of that name stays."""
        if not self._closed:
            self._closed = True
            if self._sink is not None:
                self._sink.abort()
            self._staged.discard()

    def _open_sink(self, height: int, width: int) -> Sink:
        temporary = self._staged.temporary
        if not self._suffix:
            temporary.mkdir()
            return FolderSink(temporary)
        if self._suffix == ".gif":
            return GifSink(temporary, self.fps, (height, width))
        return MovieSink(temporary, self._suffix, self.fps, (height, width), self._audio, self._quality, self._threads)

    def _checked(self, frame: np.ndarray) -> np.ndarray:
        frame = check_frame(frame)
        height, width = frame.shape[:2]
        if self.size is None:
            self.size = (height, width)
        if (height, width) != tuple(self.size):
            raise MediaError(
                f"Frame {self.count} for '{self.path}' is {width} x {height} pixels, but "
                f"{self.size[1]} x {self.size[0]} were expected: all frames need one size."
            )
        return frame

    def _failure(self, error: BaseException) -> MediaError:
        return MediaError(
            f"'{self.path}' could not be written ({reason(error)}): check the free space or choose another path."
        )

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()


def output_suffix(path: PathLike) -> str:
    """Lower-case suffix of a clip to write; empty for a folder of frames.

    Raises:
        MediaError: an unknown suffix, or no name at all.
    """
    text = os.fspath(path)
    suffix = Path(text).suffix.lower()
    name = Path(text).name
    if not name or name.lower() in (*MOVIE_FORMATS, ".gif"):  # a suffix alone would be a hidden folder of PNG files
        raise MediaError(f"'{text}' is no output: give a name such as out.mp4, out.gif or a new folder.")
    if text.endswith(("/", os.sep)) or not suffix:
        return ""
    if suffix not in MOVIE_FORMATS and suffix != ".gif":
        known = ", ".join((*MOVIE_FORMATS, ".gif"))
        raise MediaError(
            f"'{text}' has the unknown suffix '{suffix}': use {known}, or no suffix for a folder of PNG files."
        )
    return suffix


def write_clip(clip: Clip, path: PathLike, quality: int = 18) -> Path:
    """Write a whole clip with its sound; see :class:`VideoWriter`. Returns the path.

    Raises:
        MediaError: the output cannot be written, or the clip has no frame.
    """
    with VideoWriter(path, clip.fps, clip.size, clip.audio, quality) as writer:
        for frame in clip.frames:
            writer.write(frame)
    return writer.path


def side_by_side(*frames: np.ndarray) -> np.ndarray:
    """Frames in a row, left to right, each scaled to the tallest one's height with its proportions kept.

    Args:
        frames: one or more (H, W, 3) uint8 RGB arrays.

    Returns:
        (H, sum of widths, 3) uint8 RGB.

    Raises:
        MediaError: no frame, or one that is not RGB.
    """
    if not frames:
        raise MediaError("There is no picture to put side by side: give at least one.")
    height = max(check_frame(frame).shape[0] for frame in frames)
    return np.concatenate([_to_height(frame, height) for frame in frames], axis=1)


def _to_height(frame: np.ndarray, height: int) -> np.ndarray:
    if frame.shape[0] == height:
        return frame
    width = max(1, round(frame.shape[1] * height / frame.shape[0]))
    return np.asarray(cv2.resize(frame, (width, height), interpolation=cv2.INTER_CUBIC))
