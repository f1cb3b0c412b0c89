"""Memory that does not creep up while a long driver is read."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

M_MMAP_THRESHOLD = -3
"""Name of the setting in glibc's malloc.h."""
WHILE_READING = 1 << 19
USUAL = 1 << 25
"""The value that glibc reaches by itself once large buffers were freed."""


@contextmanager
def returning_memory() -> Iterator[None]:
    """Inside, buffers of half a MiB and more go back to the system as soon as they are freed (glibc only).

    Otherwise they stay on the heap, where the few numbers that are kept of each frame (its motion) break the
    holes up: measured, 0.7 MB a driver frame. Rendering keeps nothing, so outside the faster way is used.
    """
    _set(WHILE_READING)
    try:
        yield
    finally:
        _set(USUAL)


def _set(size: int) -> None:
    if not sys.platform.startswith("linux"):
        return
    try:
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, size)
    except (AttributeError, OSError):  # another C library, which has no such setting and no such habit
        return
