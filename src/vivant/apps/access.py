"""Who may use a server of ours: tokens, and a warning where everybody may. For ``vivant serve`` and ``vivant ui``."""

from __future__ import annotations

import argparse
import hmac
import ipaddress
import sys
from collections.abc import Sequence
from pathlib import Path

from vivant.core.errors import ConfigError
from vivant.core.text import read_text

SHORTEST_TOKEN = 16


def add_token_argument(parser: argparse.ArgumentParser, then: str) -> None:
    """The option ``--tokens``; ``then`` says what a token does here."""
    parser.add_argument("--tokens", metavar="FILE", help=f"tokens, one a line: only they may use it, {then}")


def read_tokens(path: Path) -> tuple[str, ...]:
    """Tokens, one a line; empty lines and lines that start with # are left out.

    Raises:
        ConfigError: the file cannot be read, holds none, or one is shorter than 16 characters.
    """
    lines = read_text(path, "The file of tokens").splitlines()
    tokens = tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))
    if not tokens:
        raise ConfigError(f"The file '{path}' holds no token: write one a line.")
    if any(len(token) < SHORTEST_TOKEN or not token.isascii() for token in tokens):
        raise ConfigError(f"A token in '{path}' is shorter than {SHORTEST_TOKEN} plain characters: make longer ones.")
    return tokens


def known(tokens: Sequence[str], given: str) -> str | None:
    """The token that ``given`` is, or None; compared in constant time."""
    found = [token for token in tokens if hmac.compare_digest(token.encode(), given.strip().encode())]
    return found[0] if found else None


def warn_if_open(host: str, tokens: Sequence[str]) -> None:
    """Say on stderr that others than this machine may use a server without tokens."""
    if not tokens and not _is_local(host):
        print("vivant: warning: everybody who reaches this address may use it: give --tokens.", file=sys.stderr)


def _is_local(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
