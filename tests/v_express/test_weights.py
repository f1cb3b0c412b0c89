"""Checkpoints in the layout of the released files, with tiny nets: strict loading, old names, a start from others."""

from __future__ import annotations

import pytest
import torch

from vivant.core.errors import ConfigError, WeightsError
from vivant.methods.v_express.config import PRESETS
from vivant.methods.v_express.model import build_modules
from vivant.methods.v_express.weights import convert, from_animate_anyone, load_modules, our_names, save_modules
from vivant.weights.assets import asset


@pytest.fixture(scope="module")
def modules():
    torch.manual_seed(3)
    return build_modules(PRESETS["tiny"])


def written(modules, folder, change=lambda name, state: state):
    """The released files of ``modules``: motion modules wrong in the first file, right in their own."""
    folder.mkdir(exist_ok=True)
    states = {name: dict(module.state_dict()) for name, module in modules.items() if name != "codec"}
    whole = states["denoising_unet"]
    states["motion_module"] = {key: value for key, value in whole.items() if "motion_modules" in key}
    states["denoising_unet"] = {k: torch.zeros_like(v) if "motion_modules" in k else v for k, v in whole.items()}
    for name, state in states.items():
        torch.save(change(name, state), folder / f"{name}.bin")
    return folder


def test_released_files_load_and_the_motion_file_wins(modules, tmp_path):
    found, _, info = load_modules("tiny", written(modules, tmp_path / "files"))
    assert len(info.files) == 5
    for name in ("denoising_unet", "reference_net", "v_kps_guider", "audio_projection"):
        for key, value in modules[name].state_dict().items():
            assert torch.equal(value, found[name].state_dict()[key]), f"{name}.{key}"


def test_missing_and_unexpected_keys_are_named(modules, tmp_path):
    def change(name, state):
        if name == "reference_net":
            state = {key: value for key, value in state.items() if key != "conv_in.weight"} | {"extra": torch.ones(1)}
        return state

    with pytest.raises(
        WeightsError, match=r"reference_net\.bin.*1 missing \(conv_in\.weight\).*1 unexpected \(extra\)"
    ):
        load_modules("tiny", written(modules, tmp_path / "files", change))


def test_a_motion_file_that_does_not_fit_is_refused(modules, tmp_path):
    def change(name, state):
        if name == "motion_module":
            state = {key: value[..., :-1] if key.endswith("pos_encoder.pe") else value for key, value in state.items()}
        return state

    with pytest.raises(WeightsError, match=r"motion_module\.bin .*of wrong shape .*pos_encoder\.pe"):
        load_modules("tiny", written(modules, tmp_path / "files", change))


def test_a_motion_file_that_lacks_keys_is_refused_though_the_other_file_has_them(modules, tmp_path):
    def change(name, state):
        return dict(list(state.items())[1:]) if name == "motion_module" else state

    with pytest.raises(WeightsError, match=r"motion_module\.bin .*: 1 missing \(.*motion_modules"):
        load_modules("tiny", written(modules, tmp_path / "files", change))


def test_a_missing_file_is_named(modules, tmp_path):
    folder = written(modules, tmp_path / "files")
    (folder / "v_kps_guider.bin").unlink()
    with pytest.raises(WeightsError, match=r"no v_kps_guider\.bin"):
        load_modules("tiny", folder)


def test_names_of_older_checkpoints(modules):
    state = modules["denoising_unet"].state_dict()
    old = {
        key.replace("attn2.to_q.", "attn2.processor.to_q_aud.")
        .replace("attn2.to_k.", "attn2.processor.to_k_aud.")
        .replace("attn2.to_v.", "attn2.processor.to_v_aud.")
        .replace("attn2.to_out.0.", "attn2.processor.to_out_aud."): value
        for key, value in state.items()
    }
    assert set(old) != set(state) and set(our_names(old)) == set(state)


def test_a_start_from_animate_anyone(modules):
    """Reference attention begins as a copy of self-attention, and speech adds nothing yet."""
    state = modules["denoising_unet"].state_dict()
    theirs = {key: value for key, value in state.items() if "1_5" not in key}
    ours = from_animate_anyone(theirs)
    assert set(ours) == set(state)
    block = next(key for key in ours if key.endswith("attn1_5.to_q.weight"))
    assert torch.equal(ours[block], ours[block.replace("attn1_5", "attn1")])
    assert all(not value.any() for key, value in ours.items() if ".attn2.to_out.0." in key)


def test_one_file_of_a_released_folder(modules, tmp_path, monkeypatch):
    monkeypatch.setitem(PRESETS, "released", PRESETS["tiny"])
    out = convert(written(modules, tmp_path / "files"), tmp_path / "one.safetensors")
    found, _, info = load_modules("released", out)
    assert info.name == "released"
    key = "conv_in.weight"
    assert torch.equal(found["denoising_unet"].state_dict()[key], modules["denoising_unet"].state_dict()[key])


def test_weights_of_another_method_are_refused(modules, tmp_path):
    with pytest.raises(WeightsError, match="made for the preset 'lite' of the method 'megactor-sigma'"):
        load_modules("lite", asset("megactor_sigma/lite.safetensors"))
    part = {"denoising_unet": modules["denoising_unet"]}
    path = save_modules(part, tmp_path / "part.safetensors")
    with pytest.raises(WeightsError, match="missing"):
        load_modules("tiny", path)
    with pytest.raises(ConfigError, match="no preset 'huge'"):
        load_modules("huge")
