"""Frechet and kernel distances against SciPy's matrix square root, torchmetrics, and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import linalg
from torchmetrics.image.fid import _compute_fid
from torchmetrics.image.kid import poly_mmd

from vivant.metrics import frechet
from vivant.metrics.frechet import frechet_distance, kernel_distance, set_estimate


def features(seed: int, count: int, width: int, shift: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, width)) @ rng.normal(size=(width, width)) / np.sqrt(width) + shift


def by_scipy(a: np.ndarray, b: np.ndarray) -> float:
    """The formula as pytorch-fid and clean-fid compute it, with SciPy's matrix square root."""
    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = linalg.sqrtm(first @ second)
    gap = a.mean(0) - b.mean(0)
    return float(gap @ gap + np.trace(first) + np.trace(second) - 2 * np.trace(root.real))


@pytest.mark.parametrize(("count", "other", "width"), [(200, 150, 24), (60, 500, 32)])
def test_frechet_agrees_with_scipy_and_torchmetrics(count: int, other: int, width: int) -> None:
    a, b = features(0, count, width), features(1, other, width, 0.3)
    found = frechet_distance(a, b)
    assert found == pytest.approx(by_scipy(a, b), rel=1e-8)
    stats = [(torch.tensor(x.mean(0)), torch.tensor(np.cov(x, rowvar=False))) for x in (a, b)]
    assert found == pytest.approx(float(_compute_fid(*stats[0], *stats[1])), rel=1e-6)


def test_fewer_vectors_than_numbers_is_exact() -> None:
    """Singular covariances: compared with the eigenvalues of their product, which needs no square root."""
    a, b = features(2, 12, 40), features(3, 9, 40, 0.5)
    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    roots = np.sqrt(np.maximum(np.linalg.eigvals(first @ second).real, 0)).sum()
    want = np.square(a.mean(0) - b.mean(0)).sum() + np.trace(first) + np.trace(second) - 2 * roots
    assert frechet_distance(a, b) == pytest.approx(want, rel=1e-5)


def test_frechet_closed_forms() -> None:
    a = features(4, 300, 8)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(a, a + 2) == pytest.approx(8 * 4, rel=1e-9)
    centred = a - a.mean(0)
    assert frechet_distance(centred, 3 * centred) == pytest.approx(4 * np.trace(np.cov(a, rowvar=False)), rel=1e-9)
    assert np.isnan(frechet_distance(a[:1], a))


def test_order_does_not_matter() -> None:
    a, b = features(5, 90, 16), features(6, 80, 16, 0.1)
    order = np.random.default_rng(0).permutation(90)
    for distance in (frechet_distance, kernel_distance):
        assert distance(a[order], b) == pytest.approx(distance(a, b), rel=1e-9)
        assert distance(a, b) == pytest.approx(distance(b, a), rel=1e-9)


def test_kernel_distance_agrees_with_torchmetrics() -> None:
    a, b = features(7, 70, 20), features(8, 70, 20, 0.4)
    kernels = [(x @ y.T / 20 + 1) ** 3 for x, y in ((a, a), (a, b), (b, b))]
    want = float(poly_mmd_of(*kernels))
    assert kernel_distance(a, b) == pytest.approx(want, rel=1e-9)
    assert float(poly_mmd(torch.tensor(a), torch.tensor(b))) == pytest.approx(want, rel=1e-6)


def poly_mmd_of(aa: np.ndarray, ab: np.ndarray, bb: np.ndarray) -> float:
    """Gretton et al. 2012, equation 3."""
    m = len(aa)
    return ((aa.sum() - np.trace(aa)) + (bb.sum() - np.trace(bb))) / (m * (m - 1)) - 2 * ab.mean()


def test_interval_of_sets_covers_the_value_and_shrinks_with_more_clips() -> None:
    def clips(seed: int, count: int, shift: float) -> list[np.ndarray]:
        rng = np.random.default_rng(seed)
        return [rng.normal(rng.normal(shift, 0.3, 6), 1, (12, 6)) for _ in range(count)]

    few = set_estimate(clips(0, 8, 0), clips(1, 8, 0.5), frechet_distance)
    many = set_estimate(clips(0, 60, 0), clips(1, 60, 0.5), frechet_distance)
    assert few.low < few.value < few.high and many.low < many.value < many.high
    assert many.high - many.low < few.high - few.low
    two = set_estimate(clips(0, 2, 0), clips(1, 2, 0.5), frechet_distance)
    assert np.isfinite(two.value) and np.isnan(two.low)
    assert np.isnan(set_estimate([], clips(0, 2, 0), frechet_distance).value)


def test_features_that_are_no_numbers_have_no_distance() -> None:
    rows = np.random.default_rng(0).normal(size=(6, 4))
    for strange in (np.nan, np.inf):
        broken = rows.copy()
        broken[2, 1] = strange
        assert np.isnan(frechet_distance(rows, broken)) and np.isnan(frechet_distance(broken, rows))


def test_the_kernel_distances_interval_takes_each_pair_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = [features(i, 3 + i % 4, 6) for i in range(25)]
    theirs = [features(50 + i, 5, 6, 0.2) for i in range(30)]
    slow = set_estimate(ours, theirs, lambda a, b: kernel_distance(a, b))
    products, real = [0], frechet._kernel_sum

    def counted(a: np.ndarray, b: np.ndarray) -> float:
        products[0] += len(a) * len(b)
        return real(a, b)

    monkeypatch.setattr(frechet, "_kernel_sum", counted)
    fast = set_estimate(ours, theirs, kernel_distance)
    assert (fast.value, fast.low, fast.high) == pytest.approx((slow.value, slow.low, slow.high), rel=1e-9)
    n, m = sum(map(len, ours)), sum(map(len, theirs))
    assert products[0] < 2 * (n * n + m * m + n * m)
