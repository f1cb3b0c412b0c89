"""A worker of ``run_suite`` that dies on one clip; it loads no net."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from vivant.metrics import suite
from vivant.metrics.measure import ClipResult, Plan
from vivant.metrics.probes.base import Findings
from vivant.metrics.subject import Subject

DEADLY = "deadly"


def measure(subject: Subject, plan: Plan) -> ClipResult:
    """A result without looking; killed as by the system on the deadly clip."""
    if subject.id == DEADLY:
        os.kill(os.getpid(), signal.SIGKILL)
    return ClipResult(
        subject.id, "", "", plan.fingerprint(), subject.given(), 1, 0, 0.0, findings=Findings({"psnr": 1.0})
    )


def begin(plan: Plan, out: Path) -> None:
    """As ``suite._begin``."""
    suite._plan, suite._out = plan, out
    suite.measure = measure  # type: ignore[attr-defined]
