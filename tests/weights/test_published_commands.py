"""``vivant download`` and ``vivant convert`` against a hub on this machine, and the licence gate."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from fake_hub import FakeHub, read_all, serve
from safetensors.torch import load_file

from vivant.apps.cli import main
from vivant.core.errors import WeightsError
from vivant.core.registry import get_method
from vivant.methods.animate_anyone import weights as animate_anyone
from vivant.methods.diffused_heads.config import Config
from vivant.methods.live_portrait import weights as live_portrait
from vivant.metrics.nets.published import Store
from vivant.perception.syncnet import load_syncnet
from vivant.pipelines.load import load
from vivant.weights.cards import read_card
from vivant.weights.catalogue import COMMERCIAL_ONLY, allows_commerce, pass_gate
from vivant.weights.loading import read_metadata, sha256

SMALL_HEADS = Config(image_size=32, width=32, multipliers=(1, 1, 2), blocks=2, audio_width=256)


@pytest.fixture
def files() -> dict[str, bytes]:
    return {name: name.encode() * 9 for name in live_portrait.PUBLISHED["released"].files}


@pytest.fixture
def clean(monkeypatch):
    """The variables that --offline and --commercial-only set are gone afterwards."""
    for name in (COMMERCIAL_ONLY, "HF_HUB_OFFLINE"):
        monkeypatch.setenv(name, "0")


@pytest.fixture
def at_hub(monkeypatch, tmp_path, clean):
    """Let the client of this process ask another hub and keep another cache."""
    from huggingface_hub import constants

    def go(address: str) -> Path:
        monkeypatch.setenv("HF_ENDPOINT", address)
        monkeypatch.setattr(constants, "ENDPOINT", address)
        template = address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr("huggingface_hub.file_download.HUGGINGFACE_CO_URL_TEMPLATE", template, raising=False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        return tmp_path / "cache"

    return go


def cli(words: list[str], home: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """As a person runs it, with the hub's own variables."""
    environment = {**os.environ, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1", **more}
    command = [sys.executable, "-m", "vivant.apps.cli", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


def test_size_licence_and_hash_are_shown_first_then_fetched_once_then_offline(files, tmp_path):
    hub = FakeHub({live_portrait.HUB: files})
    with serve(hub) as address:
        asked = cli(["download", "live-portrait"], tmp_path, HF_ENDPOINT=address)
        assert asked.returncode == 2 and "say --yes" in asked.stderr and not hub.fetched
        for name, data in files.items():
            assert hashlib.sha256(data).hexdigest() in asked.stdout and name in asked.stdout
        assert "licence: MIT" in asked.stdout and "the hub's card says mit" in asked.stdout
        assert "5 files to download" in asked.stdout
        done = cli(["download", "live-portrait", "--yes"], tmp_path, HF_ENDPOINT=address)
        assert done.returncode == 0, done.stderr
        assert sorted(hub.fetched) == sorted(files) and "Traceback" not in done.stderr
    offline = cli(["download", "live-portrait", "--offline"], tmp_path, HF_ENDPOINT="http://127.0.0.1:9")
    assert offline.returncode == 0 and "0 files to download" in offline.stdout, offline.stderr
    assert all(hashlib.sha256(data).hexdigest() in offline.stdout for data in files.values())
    other = cli(["download", "sd-vae", "--offline"], tmp_path, HF_ENDPOINT="http://127.0.0.1:9")
    assert other.returncode == 2 and "not in the local cache" in other.stderr and "Traceback" not in other.stderr


def test_a_file_with_another_hash_is_refused(files, at_hub, capsys):
    with serve(FakeHub({live_portrait.HUB: files}, lie=True)) as address:
        at_hub(address)
        assert main(["download", "live-portrait", "--yes"]) == 2
    assert "the hub says" in capsys.readouterr().err


def test_what_is_not_there_is_one_sentence(files, at_hub, capsys):
    name, *_ = files
    with serve(FakeHub({live_portrait.HUB: {k: v for k, v in files.items() if k != name}})) as address:
        at_hub(address)
        assert main(["download", "live-portrait", "--yes"]) == 2
        assert f"The hub has no {live_portrait.HUB}/{name}" in capsys.readouterr().err
        assert main(["download", "syncnet", "--yes"]) == 2
        assert "The hub has no ByteDance/LatentSync" in capsys.readouterr().err
    assert main(["download", "no-such"]) == 2
    assert "no published weights 'no-such': use one of" in capsys.readouterr().err
    assert main(["download", "diffused-heads"]) == 2
    assert "download them by hand" in capsys.readouterr().err


def test_needs_come_along(at_hub, capsys):
    entry = animate_anyone.PUBLISHED["released"]
    stored = {animate_anyone.HUB: dict.fromkeys(entry.files, b"x")}
    from vivant.pipelines.published import catalogue

    for need in entry.needs:
        stored[catalogue()[need].repo] = dict.fromkeys(catalogue()[need].files, b"y")
    hub = FakeHub(stored)
    with serve(hub) as address:
        at_hub(address)
        assert main(["download", "animate-anyone", "--dry-run"]) == 0
        shown = capsys.readouterr().out
        assert "sd-vae:" in shown and "clip-image:" in shown and not hub.fetched
        assert main(["download", "animate-anyone", "--dry-run", "--alone"]) == 0
        assert "sd-vae:" not in capsys.readouterr().out


def test_the_gate_lets_only_commercial_licences_through(at_hub, capsys, files, monkeypatch):
    for text in ("MIT (as its authors state)", "Apache-2.0; trained on MIT and CC BY 4.0 data", "cc-by-4.0", "none"):
        assert allows_commerce(text) is True, text
    for text in ("CC-BY-NC-SA-4.0 (as they state)", "non-commercial research", "MIT, for research only"):
        assert allows_commerce(text) is False, text
    assert allows_commerce("unknown") is None
    with pytest.raises(WeightsError, match="does not say that commercial use is allowed"):
        pass_gate("x", "unknown", True)
    assert main(["download", "v-express", "--commercial-only"]) == 2
    assert "forbids commercial use" in capsys.readouterr().err
    monkeypatch.setenv(COMMERCIAL_ONLY, "0")
    hub = FakeHub({live_portrait.HUB: files}, licence="cc-by-nc-4.0")  # the card says less than we know
    with serve(hub) as address:
        at_hub(address)
        assert main(["download", "live-portrait", "--commercial-only", "--yes"]) == 2
    assert "cc-by-nc-4.0" in capsys.readouterr().err and not hub.fetched


def test_the_gate_holds_for_every_command(portrait_path, driver_path, clean, capsys, monkeypatch):
    words = ["animate", "-s", str(portrait_path), "-a", str(driver_path), "--method", "v-express"]
    assert main([*words, "--preset", "released", "--commercial-only"]) == 2
    assert "forbids commercial use" in capsys.readouterr().err
    monkeypatch.setenv(COMMERCIAL_ONLY, "1")
    assert load("live-portrait", preset="tiny", seed=0).preset == "tiny"  # random weights belong to nobody
    with pytest.raises(WeightsError, match="CC-BY-NC"):
        load("diffused-heads", preset="released")
    with pytest.raises(WeightsError, match=r"licence of syncnet .* does not say"):
        load_syncnet()
    with pytest.raises(WeightsError, match=r"licence of arcface .* forbids"):
        Store(None).find("arcface")


@pytest.mark.parametrize("method", ["live-portrait", "v-express", "animate-anyone", "diffused-heads"])
def test_published_files_become_one_safetensors_file(method, tmp_path, monkeypatch, capsys, clean):
    """Generated files in the published layout; every key in its place, hash and licence recorded."""
    weights = get_method(method).part("weights")
    small = {"live-portrait": "tiny-published"}.get(method, "tiny")
    config = weights.PRESETS[small] if method != "diffused-heads" else SMALL_HEADS
    monkeypatch.setitem(weights.PRESETS, "released", config)
    folder = tmp_path / "published"
    folder.mkdir()
    torch.manual_seed(1)
    modules = get_method(method).part("model").build_modules(config)
    write_published(method, weights, modules, folder)
    out = tmp_path / "made" / "one.safetensors"
    assert main(["convert", str(folder), "-o", str(out), "--method", method]) == 0, capsys.readouterr().err
    notes, card = read_metadata(out), read_card(out)
    assert notes["licence"] == weights.LICENCE == card.licence and card.sha256 == sha256(out)
    assert all(digest in notes["source_sha256"] for digest in map(sha256, published_files(folder)))
    stored = load_file(out)
    files = {"live-portrait": modules, "diffused-heads": ["unet"]}.get(method) or [p.stem for p in folder.iterdir()]
    for name in set(files) & set(modules):
        for key, value in modules[name].state_dict().items():
            assert torch.equal(stored[f"{name}.{key}"], value), f"{name}.{key}"
    again, _, _ = weights.load_modules("released", out)
    assert again and sorted(p.name for p in out.parent.iterdir()) == ["one.md", "one.safetensors"]
    assert out.stat().st_mode & 0o777 == out.with_suffix(".md").stat().st_mode & 0o777  # others may read it, too
    broken = published_files(folder)[0]
    broken.write_bytes(broken.read_bytes()[:100])
    assert main(["convert", str(folder), "-o", str(tmp_path / "bad" / "x.safetensors"), "--method", method]) == 2
    assert not list((tmp_path / "bad").glob("*")) and "Traceback" not in capsys.readouterr().err


def published_files(folder: Path) -> list[Path]:
    return [folder / name for name in read_all(folder)]


def write_published(method: str, weights, modules, folder: Path) -> None:
    if method == "live-portrait":
        for name, file in weights.FILES.items():
            path = folder / f"{file}.pth"
            path.parent.mkdir(parents=True, exist_ok=True)
            parts = modules[name].items() if name.startswith("stitching") else ()
            nested = {k: {f"module.{n}": v for n, v in m.state_dict().items()} for k, m in parts}
            torch.save(nested or modules[name].state_dict(), path)
        return
    if method == "diffused-heads":
        doubled = {f"{p}{k}": v for p in ("unet.", "diffusion.nn_backbone.") for k, v in
                   modules["unet"].state_dict().items()}  # fmt: skip
        torch.save({"state_dict": doubled}, folder / "crema.ckpt")
        return
    names = weights.FILES if method == "v-express" else weights.files_of(weights.PRESETS["released"])
    ending = "bin" if method == "v-express" else "pth"
    states = {name: dict(modules[name].state_dict()) for name in names if name in modules}
    whole = states["denoising_unet"]
    states["motion_module"] = {key: value for key, value in whole.items() if "motion_modules" in key}
    if method == "animate-anyone":
        states["denoising_unet"] = {key: value for key, value in whole.items() if "motion_modules" not in key}
    for name, state in states.items():
        torch.save(state, folder / f"{name}.{ending}")
