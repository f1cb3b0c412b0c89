"""Which clips are one recording, and which show one person."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.ndimage import uniform_filter1d

BITS = 14
"""Most bits of 64 in which hashes of one face at one moment differ, after scaling and compression."""
OVERLAP = 40
"""Frames that two clips must share to be compared."""
ALIKE, ALIKE_HEARD = 0.92, 0.75
"""Correlation of the movement of lips from which on two clips are one recording: without sound to compare, and where
the loudness of both runs alike, too."""
LOUD_ALIKE = 0.8
_STILL = 8.0  # thousandths of the mouth's width: lips that move less say nothing


def duplicate_groups(clips: Sequence[Mapping[str, Any]]) -> list[set[int]]:
    """Groups of two or more clips that are one recording, by the scores of :class:`scorers.duplicates.Duplicates`.

    Candidates share a hash; then their lips must move alike at some shift in time. Clips whose lips do not move are
    never called duplicates.
    """
    hashes = [_bits(clip.get("duplicates.hashes") or []) for clip in clips]
    series = [np.array(clip.get("duplicates.lips") or [], np.float64) for clip in clips]
    loud = [np.array(clip.get("duplicates.loud") or [], np.float64) for clip in clips]
    parent = list(range(len(clips)))

    def root(number: int) -> int:
        while parent[number] != number:
            parent[number] = parent[parent[number]]
            number = parent[number]
        return number

    for one, other in _candidates(hashes):
        if root(one) != root(other) and same_recording((series[one], loud[one]), (series[other], loud[other])):
            parent[root(other)] = root(one)
    groups: dict[int, set[int]] = defaultdict(set)
    for number in range(len(clips)):
        groups[root(number)].add(number)
    return [group for group in groups.values() if len(group) > 1]


def _bits(hashes: Sequence[str]) -> np.ndarray:
    """(n, 64) bool."""
    rows = [np.unpackbits(np.frombuffer(bytes.fromhex(text), np.uint8)) for text in hashes]
    return np.array(rows, bool).reshape(len(rows), 64)


def _candidates(hashes: Sequence[np.ndarray]) -> list[tuple[int, int]]:
    """Pairs of clips of which some hashes are near, in order."""
    owner = np.repeat(np.arange(len(hashes)), [len(rows) for rows in hashes])
    if not len(owner):
        return []
    rows = np.concatenate([rows for rows in hashes if len(rows)]).astype(np.float32) * 2 - 1
    found: set[tuple[int, int]] = set()
    for start in range(0, len(rows), 1024):
        near = rows[start : start + 1024] @ rows.T >= 64 - 2 * BITS  # a product of signs is 64 - 2 * differing bits
        first, second = np.nonzero(near)
        pairs = np.stack([owner[start + first], owner[second]], axis=1)
        found |= {(int(a), int(b)) for a, b in np.unique(pairs[pairs[:, 0] < pairs[:, 1]], axis=0)}
    return sorted(found)


def same_recording(one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]) -> bool:
    """Whether two clips move their lips (F,) alike at some shift over 40 frames or more, by a limit that is lower where
    their loudness (F,) does so at the same shift."""
    shift, alike = best_shift(one[0], other[0])
    if alike < ALIKE_HEARD or alike >= ALIKE:
        return alike >= ALIKE
    a, b = _shifted(one[1], other[1], shift)
    heard = len(a) >= OVERLAP and a.std() > 1 and b.std() > 1
    return heard and float(np.corrcoef(a, b)[0, 1]) >= LOUD_ALIKE


def best_shift(one: np.ndarray, other: np.ndarray) -> tuple[int, float]:
    """Shift of ``other`` against ``one`` at which the series correlate best, and that correlation; -1 where none
    can be told."""
    best = (0, -1.0)
    one, other = (uniform_filter1d(series, 3) if len(series) else series for series in (one, other))
    for shift in range(OVERLAP - len(one), len(other) - OVERLAP + 1):
        a, b = _shifted(one, other, shift)
        if a.std() > _STILL and b.std() > _STILL:
            value = float(np.corrcoef(a, b)[0, 1])
            best = max(best, (shift, value), key=lambda found: found[1])
    return best


def _shifted(one: np.ndarray, other: np.ndarray, shift: int) -> tuple[np.ndarray, np.ndarray]:
    """The parts of two series that overlap when ``one`` begins at place ``shift`` of ``other``."""
    start = max(0, -shift)
    count = max(0, min(len(one) - start, len(other) - (start + shift)))
    return one[start : start + count], other[start + shift : start + shift + count]


def people(
    ids: Sequence[str], embeddings: Sequence[Sequence[float] | None], named: Sequence[str], distance: float
) -> list[str]:
    """Who is in each clip: the name that is known, else that of the nearest person so far, else a new one.

    Clips are taken in order of their ids, so the same clips give the same people. A person is the mean of the
    embeddings of the clips that show them; a clip belongs to the nearest person within ``distance``. A clip without an
    embedding is a person of its own.
    """
    order = sorted(range(len(ids)), key=lambda number: (not named[number], ids[number]))  # known names first
    names: list[str] = []
    sums: list[np.ndarray] = []
    members: list[int] = []
    found = [""] * len(ids)
    places: dict[str, int] = {}
    for number in order:
        raw = embeddings[number]
        vector = None if raw is None else np.array(raw, np.float64)
        place = places.get(named[number]) if named[number] else _nearest(vector, sums, members, distance)
        if place is None:
            place = len(names)
            names.append(named[number] or f"person-{ids[number]}")
            sums.append(np.zeros(128))
            members.append(0)
            places[names[-1]] = place
        if vector is not None:
            sums[place] += vector
            members[place] += 1
        found[number] = names[place]
    return found


def _nearest(vector: np.ndarray | None, sums: list[np.ndarray], members: list[int], distance: float) -> int | None:
    if vector is None or not sums:
        return None
    counts = np.array(members)
    means = np.stack(sums) / np.maximum(counts, 1)[:, None]
    away = np.where(counts > 0, np.linalg.norm(means - vector, axis=1), np.inf)
    best = int(away.argmin())
    return best if away[best] < distance else None
