"""Live: a portrait that follows a camera as frames come; of frames that wait only the newest is used."""

from __future__ import annotations

import io
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from vivant.compose.paste import Paster
from vivant.core.errors import ConfigError, MediaError
from vivant.core.face import FaceCrop
from vivant.pipelines.inputs import Media, as_clip, first_frame, name_of
from vivant.pipelines.load import Pipeline
from vivant.pipelines.preview import shrink
from vivant.pipelines.sources import still_portrait
from vivant.pipelines.stream import causal_crops

Item = TypeVar("Item")
LIVE_FPS = 20.0
"""Rate that the smoothing of the camera's window assumes; cameras do not keep one."""
MOST_PIXELS = 1920 * 1080
"""Of a camera frame; larger ones are refused before they are decoded."""
PICTURE_SIDE = 512
"""Longest side of the whole picture, which is sent again with every frame."""
_END = object()


class Newest(Generic[Item]):
    """A place for one thing: what comes replaces what was not fetched, so nothing waits and memory cannot grow."""

    def __init__(self) -> None:
        self._ready = threading.Condition()
        self._item: Item | None = None
        self._closed = False
        self.replaced = 0

    def put(self, item: Item) -> Item | None:
        """Leave ``item``; an older one that nobody fetched is returned and counted in ``replaced``."""
        with self._ready:
            old, self._item = self._item, item
            self.replaced += old is not None
            self._ready.notify_all()
            return old

    def get(self, timeout: float | None = None) -> Item | None:
        """Wait for something and take it; None after :meth:`close` or ``timeout`` seconds."""
        with self._ready:
            self._ready.wait_for(lambda: self._item is not None or self._closed, timeout)
            item, self._item = self._item, None
            return item

    def close(self) -> None:
        """Whoever waits goes on with None."""
        with self._ready:
            self._closed = True
            self._ready.notify_all()

    @property
    def closed(self) -> bool:
        """Whether nothing comes any more."""
        return self._closed


@dataclass(frozen=True)
class Shown:
    """One picture for one camera frame. ``tag``: as given with the frame; ``picture``: (H, W, 3) uint8 RGB; ``seen``:
    whether the frame showed a face; ``seconds``: from decoding the frame to the finished picture."""

    tag: Any
    picture: np.ndarray
    seen: bool
    seconds: float


class Live:
    """A portrait in the hands of a camera; a thread of its own computes, from the first frame on.

    Give frames with :meth:`offer`, fetch pictures from ``results``; both hold one item, the newest. The first face
    is the neutral one, until :meth:`calibrate` takes the next.
    """

    def __init__(
        self,
        pipe: Pipeline,
        source: Media,
        options: Any = None,
        face: str | int = "largest",
        whole: bool = False,
        finder: Any = None,
    ) -> None:
        """``whole``: show the picture with the moved face in it, at most 512 px, else the square alone. ``finder``:
        finds the portrait's face, the pipeline's own if None.

        Raises:
            ConfigError: the method does not stream, several faces are meant, or the source is a video.
            FaceError: no usable face.
        """
        if not pipe.spec.capabilities.streams:
            raise ConfigError(f"The method '{pipe.spec.name}' does not stream: choose another one for live use.")
        if face == "all":
            raise ConfigError("A live portrait is one face: choose which.")
        clip, name = as_clip(source, "source"), name_of(source, "source")
        if clip.count != 1:
            raise ConfigError(f"A live portrait is a still, and {name} is a video: give a picture.")
        frame = first_frame(clip, name)
        if whole:
            frame, _ = shrink(frame, PICTURE_SIDE)
            clip = as_clip(frame, "source")
        portrait = still_portrait(finder or pipe.finder, clip, pipe.config, face, name)
        self._pipe, self._options = pipe, options or pipe.options()
        self._crop: FaceCrop = portrait.crops[0]
        self._frame = frame
        self._paster = Paster(clip.size, self._crop.to_frame, len(self._crop.image)) if whole else None
        self.results: Newest[Shown] = Newest()
        self._frames: Newest[tuple[Any, bytes | np.ndarray]] = Newest()
        self._again = threading.Event()
        self._begun: tuple[Any, float] = (None, 0.0)
        self._waiting: deque[tuple[Any, float, bool]] = deque()
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._work, daemon=True, name="vivant-live")
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Camera frames that a newer one replaced before they were looked at."""
        return self._frames.replaced

    def offer(self, frame: bytes | np.ndarray, tag: Any = None) -> Any:
        """A camera frame: (H, W, 3) uint8 RGB or a JPEG; ``tag`` comes back with its picture. Returns the tag of an
        older frame that this one replaces, whose picture will never come, else None."""
        replaced = self._frames.put((tag, frame))
        return None if replaced is None else replaced[0]

    def calibrate(self) -> None:
        """Take the next face as the neutral one: look straight ahead, mouth closed."""
        self._again.set()

    def close(self) -> None:
        """Stop; waits for the frame in work."""
        self._frames.close()
        self.results.close()
        self._thread.join(10)

    def _work(self) -> None:
        import torch

        torch.set_num_threads(1)  # of this thread: small layers gain little from more, and a busy machine much less
        generator = self._pipe.generator
        view, size = self._pipe.config.driving_crop, self._pipe.config.input_size
        crops = causal_crops(self._decoded(), LIVE_FPS, view, size)
        stream = getattr(generator, "stream_late", generator.stream)
        try:
            while not self._frames.closed:
                self._again.clear()
                for square in stream(self._crop, self._till_calibrated(crops), self._options):
                    self._deliver(square)
        except Exception as error:  # kept for whoever waits for pictures
            self.error = error
        finally:
            self.results.close()

    def _decoded(self) -> Iterator[np.ndarray]:
        while (item := self._frames.get()) is not None:
            tag, frame = item
            begin = time.perf_counter()
            try:
                picture = decode_jpeg(frame) if isinstance(frame, bytes) else frame
            except MediaError:
                continue  # one damaged frame of a camera is no reason to stop
            self._begun = (tag, begin)
            yield picture

    def _till_calibrated(self, crops: Iterator[FaceCrop | None]) -> Iterator[FaceCrop | None]:
        while not self._again.is_set():
            crop = next(crops, _END)
            if crop is _END:
                return
            self._waiting.append((*self._begun, crop is not None))
            yield crop  # type: ignore[misc]

    def _deliver(self, square: np.ndarray | None) -> None:
        tag, begin, seen = self._waiting.popleft()
        square = self._crop.image if square is None else square
        picture = square if self._paster is None else self._paster.paste(self._frame, square)
        self.results.put(Shown(tag, picture, seen, time.perf_counter() - begin))


def decode_jpeg(data: bytes) -> np.ndarray:
    """A camera's JPEG as (H, W, 3) uint8 RGB.

    Raises:
        MediaError: it is no JPEG, or larger than 1920x1080 pixels.
    """
    from PIL import Image

    try:
        picture = Image.open(io.BytesIO(data), formats=("JPEG",))
        if picture.width * picture.height > MOST_PIXELS:
            raise MediaError(f"The camera's picture is {picture.width}x{picture.height} px: send at most 1920x1080.")
        return np.asarray(picture.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise MediaError("The camera sent something that is no JPEG picture: send JPEG frames.") from error


def encode_jpeg(picture: np.ndarray, quality: int = 85) -> bytes:
    """(H, W, 3) uint8 RGB as JPEG."""
    import cv2

    return cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
