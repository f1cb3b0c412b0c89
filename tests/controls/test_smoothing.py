"""Kalman smoother against golden values and its definition, One-Euro filter, opening ratios."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from vivant.controls.ratios import eye_ratios, lip_ratio
from vivant.controls.smoothing import OneEuroFilter, kalman_smooth
from vivant.core.errors import ConfigError, FaceError
from vivant.nn.smoothing import KalmanFilter

GOLDEN = json.loads((Path(__file__).parents[1] / "golden/data/live_portrait.golden.json").read_text())
GEOMETRY = GOLDEN["golden_geometry"]


def test_kalman_golden():
    golden = GEOMETRY["kalman_smoother"]
    noise = 0.01 * torch.randn(12, 1, 2, 3, generator=torch.Generator().manual_seed(206))
    found = kalman_smooth(noise.numpy(), golden["observation_variance"], golden["process_variance"])
    for frame, key in ((0, "first_frame"), (5, "sixth_frame"), (11, "last_frame")):
        np.testing.assert_allclose(found[frame, 0], golden[key], atol=1e-8)


def test_kalman_equals_the_least_squares_path():
    """The mean path minimises sum (x - y)^2 / v + sum (step)^2 / q, its start bound to the first value."""
    seen, v, q = np.random.default_rng(0).normal(size=7), 2.0, 0.5
    system = np.eye(7) / v
    system[0, 0] += 1.0  # the start's own variance of 1
    for i in range(6):
        system[i : i + 2, i : i + 2] += np.array([[1, -1], [-1, 1]]) / q
    aim = seen / v
    aim[0] += seen[0]
    np.testing.assert_allclose(kalman_smooth(seen, v, q), np.linalg.solve(system, aim), atol=1e-12)


def test_kalman_off_empty_and_single():
    values = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    np.testing.assert_array_equal(kalman_smooth(values, 0.0), values)
    assert kalman_smooth(values[:0], 1.0).shape == (0, 2)
    np.testing.assert_array_equal(kalman_smooth(values[:1], 1.0), values[:1])
    assert kalman_smooth(values, 1.0).dtype == np.float32


def test_the_kalman_filter_is_the_forward_half_however_frames_are_grouped():
    values = np.random.default_rng(4).normal(0, 0.01, (12, 2, 3))
    whole = KalmanFilter(3e-5)(values)
    pieces = KalmanFilter(3e-5)
    assert np.array_equal(np.concatenate([pieces(values[:1]), pieces(values[1:6]), pieces(values[6:])]), whole)
    # the last frame of the smoother knows no future, so both agree there
    assert np.allclose(whole[-1], kalman_smooth(values, 3e-5)[-1], atol=1e-12)
    assert np.array_equal(KalmanFilter(0.0)(values), values)


def test_one_euro_calms_noise_and_follows_motion():
    random = np.random.default_rng(1)
    still, calm = random.normal(0, 0.01, (200, 3)), OneEuroFilter(30, min_cutoff=1.0, beta=0.3)
    smooth = np.array([calm(value) for value in still])
    assert smooth[50:].std() < 0.5 * still[50:].std()
    moving = np.linspace(0, 20, 61)
    lazy, eager = OneEuroFilter(30, 1.0, 0.0), OneEuroFilter(30, 1.0, 1.0)
    lag = {name: abs(moving[-1] - [f(v) for v in moving][-1]) for name, f in (("lazy", lazy), ("eager", eager))}
    assert lag["eager"] < 0.3 * lag["lazy"]


def test_one_euro_is_causal_and_resets():
    first, second = OneEuroFilter(30), OneEuroFilter(30)
    assert [first(x) for x in (0.0, 1.0, 5.0)][:2] == [second(x) for x in (0.0, 1.0, -9.0)][:2]
    first.reset()
    assert first(7.0) == 7.0
    with pytest.raises(ConfigError, match="positive"):
        OneEuroFilter(0)


def test_ratios_golden():
    points = (torch.rand(203, 2, generator=torch.Generator().manual_seed(201)) * 200 + 100).numpy()
    golden = GEOMETRY["ratios_203_points"]
    np.testing.assert_allclose(eye_ratios(points), golden["eyes_left_right"][0], rtol=1e-5)
    assert lip_ratio(points) == pytest.approx(golden["lip"][0][0], rel=1e-5)


def test_ratios_of_the_mesh():
    points = np.zeros((478, 3), np.float32)
    points[[33, 133, 159, 145], :2] = (0, 0), (40, 0), (20, -5), (20, 5)
    points[[362, 263, 386, 374], :2] = (60, 0), (100, 0), (80, -2), (80, 2)
    points[[61, 291, 13, 14], :2] = (30, 60), (70, 60), (50, 56), (50, 64)
    np.testing.assert_allclose(eye_ratios(points), [0.25, 0.1], rtol=1e-5)
    assert lip_ratio(points * 3 + 7) == pytest.approx(0.2, rel=1e-5)
    with pytest.raises(FaceError, match="478 or 203"):
        lip_ratio(points[:68])
