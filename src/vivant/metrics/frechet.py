"""Distances of two sets of feature vectors: Frechet distance (FID, FVD), kernel distance (KID), and their spread."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from vivant.metrics.statistics import Estimate

GROUPS = 20
"""Most parts that the jackknife leaves out in turn."""
Rows = np.ndarray
Distance = Callable[[Rows, Rows], float]


def frechet_distance(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Frechet distance of Gaussians fitted to (N, D) and (M, D) features: |m1 - m2|² + tr(S1 + S2 - 2 (S1 S2)^½).

    Dowson and Landau 1982; Heusel et al. 2017, equation 6. Covariances are unbiased (divided by N - 1), as in every
    published FID. Exact, no square root of a matrix that might turn complex: tr (S1 S2)^½ is the sum of the singular
    values of X1 X2^T over sqrt((N - 1)(M - 1)) with centred X when there are fewer vectors than numbers, and else the
    sum of the roots of the eigenvalues of S1^½ S2 S1^½. Range 0 and up; NaN with fewer than two vectors on a side, or
    where a number is not finite.
    """
    a, b = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    if min(len(a), len(b)) < 2 or not (np.isfinite(a).all() and np.isfinite(b).all()):
        return float("nan")
    mean = np.square(a.mean(0) - b.mean(0)).sum()
    a, b = a - a.mean(0), b - b.mean(0)
    n, m = len(a) - 1, len(b) - 1
    traces = np.square(a).sum() / n + np.square(b).sum() / m
    if min(len(a), len(b)) <= a.shape[1]:
        root = np.linalg.svd(a @ b.T, compute_uv=False).sum() / np.sqrt(n * m)
    else:
        root = _root_trace(a.T @ a / n, b.T @ b / m)
    return float(max(mean + traces - 2 * root, 0.0))


def _root_trace(first: np.ndarray, second: np.ndarray) -> float:
    """tr (S1 S2)^½ of two covariances (D, D)."""
    values, vectors = np.linalg.eigh(first)
    half = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    return float(np.sqrt(np.maximum(np.linalg.eigvalsh(half @ second @ half), 0)).sum())


def kernel_distance(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Unbiased squared maximum mean discrepancy with the kernel (x·y / D + 1)³ of (N, D) and (M, D) features.

    KID: Binkowski, Sutherland, Arbel, Gretton, "Demystifying MMD GANs", ICLR 2018, over all pairs instead of random
    subsets, so there is nothing to draw. May be slightly negative; NaN with fewer than two vectors on a side.
    """
    n, m = len(ours), len(theirs)
    if min(n, m) < 2:
        return float("nan")
    a, b = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    within = [(_kernel_sum(x, x) - _kernel_diagonal(x)) / (len(x) * (len(x) - 1)) for x in (a, b)]
    return float(sum(within) - 2 * _kernel_sum(a, b) / (n * m))


def _kernel_sum(a: np.ndarray, b: np.ndarray, rows: int = 1024) -> float:
    parts = (a[start : start + rows] @ b.T / a.shape[1] + 1 for start in range(0, len(a), rows))
    return float(sum((part * part * part).sum() for part in parts))  # a power takes several times as long


def _kernel_diagonal(a: np.ndarray) -> float:
    return float(((np.square(a).sum(1) / a.shape[1] + 1) ** 3).sum())


def set_estimate(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray], distance: Distance) -> Estimate:
    """The distance of two sets of clips and a 95 % interval.

    ``ours``, ``theirs``: features (n_i, D) of each clip. The interval is value ± 1.96 standard errors of the
    delete-a-group jackknife (Efron 1982) over clips, at most ``GROUPS`` groups: clips drawn again and again, as in a
    bootstrap, would look more alike than they are, and every Frechet distance would come out too large.
    """
    ours, theirs = [part for part in ours if len(part)], [part for part in theirs if len(part)]
    nan, clips = float("nan"), len(ours)
    if not ours or not theirs:
        return Estimate(nan, nan, nan, clips)
    value = distance(np.concatenate(ours), np.concatenate(theirs))
    groups = min(GROUPS, len(ours), len(theirs))
    if groups < 3:
        return Estimate(value, nan, nan, clips)
    mine, other = ([np.concatenate(side[number::groups]) for number in range(groups)] for side in (ours, theirs))
    known = np.array(_kernels_without(mine, other) if distance is kernel_distance else _without(mine, other, distance))
    error = np.sqrt((groups - 1) * np.square(known - known.mean()).mean())
    return Estimate(value, float(value - 1.96 * error), float(value + 1.96 * error), clips)


def _without(ours: list[np.ndarray], theirs: list[np.ndarray], distance: Distance) -> list[float]:
    """The distance of all groups of rows but one, for each of them."""
    found = []
    for left in range(len(ours)):  # one at a time: features of many clips are large
        mine, other = (np.concatenate([*side[:left], *side[left + 1 :]]) for side in (ours, theirs))
        found.append(distance(mine, other))
    return found


def _kernels_without(ours: list[np.ndarray], theirs: list[np.ndarray]) -> list[float]:
    """As :func:`_without` for :func:`kernel_distance`, whose sums over pairs of groups are needed once: of large sets
    each takes minutes."""
    sides = [[np.asarray(rows, np.float64) for rows in side] for side in (ours, theirs)]
    counts = [np.array([len(rows) for rows in side]) for side in sides]
    own = [np.array([_kernel_diagonal(rows) for rows in side]) for side in sides]
    within, across = [np.zeros((len(ours),) * 2) for _ in sides], np.zeros((len(ours),) * 2)
    for i in range(len(ours)):
        for j in range(len(ours)):
            across[i, j] = _kernel_sum(sides[0][i], sides[1][j])
            for table, side in zip(within, sides):
                table[i, j] = table[j, i] if j < i else _kernel_sum(side[i], side[j])
    found = []
    for left in range(len(ours)):
        kept = np.arange(len(ours)) != left
        pairs = np.ix_(kept, kept)
        n, m = (int(count[kept].sum()) for count in counts)
        inner = [
            (table[pairs].sum() - diagonal[kept].sum()) / (count * (count - 1)) if count > 1 else np.nan
            for table, diagonal, count in zip(within, own, (n, m))
        ]
        found.append(float(sum(inner) - 2 * across[pairs].sum() / (n * m)))
    return found
