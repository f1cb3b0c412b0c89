"""Working ahead changes nothing but the time at which items are computed."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from vivant.pipelines.ahead import ahead


def test_items_come_in_order_and_the_thread_ends() -> None:
    before = threading.active_count()
    assert list(ahead(range(100), 4)) == list(range(100))
    assert threading.active_count() == before


def test_an_error_comes_at_its_turn() -> None:
    def broken() -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("third")

    seen = []
    with pytest.raises(ValueError, match="third"):
        for item in ahead(broken()):
            seen.append(item)
    assert seen == [1, 2]


def test_no_more_than_the_depth_is_computed_in_advance() -> None:
    made = []

    def counted() -> Iterator[int]:
        for i in range(50):
            made.append(i)
            yield i

    items = ahead(counted(), 3)
    assert next(items) == 0
    time.sleep(0.1)
    assert len(made) <= 6
    items.close()  # type: ignore[attr-defined]


def test_closing_stops_the_thread_and_closes_the_source() -> None:
    closed = threading.Event()

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 0
        finally:
            closed.set()

    before = threading.active_count()
    items = ahead(endless(), 2)
    next(items)
    items.close()  # type: ignore[attr-defined]
    assert closed.is_set()
    assert threading.active_count() == before
