"""Windows around a driver's face."""

from __future__ import annotations

import numpy as np

from vivant.core.face import Face
from vivant.methods.live_portrait.config import PRESETS
from vivant.pipelines.crops import SteadyWindow


def face(x: float, size: float) -> Face:
    """A face of ``size`` pixels around (x, 200), its landmarks drawn by lot but always alike."""
    flat = np.random.default_rng(0).uniform(-0.5, 0.5, (478, 3)).astype(np.float32)
    points = flat * size + np.array([x, 200, 0], np.float32)
    return Face(points, np.array([x - size / 2, 200 - size / 2, x + size / 2, 200 + size / 2], np.float32), 1.0)


def test_a_window_is_steadied_but_jumps_with_its_face() -> None:
    view = PRESETS["lite"].driving_crop
    steady = SteadyWindow(view, 25.0)
    first, near, far = (steady(face(x, 100)) for x in (200.0, 204.0, 700.0))
    assert 0 < near.centre[0] - first.centre[0] < 3.9, "small moves are smoothed"
    np.testing.assert_allclose(far.centre[0] - first.centre[0], 500, atol=0.01)
    np.testing.assert_allclose(steady(face(700.0, 160)).side, SteadyWindow(view, 25.0)(face(0.0, 160)).side, rtol=1e-5)
