"""Leaving a run in order when the system asks for it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def asked_to_stop() -> Iterator[threading.Event]:
    """An event that SIGTERM or SIGINT sets, so that a run can save and leave; a second signal acts as
    usual."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    kinds = (signal.SIGTERM, signal.SIGINT)
    before = {kind: signal.getsignal(kind) for kind in kinds}

    def ask(number: int, _frame: object) -> None:
        asked.set()
        signal.signal(number, before[signal.Signals(number)])

    for kind in kinds:
        signal.signal(kind, ask)
    try:
        yield asked
    finally:
        for kind in kinds:
            signal.signal(kind, before[kind])
