"""Protocols of published tables as objects: what data, which frames, sizes, alignment, first frame, seed, metrics."""

from __future__ import annotations

from vivant.core.errors import ConfigError
from vivant.metrics.protocols.base import Protocol


def all_protocols() -> dict[str, Protocol]:
    """Every protocol by name."""
    from vivant.metrics.protocols import animate_anyone, diffused_heads, live_portrait, megactor, v_express

    modules = (v_express, live_portrait, animate_anyone, diffused_heads, megactor)
    return {protocol.name: protocol for module in modules for protocol in module.PROTOCOLS}


def get_protocol(name: str) -> Protocol:
    """The protocol ``name``.

    Raises:
        ConfigError: there is none.
    """
    known = all_protocols()
    if name not in known:
        raise ConfigError(f"There is no protocol '{name}': use one of {', '.join(known)}.")
    return known[name]


__all__ = ["all_protocols", "get_protocol"]
