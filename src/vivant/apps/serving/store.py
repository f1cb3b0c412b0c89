"""The store of jobs: one SQLite file in WAL mode. What it says is finished is finished, also after the power went."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

QUEUED, RUNNING, DONE, FAILED, CANCELLED = "queued", "running", "done", "failed", "cancelled"
STATES = (QUEUED, RUNNING, DONE, FAILED, CANCELLED)
ENDED = (DONE, FAILED, CANCELLED)
TRIES = 3
"""How often a job may lose its worker, or the server, before it is given up."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, owner TEXT NOT NULL, state TEXT NOT NULL,
    created REAL NOT NULL, started REAL, ended REAL, request TEXT NOT NULL, problem TEXT NOT NULL DEFAULT '',
    warnings TEXT NOT NULL DEFAULT '[]', tries INTEGER NOT NULL DEFAULT 0, frames INTEGER NOT NULL DEFAULT 0,
    seconds REAL NOT NULL DEFAULT 0, bytes INTEGER NOT NULL DEFAULT 0, deleted INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS by_state ON jobs (state, number);
CREATE INDEX IF NOT EXISTS by_owner ON jobs (owner, number);
"""


class QueueFullError(Exception):
    """As many jobs wait as may."""


@dataclass(frozen=True)
class Row:
    """A job as stored. ``request``: its words, as :func:`vivant.pipelines.jobs.read_job` takes them, with file names
    relative to the job's folder. Times in seconds since 1970."""

    number: int
    id: str
    owner: str
    state: str
    created: float
    started: float | None
    ended: float | None
    request: dict[str, Any]
    problem: str
    warnings: list[str]
    tries: int
    frames: int
    seconds: float
    bytes: int
    deleted: int


_COLUMNS = ", ".join(item.name for item in fields(Row))


class Store:
    """Jobs on disk; may be used from any thread.

    Raises:
        sqlite3.OperationalError: the disk is full.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=10)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.executescript(_SCHEMA)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _read(self, where: str, *values: Any) -> list[Row]:
        with self._lock:
            found = self._db.execute(f"SELECT {_COLUMNS} FROM jobs WHERE {where}", values).fetchall()
        return [_row(values) for values in found]

    def add(self, job: str, owner: str, request: dict[str, Any], size: int, limit: int) -> None:
        """A new job that waits.

        Raises:
            QueueFullError: ``limit`` jobs wait already.
        """
        with self._writing() as db:
            if db.execute("SELECT COUNT(*) FROM jobs WHERE state = ?", (QUEUED,)).fetchone()[0] >= limit:
                raise QueueFullError
            db.execute(
                "INSERT INTO jobs (id, owner, state, created, request, bytes) VALUES (?, ?, ?, ?, ?, ?)",
                (job, owner, QUEUED, time.time(), json.dumps(request), size),
            )

    def get(self, job: str) -> Row | None:
        """A job that was not deleted."""
        found = self._read("id = ? AND deleted = 0", job)
        return found[0] if found else None

    def owned(self, owner: str, limit: int) -> list[Row]:
        """The newest jobs of an owner."""
        return self._read("owner = ? AND deleted = 0 ORDER BY number DESC LIMIT ?", owner, limit)

    def claim(self) -> Row | None:
        """The job that has waited longest, now running; None when none waits."""
        with self._writing() as db:
            found = db.execute(
                "SELECT id FROM jobs WHERE state = ? AND deleted = 0 ORDER BY number LIMIT 1", (QUEUED,)
            ).fetchone()
            if found is None:
                return None
            db.execute(
                "UPDATE jobs SET state = ?, started = ?, tries = tries + 1 WHERE id = ?", (RUNNING, time.time(), *found)
            )
        return self._read("id = ?", found[0])[0]

    def finish(
        self, job: str, state: str, problem: str = "", frames: int = 0, seconds: float = 0.0,
        warnings: tuple[str, ...] = (), more_bytes: int = 0,
    ) -> None:  # fmt: skip
        """The end of a running job; one that is not running stays as it is."""
        with self._writing() as db:
            db.execute(
                "UPDATE jobs SET state = ?, ended = ?, problem = ?, frames = ?, seconds = ?, warnings = ?, "
                "bytes = bytes + ? WHERE id = ? AND state = ?",
                (state, time.time(), problem, frames, seconds, json.dumps(warnings), more_bytes, job, RUNNING),
            )

    def requeue(self, job: str, count: bool = True) -> None:
        """A running job waits again, at its old place; ``count``: this try counts."""
        with self._writing() as db:
            db.execute(
                "UPDATE jobs SET state = ?, started = NULL, tries = tries - ? WHERE id = ? AND state = ?",
                (QUEUED, 0 if count else 1, job, RUNNING),
            )

    def cancel(self, job: str) -> bool:
        """Cancel a job that waits; False when it does not wait (any more)."""
        with self._writing() as db:
            return db.execute(
                "UPDATE jobs SET state = ?, ended = ? WHERE id = ? AND state = ?", (CANCELLED, time.time(), job, QUEUED)
            ).rowcount > 0  # fmt: skip

    def retry(self, job: str) -> bool:
        """A failed or cancelled job waits again, at its old place; False for another state."""
        with self._writing() as db:
            return db.execute(
                "UPDATE jobs SET state = ?, tries = 0, problem = '', started = NULL, ended = NULL "
                "WHERE id = ? AND state IN (?, ?)", (QUEUED, job, FAILED, CANCELLED)
            ).rowcount > 0  # fmt: skip

    def hide(self, job: str) -> None:
        """Delete a job for its owner; :meth:`forget` follows when its files are gone."""
        with self._writing() as db:
            db.execute("UPDATE jobs SET deleted = 1 WHERE id = ?", (job,))

    def forget(self, job: str) -> None:
        """Remove the row."""
        with self._writing() as db:
            db.execute("DELETE FROM jobs WHERE id = ?", (job,))

    def hidden(self) -> list[Row]:
        """Deleted jobs whose files may still be there and that do not run."""
        return self._read("deleted = 1 AND state != ?", RUNNING)

    def older(self, than: float) -> list[Row]:
        """Jobs that ended before a time."""
        return self._read("ended < ? AND state IN (?, ?, ?)", than, *ENDED)

    def recover(self) -> None:
        """After a start: jobs that ran when the server went down wait again; those that did so three times failed."""
        gave_up = f"The server or its worker went down {TRIES} times while it was made: it may need too much memory."
        with self._writing() as db:
            db.execute(
                "UPDATE jobs SET state = ?, ended = ?, problem = ? WHERE state = ? AND tries >= ?",
                (FAILED, time.time(), gave_up, RUNNING, TRIES),
            )
            db.execute("UPDATE jobs SET state = ?, started = NULL WHERE state = ?", (QUEUED, RUNNING))

    def counts(self) -> dict[str, int]:
        """Jobs by state."""
        with self._lock:
            found = dict(self._db.execute("SELECT state, COUNT(*) FROM jobs WHERE deleted = 0 GROUP BY state"))
        return {state: int(found.get(state, 0)) for state in STATES}

    def before(self, row: Row) -> int:
        """How many jobs wait before this one."""
        with self._lock:
            query = "SELECT COUNT(*) FROM jobs WHERE state = ? AND number < ?"
            return int(self._db.execute(query, (QUEUED, row.number)).fetchone()[0])

    def stored_bytes(self) -> int:
        """Bytes of all uploads and results."""
        with self._lock:
            return int(self._db.execute("SELECT COALESCE(SUM(bytes), 0) FROM jobs").fetchone()[0])

    def ids(self) -> set[str]:
        """Every job that has a row."""
        with self._lock:
            return {found[0] for found in self._db.execute("SELECT id FROM jobs")}

    def close(self) -> None:
        """Write everything back into one file."""
        with self._lock:
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._db.close()


def _row(values: tuple[Any, ...]) -> Row:
    found = dict(zip((item.name for item in fields(Row)), values))
    return Row(**{**found, "request": json.loads(found["request"]), "warnings": json.loads(found["warnings"])})
