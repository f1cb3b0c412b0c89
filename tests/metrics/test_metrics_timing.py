from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from vivant.core.errors import ConfigError
from vivant.metrics.speed_tables import markdown
from vivant.metrics.timing import Stopwatch, machine, peak_memory, time_call


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_stopwatch_gives_each_part_its_own_time() -> None:
    clock = Clock()
    watch = Stopwatch(clock)

    def slow(items: Iterator[int] | range, seconds: float) -> Iterator[int]:
        for item in items:
            clock.now += seconds
            yield item

    decoded = watch.watch("decode", slow(range(4), 1))
    made = watch.watch("animate", slow(decoded, 10))
    for _ in made:
        watch.call("encode", lambda: setattr(clock, "now", clock.now + 100))
    assert watch.seconds == {"decode": 4, "animate": 40, "encode": 400}


def test_time_call_warms_up_and_synchronises() -> None:
    log: list[str] = []
    found = time_call(lambda: log.append("call"), 2, 3, lambda: log.append("sync"))
    assert log == ["call", "call"] + ["sync", "call", "sync"] * 3
    assert found.runs == 3 and found.fastest <= found.median <= found.slowest
    with pytest.raises(ConfigError, match="--runs"):
        time_call(lambda: None, 0, 0)


def test_peak_memory_sees_what_a_process_takes() -> None:
    small, _ = peak_memory([sys.executable, "-c", "pass"])
    large, seconds = peak_memory([sys.executable, "-c", "x = bytearray(200 * 2**20)"])
    assert 180 < large - small < 260
    assert seconds > 0


def test_peak_memory_of_a_command_that_fails() -> None:
    with pytest.raises(ConfigError, match="no luck"):
        peak_memory([sys.executable, "-c", "raise SystemExit('no luck')"])


def test_memory_table_names_the_machine() -> None:
    runs = [{"driver_seconds": s, "frames": 25 * s, "peak_mib": 500.0, "wall_seconds": 2.0} for s in (10, 600)]
    text = markdown("memory", {"machine": machine(), "runs": runs, "ratio": 1.0})
    assert "torch_threads" in text and "| 600 | 15000 | 500 | 2.0 |" in text and "1.000" in text
