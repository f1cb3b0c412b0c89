"""Numbers for Prometheus, in its text format."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping

BUCKETS = (0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000)
"""Upper bounds of the histogram of job times, in seconds."""
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
HELP = {
    "jobs_done": "jobs finished", "jobs_failed": "jobs failed", "jobs_cancelled": "jobs cancelled",
    "uploads": "uploads accepted", "uploads_refused": "uploads refused", "upload_bytes": "bytes received",
    "frames": "frames made", "worker_restarts": "worker processes killed or lost",
}  # fmt: skip


class Metrics:
    """Counters since the server started, and a histogram of job times; may be used from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter(dict.fromkeys(HELP, 0))
        self._buckets = [0] * len(BUCKETS)
        self._jobs, self._seconds = 0, 0.0

    def count(self, name: str, by: int = 1) -> None:
        """Add to a counter of :data:`HELP`."""
        with self._lock:
            self._counts[name] += by

    def made(self, seconds: float, frames: int) -> None:
        """A job was done in ``seconds``."""
        with self._lock:
            self._jobs += 1
            self._seconds += seconds
            self._counts["frames"] += frames
            for index, bound in enumerate(BUCKETS):
                self._buckets[index] += seconds <= bound

    def mean_seconds(self) -> float | None:
        """Mean time of a job, None before the first."""
        with self._lock:
            return self._seconds / self._jobs if self._jobs else None

    def text(self, jobs: Mapping[str, int], memory: Iterable[tuple[str, int]], ready: int) -> str:
        """The page. ``jobs``: by state; ``memory``: bytes by process; ``ready``: workers that are up."""
        with self._lock:
            lines = []
            for name, value in self._counts.items():
                lines += [*_head(f"{name}_total", "counter", HELP[name]), f"vivant_{name}_total {value}"]
            lines += _head("job_seconds", "histogram", "time from start to finished file")
            lines += [f'vivant_job_seconds_bucket{{le="{le}"}} {n}' for le, n in zip(BUCKETS, self._buckets)]
            lines.append(f'vivant_job_seconds_bucket{{le="+Inf"}} {self._jobs}')
            lines += [f"vivant_job_seconds_sum {self._seconds:.3f}", f"vivant_job_seconds_count {self._jobs}"]
        lines += _head("jobs", "gauge", "stored jobs by state")
        lines += [f'vivant_jobs{{state="{state}"}} {count}' for state, count in jobs.items()]
        lines += _head("memory_bytes", "gauge", "resident memory by process")
        lines += [f'vivant_memory_bytes{{process="{name}"}} {size}' for name, size in memory]
        lines += [*_head("workers_ready", "gauge", "worker processes that are up"), f"vivant_workers_ready {ready}"]
        return "\n".join(lines) + "\n"


def _head(name: str, kind: str, text: str) -> list[str]:
    return [f"# HELP vivant_{name} {text}", f"# TYPE vivant_{name} {kind}"]
