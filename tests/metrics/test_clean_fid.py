"""Frechet and kernel distances against the package clean-fid itself, where it is installed.

``pip install --no-deps clean-fid`` is enough: its nets want torchvision, which nothing here asks them for, so names
that its modules look up when they are imported are stood in for if torchvision is missing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.util import find_spec
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from torch import nn

from vivant.metrics.frechet import frechet_distance, kernel_distance


@pytest.fixture(scope="module")
def theirs() -> Iterator[Any]:
    """clean-fid's module ``fid``."""
    pytest.importorskip("cleanfid", reason="optional: pip install --no-deps clean-fid")
    with pytest.MonkeyPatch.context() as patch:
        if find_spec("torchvision") is None:
            blocks = {f"Inception{letter}": nn.Module for letter in "ABCDE"}
            stand_in: Any = ModuleType("torchvision")
            stand_in.models = SimpleNamespace(inception=SimpleNamespace(**blocks))
            patch.setitem(sys.modules, "torchvision", stand_in)
        yield pytest.importorskip("cleanfid.fid")


def features(seed: int, count: int, width: int, shift: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, width)) @ rng.normal(size=(width, width)) / np.sqrt(width) + shift


@pytest.mark.parametrize(
    ("count", "other", "width", "within"), [(300, 250, 64, 1e-9), (600, 600, 320, 1e-9), (60, 80, 128, 1e-5)]
)
def test_frechet_distance_is_theirs(theirs: Any, count: int, other: int, width: int, within: float) -> None:
    """The last case has fewer vectors than numbers: their square root of a singular product is the looser one."""
    a, b = features(0, count, width), features(1, other, width, 0.3)
    moments = [moment for x in (a, b) for moment in (x.mean(0), np.cov(x, rowvar=False))]
    assert frechet_distance(a, b) == pytest.approx(float(theirs.frechet_distance(*moments)), rel=within)


def test_kernel_distance_is_theirs(theirs: Any) -> None:
    """Sets no larger than a subset: every draw of theirs is the whole set, so nothing is left to chance."""
    a, b = features(2, 200, 64), features(3, 200, 64, 0.2)
    assert kernel_distance(a, b) == pytest.approx(theirs.kernel_distance(a, b, num_subsets=2), rel=1e-9)
