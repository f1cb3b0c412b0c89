"""How long and how much: timings with warm-up and synchronisation, peak memory of a command, and on which machine."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from vivant.core.errors import ConfigError

T = TypeVar("T")


@dataclass(frozen=True)
class Timing:
    """Milliseconds of one call. ``median`` is the headline; ``runs``: how many were timed after the warm-up."""

    median: float
    mean: float
    fastest: float
    slowest: float
    runs: int


def time_call(
    call: Callable[[], Any], warmups: int, runs: int, synchronise: Callable[[], None] = lambda: None
) -> Timing:
    """Time ``call``: ``warmups`` untimed calls, then ``runs`` timed ones, ``synchronise`` before and after each."""
    if runs < 1:
        raise ConfigError("At least one timed run is needed: give --runs 1 or more.")
    for _ in range(warmups):
        call()
    milliseconds = []
    for _ in range(runs):
        synchronise()
        begin = time.perf_counter()
        call()
        synchronise()
        milliseconds.append(1000 * (time.perf_counter() - begin))
    return Timing(
        statistics.median(milliseconds), statistics.fmean(milliseconds), min(milliseconds), max(milliseconds), runs
    )


class Stopwatch:
    """Adds up the time that parts of a lazy chain take for themselves.

    ``seconds``: {part: seconds}. Time spent in a part's own input, when that is watched too, counts for the input only.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.seconds: dict[str, float] = {}
        self._clock = clock
        self._inner: list[float] = []

    def watch(self, part: str, items: Iterable[T]) -> Iterator[T]:
        """The same items, the time to make each counted for ``part``."""
        iterator = iter(items)
        while True:
            self._begin()
            begin = self._clock()
            try:
                item = next(iterator)
            except StopIteration:
                return
            finally:
                self._end(part, self._clock() - begin)
            yield item

    def call(self, part: str, work: Callable[[], T]) -> T:
        """The result of ``work``, its time counted for ``part``."""
        self._begin()
        begin = self._clock()
        try:
            return work()
        finally:
            self._end(part, self._clock() - begin)

    def _begin(self) -> None:
        self._inner.append(0.0)

    def _end(self, part: str, spent: float) -> None:
        self.seconds[part] = self.seconds.get(part, 0.0) + spent - self._inner.pop()
        if self._inner:
            self._inner[-1] += spent


def processor_name() -> str:
    """The CPU's name as the system tells it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
        if names:
            return names[0]
    except OSError:
        pass
    return platform.processor() or platform.machine()


def machine(device: str = "cpu") -> dict[str, Any]:
    """What the numbers were measured on: processor, usable cores, torch threads and version, accelerator.

    ``load_average`` tells how busy the machine was over the last minute; numbers of a busy machine are too slow.
    """
    import torch

    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found: dict[str, Any] = {
        "cpu": processor_name(),
        "cores": usable,
        "torch_threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": platform.system(),
    }
    if hasattr(os, "getloadavg"):
        found["load_average"] = round(os.getloadavg()[0], 2)
    if device.startswith("cuda"):
        found["accelerator"] = torch.cuda.get_device_name(device)
    return found


# A child's peak starts at the memory its parent had when it forked, so a small process has to be the parent.
_LAUNCHER = """
import os, subprocess, sys
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(child.pid, 0)
print(os.waitstatus_to_exitcode(status), usage.ru_maxrss)
"""


def peak_memory(command: Sequence[str]) -> tuple[float, float]:
    """Run ``command``; returns its peak resident memory in MiB and its seconds of wall clock.

    The peak is of the process itself or of a child it waited for, whichever is larger.

    Raises:
        ConfigError: the system cannot tell, or the command failed; the message ends with its last line of output.
    """
    if not hasattr(os, "wait4"):
        raise ConfigError("Peak memory can be measured on Linux and macOS only: run this there.")
    begin = time.perf_counter()
    launched = subprocess.run([sys.executable, "-I", "-c", _LAUNCHER, *command], capture_output=True, text=True)
    seconds = time.perf_counter() - begin
    code, peak = (int(word) for word in launched.stdout.split()) if launched.returncode == 0 else (1, 0)
    if code != 0:
        said = launched.stderr.strip().splitlines()
        raise ConfigError(f"'{' '.join(command[:4])} ...' ended with code {code}: {said[-1] if said else 'no message'}")
    return peak / (2**20 if sys.platform == "darwin" else 2**10), seconds
