"""The published SyncNet and its sound features: key names, shapes and golden values."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from golden import DATA, fill, rand, randn

from vivant.core.errors import WeightsError
from vivant.perception.mfcc import mfcc, mfcc_blocks
from vivant.perception.syncnet import SyncNet, load_syncnet

GOLDEN = json.loads((DATA / "syncnet.golden.json").read_text())
MFCC = json.loads((DATA / "mfcc.golden.json").read_text())


@pytest.fixture(scope="module")
def net():
    with torch.device("meta"):
        empty = SyncNet()
    return fill(empty.to_empty(device="cpu"))


def published_state(net):
    """As the published file has it: written before torch counted the batches of a norm."""
    return {key: value for key, value in net.state_dict().items() if not key.endswith("num_batches_tracked")}


def test_keys_and_shapes_equal_the_published_file(net):
    assert {key: list(value.shape) for key, value in published_state(net).items()} == GOLDEN["shapes"]


@pytest.mark.parametrize("name", ["video", "sound"])
def test_golden_values(net, name):
    inputs = {"video": 255 * rand(101, 2, 3, 5, 224, 224), "sound": 10 * randn(102, 2, 1, 13, 20)}[name]
    with torch.inference_mode():
        found = getattr(net, f"embed_{name}")(inputs).double()
    want = GOLDEN["golden"][name]
    assert list(found.shape) == want["shape"]
    picked = found.flatten()[want["flat_index"]]
    assert (picked - torch.tensor(want["value"], dtype=torch.float64)).abs().max() < 1e-4 * want["abs_max"]
    assert abs(found.mean().item() - want["mean"]) < 1e-4 * want["abs_max"]
    assert abs(found.std(correction=0).item() - want["std"]) < 1e-4 * want["abs_max"]


def test_the_published_file_loads_strictly(net, tmp_path):
    state = published_state(net)
    torch.save(state, tmp_path / "syncnet_v2.model", _use_new_zipfile_serialization=False)
    loaded, info = load_syncnet(tmp_path / "syncnet_v2.model")
    assert all(torch.equal(loaded.state_dict()[key], value) for key, value in state.items())
    assert not loaded.training and len(info.files) == 1
    del state["netfclip.3.bias"]
    torch.save(state, tmp_path / "short.model")
    with pytest.raises(WeightsError, match=r"1 missing \(netfclip\.3\.bias\)"):
        load_syncnet(tmp_path / "short.model")
    torch.save(net, tmp_path / "whole.model")
    with pytest.raises(WeightsError, match="could run anything"):
        load_syncnet(tmp_path / "whole.model")


def test_mfcc_equals_python_speech_features():
    t = np.arange(2000) / 16000
    noise = np.random.default_rng(5).standard_normal(2000)
    samples = 0.4 * np.sin(2 * np.pi * 300 * t * (1 + t * 3)) + 0.05 * noise
    found = mfcc(samples)
    assert list(found.shape) == MFCC["shape"]
    assert np.abs(found[MFCC["rows"]] - np.array(MFCC["mfcc"])).max() < 1e-5
    for parts in (3, 50):
        assert np.array_equal(np.concatenate(list(mfcc_blocks(np.array_split(samples, parts)))), found)


@pytest.mark.parametrize(("samples", "steps"), [(0, 1), (1, 1), (400, 1), (401, 2), (560, 2), (561, 3)])
def test_mfcc_fills_the_last_window(samples, steps):
    assert mfcc(np.zeros(samples)).shape == (steps, 13)
    assert np.isfinite(mfcc(np.zeros(samples))).all()
