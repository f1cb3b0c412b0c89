from __future__ import annotations

import numpy as np
import pytest

from vivant.metrics.statistics import (
    bootstrap,
    correlation,
    correlation_of,
    gain,
    gain_of,
    mean_of,
    moment_rows,
    moments,
    pool,
)

TIME = np.linspace(0, 12, 80)
DRIVER = np.sin(TIME) + 0.2 * np.sin(5 * TIME)


def test_half_amplitude_has_gain_a_half_and_full_correlation() -> None:
    assert gain(DRIVER, 0.5 * DRIVER + 3) == pytest.approx(0.5)
    assert correlation(DRIVER, 0.5 * DRIVER + 3) == pytest.approx(1)


def test_shift_lowers_correlation() -> None:
    values = [correlation(DRIVER, np.roll(DRIVER, frames)) for frames in (0, 3, 8)]
    assert values[0] == pytest.approx(1)
    assert values[0] > values[1] > values[2]


def test_agrees_with_numpy() -> None:
    rng = np.random.default_rng(1)
    other = DRIVER + rng.normal(size=len(DRIVER))
    assert correlation(DRIVER, other) == pytest.approx(np.corrcoef(DRIVER, other)[0, 1])
    assert gain(DRIVER, other) == pytest.approx(np.polyfit(DRIVER, other, 1)[0])


def test_order_of_frames_does_not_matter() -> None:
    order = np.random.default_rng(2).permutation(len(DRIVER))
    other = np.cos(TIME) + DRIVER
    assert correlation(DRIVER[order], other[order]) == pytest.approx(correlation(DRIVER, other))


def test_constant_series_are_undefined() -> None:
    assert np.isnan(correlation(DRIVER, np.ones_like(DRIVER)))
    assert gain(DRIVER, np.ones_like(DRIVER)) == pytest.approx(0)
    assert np.isnan(gain(np.ones_like(DRIVER), DRIVER))


def test_frames_without_a_face_are_left_out() -> None:
    holes = DRIVER.copy()
    holes[::7] = np.nan
    found = moments(DRIVER, 2 * holes)
    assert found.count == np.isfinite(holes).sum()
    assert found.gain == pytest.approx(2)


def test_pooling_ignores_offsets_between_clips() -> None:
    parts = [moments(DRIVER + offset, 0.5 * DRIVER - 9 * offset) for offset in (0, 5, 20)]
    assert pool(parts).correlation == pytest.approx(1)
    assert pool(parts).gain == pytest.approx(0.5)
    rows = moment_rows(parts)
    assert float(correlation_of(rows)) == pytest.approx(pool(parts).correlation)
    assert float(gain_of(rows)) == pytest.approx(pool(parts).gain)


def test_bootstrap_of_a_mean_covers_it_and_ignores_order() -> None:
    values = np.random.default_rng(3).normal(10, 2, (60, 1))
    found = bootstrap(values, mean_of)
    standard_error = values.std() / np.sqrt(60)
    assert found.value == pytest.approx(values.mean())
    assert found.high - found.low == pytest.approx(2 * 1.96 * standard_error, rel=0.15)
    assert found.low < found.value < found.high
    assert bootstrap(values[::-1], mean_of).value == pytest.approx(found.value)
    assert bootstrap(values, mean_of) == found


def test_bootstrap_of_few_clips() -> None:
    assert np.isnan(bootstrap(np.empty((0, 1)), mean_of).value)
    one = bootstrap(np.array([[2.0]]), mean_of)
    assert one.value == 2 and np.isnan(one.low) and one.clips == 1
    gaps = bootstrap(np.array([[1.0], [np.nan], [3.0]]), mean_of)
    assert gaps.value == 2
