"""Every way a weights file can be wrong gets one clear sentence, and none of its code runs."""

from __future__ import annotations

import os
import pickle

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from vivant.core.errors import WeightsError
from vivant.weights.loading import load_state, load_strict, read_metadata, sha256

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2)}


class Trap:
    """A pickle that would create a file while being read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_safetensors_and_torch_files_read_alike(tmp_path):
    save_file(STATE, tmp_path / "x.safetensors", {"preset": "tiny"})
    torch.save(STATE, tmp_path / "x.pth")
    torch.save({"state": {"a": {"weight": STATE["a.weight"]}}, "step": 3}, tmp_path / "nested.bin")
    for name in ("x.safetensors", "x.pth"):
        assert {key: value.tolist() for key, value in load_state(tmp_path / name).items()} == {
            key: value.tolist() for key, value in STATE.items()
        }
    assert list(load_state(tmp_path / "nested.bin")) == ["state.a.weight"]
    assert read_metadata(tmp_path / "x.safetensors") == {"preset": "tiny"}
    assert read_metadata(tmp_path / "x.pth") == {}


def test_content_decides_not_the_name(tmp_path):
    save_file(STATE, tmp_path / "x.pth")
    assert list(load_state(tmp_path / "x.pth")) == sorted(STATE)


@pytest.mark.parametrize("legacy", [False, True])
def test_pickle_with_code_is_refused_and_does_not_run(tmp_path, legacy):
    file, proof = tmp_path / "evil.pth", tmp_path / "proof"
    if legacy:
        file.write_bytes(pickle.dumps({"a": Trap(proof)}, protocol=2))
    else:
        torch.save({"a": Trap(proof)}, file)
    with pytest.raises(WeightsError, match="Python code or objects"):
        load_state(file)
    assert not proof.exists()


@pytest.mark.parametrize("name", ["x.safetensors", "x.pth"])
@pytest.mark.parametrize("keep", [0.3, 0.9])
def test_truncated(tmp_path, name, keep):
    state = {"a": torch.zeros(1000)}
    save_file(state, tmp_path / name) if name.endswith("safetensors") else torch.save(state, tmp_path / name)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(WeightsError, match="truncated or damaged"):
        load_state(tmp_path / name)


@pytest.mark.parametrize(
    "content, sentence",
    [
        (b"", "is empty"),
        (b"\n<!DOCTYPE html><html><body>404</body></html>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "Git LFS pointer"),
        (b"\x89PNG\r\n\x1a\n" + bytes(64), "is not a weights file"),
        (b"PK\x03\x04" + bytes(64), "truncated or damaged"),
        (b"\x80\x02not a pickle", "truncated or damaged|Python code"),
        (b"hello", "is not a weights file"),
    ],
)
def test_other_files(tmp_path, content, sentence):
    (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(WeightsError, match=sentence):
        load_state(tmp_path / "x.pth")


def test_folder_missing_file_and_no_tensors(tmp_path):
    with pytest.raises(WeightsError, match="is a folder"):
        load_state(tmp_path)
    with pytest.raises(WeightsError, match="There is no weights file"):
        load_state(tmp_path / "none.pth")
    torch.save({"step": 3}, tmp_path / "numbers.pth")
    with pytest.raises(WeightsError, match="holds no tensors"):
        load_state(tmp_path / "numbers.pth")
    with pytest.raises(WeightsError, match="cannot be read"):
        sha256(tmp_path / "none.pth")


def test_strict_load_names_all_three_kinds_and_changes_nothing():
    module = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    before = {key: value.clone() for key, value in module.state_dict().items()}
    state = {
        "0.weight": torch.zeros(2, 4),
        "0.bias": torch.zeros(2),
        "1.weight": torch.zeros(2, 2),
        "x": torch.zeros(1),
    }
    with pytest.raises(WeightsError) as caught:
        load_strict(module, state, "file.pth")
    text = str(caught.value)
    assert "1 missing (1.bias)" in text and "1 unexpected (x)" in text and "\n" not in text
    assert "0.weight is (2, 4) instead of (2, 3)" in text and "file.pth" in text
    assert all(torch.equal(before[key], value) for key, value in module.state_dict().items())


def test_strict_load_widens_half_precision():
    module = nn.Linear(3, 2)
    load_strict(module, {"weight": torch.ones(2, 3).half(), "bias": torch.ones(2).half()}, "x")
    assert module.weight.dtype == torch.float32 and module.weight.sum() == 6
