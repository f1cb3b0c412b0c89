"""Sync scores inside an evaluation: the published net's own numbers, under its names, or a sentence why not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from clips import tone, write

from vivant.core.errors import ConfigError
from vivant.media.video import open_clip
from vivant.metrics.measure import make_plan, measure
from vivant.metrics.nets.published import Store
from vivant.metrics.probes.base import Lab
from vivant.metrics.subject import Subject
from vivant.metrics.sync_scorer import sync_scorer
from vivant.metrics.view import View
from vivant.perception.syncnet import SyncNet

NAMES = ["sync-c", "sync-d", "av-offset"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    torch.save(SyncNet().state_dict(), folder / "syncnet_v2.model")
    return Store(folder)


def test_the_probe_gives_the_scorers_numbers(store: Store, speaker: list[np.ndarray], tmp_path: Path) -> None:
    path = write(tmp_path / "talk.mp4", speaker[:12], audio=tone(0.48))
    plan = make_plan(NAMES, View(), Lab(store=store))
    found = measure(Subject("talk", path, path), plan).findings
    want = sync_scorer("published", store.find("syncnet")).score(open_clip(path))
    for values in (found.values, found.truth):
        assert values["sync-c"] == pytest.approx(want.confidence, abs=1e-5)
        assert values["sync-d"] == pytest.approx(want.distance, abs=1e-5)
        assert values["av-offset"] == want.offset


def test_what_cannot_be_scored_is_told(store: Store, speaker: list[np.ndarray], tmp_path: Path) -> None:
    silent = write(tmp_path / "silent.mp4", speaker[:8])
    talk = write(tmp_path / "talk.mp4", speaker[:8], audio=tone(0.32))
    plan = make_plan(NAMES, View(), Lab(store=store))
    assert "no sound" in measure(Subject("a", silent), plan).findings.missing["sync-c"]
    fed = measure(Subject("a", silent, sound=talk), plan).findings
    assert np.isfinite(fed.values["sync-c"]) and not fed.missing
    strided = make_plan(NAMES, View(stride=2), Lab(store=store))
    assert "stride" in measure(Subject("a", talk), strided).findings.missing["sync-d"]
    with pytest.raises(ConfigError, match="put syncnet_v2"):
        make_plan(NAMES, View(), Lab(store=Store(tmp_path)))
