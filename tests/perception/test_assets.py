import hashlib
import json

import pytest

from vivant.core.errors import WeightsError
from vivant.weights.assets import ROOT, asset, assets_info, checked_asset


def folder_with(tmp_path, content: bytes, sha256: str):
    (tmp_path / "net.bin").write_bytes(content)
    row = {"file": "net.bin", "sha256": sha256, "licence": "CC0-1.0", "source": "here", "what": "a test"}
    (tmp_path / "manifest.json").write_text(json.dumps([row]))
    return tmp_path


def test_an_intact_file_is_handed_out(tmp_path):
    root = folder_with(tmp_path, b"weights", hashlib.sha256(b"weights").hexdigest())
    assert checked_asset("net.bin", root).read_bytes() == b"weights"


def test_a_changed_file_is_refused(tmp_path):
    root = folder_with(tmp_path, b"tampered", hashlib.sha256(b"weights").hexdigest())
    with pytest.raises(WeightsError, match="damaged"):
        checked_asset("net.bin", root)


def test_a_missing_file_is_refused(tmp_path):
    root = folder_with(tmp_path, b"x", "0")
    (root / "net.bin").unlink()
    with pytest.raises(WeightsError, match="cannot be read"):
        checked_asset("net.bin", root)


def test_a_missing_or_broken_manifest_is_refused(tmp_path):
    with pytest.raises(WeightsError, match="reinstall"):
        checked_asset("net.bin", tmp_path)
    (tmp_path / "manifest.json").write_text('[{"file": 3}')
    with pytest.raises(WeightsError, match="reinstall"):
        assets_info(tmp_path)


def test_unknown_names_and_paths_outside_are_refused():
    for name in ("perception/nothing.bin", "../core/face.py"):
        with pytest.raises(WeightsError, match="no bundled file"):
            asset(name)


def test_every_perception_file_is_listed_with_licence_and_true_hash():
    rows = assets_info()
    files = {path.relative_to(ROOT).as_posix() for path in (ROOT / "perception").iterdir()}
    assert files == {name for name in rows if name.startswith("perception/")}
    for name in files:
        assert asset(name) == ROOT / name
        assert rows[name].licence in {"Apache-2.0", "CC0-1.0"} and rows[name].source and rows[name].what


def test_the_notice_names_every_perception_file_with_its_hash():
    notice = (ROOT.parents[2] / "NOTICE").read_text(encoding="utf-8")
    for name, info in assets_info().items():
        if name.startswith("perception/"):
            assert name in notice and info.sha256 in notice
