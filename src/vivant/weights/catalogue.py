"""What is known of published weights before they are fetched, and whose licence allows what."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from vivant.core.errors import WeightsError

COMMERCIAL_ONLY = "VIVANT_COMMERCIAL_ONLY"
"""Environment variable; while it is set to 1, weights whose licence does not allow commercial use are refused."""
_FREE = re.compile(
    r"(mit|apache|bsd|cc0|unlicense|isc|zlib|cc-by-[1-4]|cc-by-sa|cc by [1-4]|creativeml|openrail)\b", re.I
)
_BOUND = re.compile(r"non-?commercial|\bnc\b|research (use )?only|for research|academic", re.I)


@dataclass(frozen=True)
class Published:
    """Weights that somebody published.

    ``repo``: on the hub, empty if they lie elsewhere; ``files``: paths in it; ``licence``: as their makers state it;
    ``needs``: names of other published weights that they do not work without; ``where``: what to do if they are not on
    the hub; ``what``: one line.
    """

    repo: str
    files: tuple[str, ...]
    licence: str
    needs: tuple[str, ...] = ()
    where: str = ""
    what: str = ""


def allows_commerce(licence: str) -> bool | None:
    """Whether weights under ``licence`` (an SPDX name or a phrase) may be used commercially; None if it does not tell.

    What begins with a known free licence is free unless it also names a bound; random weights ("none") are free.
    """
    if _BOUND.search(licence):
        return False
    if licence.strip().lower() == "none" or _FREE.match(licence.strip()):
        return True
    return None


def gate_closed() -> bool:
    """Whether only weights for commercial use may be loaded."""
    return os.environ.get(COMMERCIAL_ONLY, "").lower() in ("1", "true", "yes", "on")


def pass_gate(name: str, licence: str, closed: bool | None = None) -> None:
    """Let weights through, or not. ``closed``: whether the gate is; None asks the environment.

    Raises:
        WeightsError: the gate is closed and the licence forbids commercial use, or does not say that it allows it.
    """
    if not (gate_closed() if closed is None else closed):
        return
    answer = allows_commerce(licence)
    if answer is None:
        raise WeightsError(
            f"The licence of {name} ('{licence}') does not say that commercial use is allowed: "
            "choose other weights, or leave --commercial-only out."
        )
    if not answer:
        raise WeightsError(
            f"The licence of {name} ('{licence}') forbids commercial use: choose other weights, or leave "
            "--commercial-only out."
        )
