"""Work ahead: an iterator computed in a thread of its own, a few items in front of whoever reads it.

Decoding, pasting and encoding each keep one core busy while the nets would leave it idle between their parallel parts;
numpy, OpenCV, PyAV and torch all let other threads run while they compute.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

Item = TypeVar("Item")
_END = object()


def ahead(items: Iterable[Item], depth: int = 8) -> Iterator[Item]:
    """The same items in the same order, at most ``depth`` computed in advance, so memory stays bounded.

    An error in ``items`` is raised here when its turn comes. Closing this iterator (or dropping it) stops the thread
    after the item it is at, and closes ``items``.
    """
    waiting: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue(depth)
    stop = threading.Event()
    worker = threading.Thread(target=_produce, args=(items, waiting, stop), daemon=True)
    worker.start()
    try:
        while True:
            item, error = waiting.get()
            if error is not None:
                raise error
            if item is _END:
                return
            yield item
    finally:
        stop.set()
        while worker.is_alive():  # a full queue would hold the thread
            _drain(waiting)
            worker.join(0.02)


def _produce(items: Iterable[Item], waiting: queue.Queue[Any], stop: threading.Event) -> None:
    source = iter(items)
    try:
        for item in source:
            waiting.put((item, None))
            if stop.is_set():
                break
        waiting.put((_END, None))
    except BaseException as error:  # handed to the reader, who decides
        waiting.put((None, error))
    finally:
        close = getattr(source, "close", None)
        if close is not None:
            close()


def _drain(waiting: queue.Queue[Any]) -> None:
    while True:
        try:
            waiting.get_nowait()
        except queue.Empty:
            return
