"""Presets, the released layouts, one-file weights and their reports, at small sizes."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

import vivant.weights.modules as modules_io
from vivant.core.errors import ConfigError, WeightsError
from vivant.methods.live_portrait import weights
from vivant.methods.live_portrait.config import PRESETS
from vivant.methods.live_portrait.weights import convert, describe, load_modules, save_modules
from vivant.weights.loading import read_metadata


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """The released preset at toy size, so that its files are small."""
    monkeypatch.setitem(PRESETS, "released", PRESETS["tiny-published"])


def random_modules(seed=3):
    modules = load_modules("tiny-published", seed=seed)[0]
    with torch.no_grad():
        for parameter in modules["stitching_retargeting_module"].parameters():
            parameter.normal_()
    return modules


def write_released(folder, modules):
    """Files as published: four bare state dictionaries and one nested one with prefixes."""
    for name, file in weights.FILES.items():
        path = folder / f"{file}.pth"
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.startswith("stitching"):
            parts = modules[name].items()
            torch.save({k: {f"module.{n}": v for n, v in m.state_dict().items()} for k, m in parts}, path)
        else:
            torch.save(modules[name].state_dict(), path)
    return folder


def write_flat(folder, modules):
    """Files as in the safetensors copy: one folder, flat keys."""
    for name, module in modules.items():
        state = {k.replace(".mlp", "_module.mlp"): v.clone() for k, v in module.state_dict().items()}
        save_file(state if name.startswith("stitching") else dict(module.state_dict()), folder / f"{name}.safetensors")
    return folder


def assert_same(ours, theirs):
    for name, module in theirs.items():
        found = ours[name].state_dict()
        assert all(torch.equal(found[key], value) for key, value in module.state_dict().items()), name


@pytest.mark.parametrize("inside", ["", "liveportrait"])
def test_released_folder(tmp_path, inside):
    modules = random_modules()
    write_released(tmp_path, modules)
    ours, config, info = load_modules("released", tmp_path / inside)
    assert_same(ours, modules)
    assert config is PRESETS["released"] and len(info.files) == 5 and "MIT" in info.licence
    assert not any(module.training for module in ours.values())


def test_safetensors_copy_and_convert(tmp_path):
    modules = random_modules()
    out = convert(write_flat(tmp_path, modules), tmp_path / "one" / "released.safetensors")
    ours, _, info = load_modules("released", out)
    assert_same(ours, modules)
    assert info.name == "released" and info.licence == weights.LICENCE and info.source == weights.HUB
    assert [len(value) for value in info.files.values()] == [64]


def test_released_from_the_hub(tmp_path, monkeypatch):
    modules = random_modules()
    write_released(tmp_path, modules)
    asked = []

    def hub_file(repo, filename, revision=None):
        asked.append((repo, filename))
        return tmp_path / filename

    monkeypatch.setattr(weights, "hub_file", hub_file)
    assert_same(load_modules("released")[0], modules)
    assert ("KwaiVGI/LivePortrait", "liveportrait/base_models/spade_generator.pth") in asked


def test_incomplete_folder_and_wrong_model(tmp_path):
    write_released(tmp_path, random_modules())
    swapped = tmp_path / "liveportrait/base_models"
    (swapped / "motion_extractor.pth").write_bytes((swapped / "warping_module.pth").read_bytes())
    with pytest.raises(WeightsError, match=r"another model or preset: \d+ missing \(detector"):
        load_modules("released", tmp_path)
    (swapped / "motion_extractor.pth").unlink()
    with pytest.raises(WeightsError, match=r"has no motion_extractor\.pth"):
        load_modules("released", tmp_path)
    with pytest.raises(WeightsError, match="is a folder"):
        load_modules("tiny", tmp_path)


def test_one_file_half_precision_and_metadata(tmp_path):
    modules, config, _ = load_modules("tiny", seed=1)
    path = save_modules(modules, tmp_path / "x.safetensors", describe("tiny", config, licence="CC0-1.0"), half=True)
    assert read_metadata(path)["method"] == "live-portrait"
    ours, _, info = load_modules("tiny", path)
    assert info.licence == "CC0-1.0"
    for name, module in modules.items():
        for key, value in module.state_dict().items():
            found = ours[name].state_dict()[key]
            assert found.dtype == value.dtype and torch.allclose(found, value, rtol=1e-3, atol=1e-6)
    assert not list(tmp_path.glob("*.part"))


def test_weights_of_another_preset_name_it(tmp_path):
    modules, config, _ = load_modules("tiny-published", seed=1)
    path = save_modules(modules, tmp_path / "x.safetensors", describe("tiny-published", config))
    with pytest.raises(WeightsError, match="made for the preset 'tiny-published'"):
        load_modules("tiny", path)


def test_seed_decides_random_weights():
    one, two, other = (load_modules("tiny", seed=seed)[0]["spade_generator"].state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert any(not torch.equal(one[key], other[key]) for key in one)
    assert load_modules("tiny", seed=1)[2].files == {}


def test_unknown_preset_and_unwritable_place(tmp_path):
    with pytest.raises(ConfigError, match="no preset 'huge'"):
        load_modules("huge")
    (tmp_path / "file").write_text("x")
    with pytest.raises(WeightsError, match="cannot be written"):
        save_modules(load_modules("tiny", seed=0)[0], tmp_path / "file" / "x.safetensors")


def test_bundled_weights_come_from_the_asset(tmp_path, monkeypatch):
    modules, config, _ = load_modules("tiny", seed=5)
    path = save_modules(modules, tmp_path / "tiny.safetensors", describe("tiny", config))
    row = type("Row", (), {"licence": "Apache-2.0", "source": "trained by the authors"})
    monkeypatch.setattr(weights, "BUNDLED", {"tiny": "live_portrait/tiny.safetensors"})
    monkeypatch.setattr(modules_io, "asset", {"live_portrait/tiny.safetensors": path}.__getitem__)
    monkeypatch.setattr(modules_io, "assets_info", lambda: {"live_portrait/tiny.safetensors": row})
    ours, _, info = load_modules("tiny")
    assert_same(ours, modules)
    assert (info.name, info.licence, info.source) == ("tiny", "Apache-2.0", "trained by the authors")
    assert json.dumps(info.files)
