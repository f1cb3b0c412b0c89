"""Which group of the data each sample comes from: shares of a mix, drawn evenly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vivant.core.errors import ConfigError


def shares_of(mix: Mapping[str, float], sizes: Mapping[str, int]) -> dict[str, float]:
    """The groups of ``mix`` with a share above 0; an empty mix means shares by size. ``sizes``: group -> its size.

    Raises:
        ConfigError: the mix names a group the data does not have.
    """
    shares = {name: share for name, share in mix.items() if share > 0} or {k: float(n) for k, n in sizes.items()}
    missing = sorted(set(shares) - set(sizes))
    if missing:
        raise ConfigError(f"The mix names {missing}, but the data has the groups {sorted(sizes)}.")
    return shares


def systematic(shares: Mapping[str, float], total: int, rng: Any) -> tuple[list[str], np.ndarray]:
    """Names in order and, for each of ``total`` draws, the number of its name, so that shares are met exactly over many
    steps and to one draw within a step."""
    names = sorted(name for name, share in shares.items() if share > 0)
    edges = np.cumsum([shares[name] for name in names])
    spots = (np.arange(total) + rng.random()) / total * edges[-1]
    return names, np.minimum(np.searchsorted(edges, spots, side="right"), len(names) - 1)


def group_members(names: Sequence[str] | np.ndarray) -> dict[str, np.ndarray]:
    """Group -> the numbers of those that belong to it, from the group of each, groups in order of name."""
    found = np.asarray(names)
    return {str(name): np.flatnonzero(found == name) for name in sorted(set(found))}


def draw_members(groups: Mapping[str, np.ndarray], mix: Mapping[str, float], total: int, rng: Any) -> np.ndarray:
    """(total,) int64 members, each of a group as likely, groups by the shares of ``mix``.

    Raises:
        ConfigError: the mix names a group the data does not have.
    """
    names, which = systematic(shares_of(mix, {k: len(v) for k, v in groups.items()}), total, rng)
    lengths = np.array([len(groups[name]) for name in names])
    places = (rng.random(total) * lengths[which]).astype(np.int64)
    return np.array([groups[names[w]][p] for w, p in zip(which, places)], np.int64)
