"""Progress: bars on stderr with the time left, silent unless asked for, and a listener for pages and servers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")
Listener = Callable[[str, int, int | None], None]
"""Told of every item: what is done ("read driver", "render", ...), items so far, all items or None when unknown."""
_LISTENER: ContextVar[Listener | None] = ContextVar("listener", default=None)
LOG_SECONDS = 10.0
"""Between two lines of a bar where stderr is a file or a pipe, which keeps them all."""


def bar(items: Iterable[T], total: int | None, what: str, show: bool, unit: str = "frame") -> Iterator[T]:
    """``items``, counted on stderr when ``show`` is set; ``total`` gives the time left."""
    listener = _LISTENER.get()
    if listener is not None:
        items = _told(items, total, what, listener)
    if not show:
        return iter(items)
    from tqdm import tqdm

    every = 0.1 if sys.stderr.isatty() else LOG_SECONDS
    what = f"vivant: {what}"
    return iter(tqdm(items, total=total, desc=what, unit=unit, dynamic_ncols=True, mininterval=every))


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Inside, every :func:`bar` that this thread makes tells ``listener``; what it raises stops the work (cancel).

    It may be called from another thread, where reading runs ahead, but never from two at once for one pipeline.
    """
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


def _told(items: Iterable[T], total: int | None, what: str, listener: Listener) -> Iterator[T]:
    listener(what, 0, total)
    for count, item in enumerate(items, 1):
        yield item
        listener(what, count, total)


def spans(numbers: Iterable[int], limit: int = 8) -> str:
    """Frame numbers in words, runs joined: ``"3-7, 12"``; after ``limit`` runs the rest is counted."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    words = [str(a) if a == b else f"{a}-{b}" for a, b in runs[:limit]]
    rest = sum(b - a + 1 for a, b in runs[limit:])
    return ", ".join(words) + (f" and {rest} more" if rest else "")


def held_frames(missing: Sequence[int], count: int, name: str) -> str:
    """What is told of frames without a face, among ``count`` of ``name``."""
    return f"No face in {len(missing)} of {count} frames of {name}, the motion is held there: frames {spans(missing)}."
