"""What every method in the registry promises, with its preset ``tiny``."""

from dataclasses import fields, is_dataclass, replace

import numpy as np
import pytest
import torch
from method_makers import HEARING, LEARNED, METHODS, NETS, crops, generate, loaded, made_controls, made_speech

from vivant.apps.cli import main
from vivant.core.errors import WeightsError
from vivant.core.speech import SPEECH_FEATURES


@pytest.mark.parametrize("name", METHODS)
def test_the_spec_tells_the_truth(name):
    spec = METHODS[name]
    config = spec.part("config")
    assert spec.name == name and spec.default_preset in spec.presets
    assert "tiny" in spec.presets and set(spec.presets) <= set(config.PRESETS)
    assert is_dataclass(config.Options)
    for item in (*fields(config.Options), *(fields(config.Sliders) if spec.capabilities.sliders else ())):
        assert item.name in ("sliders", "seed") or item.metadata.get("help"), item.name
    for part in ("model", "weights", "generate"):
        assert spec.part(part)
    assert name in LEARNED or not spec.capabilities.trainable, "without nets there is nothing to train"


@pytest.mark.parametrize("command", ["animate", "edit", "stream"])
@pytest.mark.parametrize("name", METHODS)
def test_options_stand_beside_those_of_the_commands(name, command, capsys):
    assert main([command, "--method", name, "--help"]) == 0
    assert f"options of {name}" in capsys.readouterr().out or command == "edit"


@pytest.mark.parametrize("name", LEARNED)
def test_tiny_builds_on_the_cpu_in_float32(name):
    parameters = [p for module in NETS[name].values() for p in module.parameters()]
    assert parameters and all(p.device.type == "cpu" and p.dtype == torch.float32 for p in parameters)
    assert sum(p.numel() for p in parameters) < 10_000_000


@pytest.mark.parametrize("name", METHODS)
def test_three_frames_the_same_for_the_same_seed(name, faces):
    spec = METHODS[name]
    side = spec.part("config").PRESETS["tiny"].output_size
    first = generate(spec, faces, seed=7)
    assert first.shape == (3, side, side, 3) and first.dtype == np.uint8
    assert (first == generate(spec, faces, seed=7)).all()
    if name in LEARNED:  # other random weights; without nets chance has a say only where a method declares it
        assert (first != generate(spec, faces, seed=8)).any()


@pytest.mark.parametrize("name", METHODS)
def test_the_inference_form_gives_the_same_frames_to_rounding(name, faces):
    plain, fast = (generate(METHODS[name], faces, 7, form).astype(int) for form in (False, True))
    assert np.abs(plain - fast).max() <= 1 and (plain != fast).mean() < 0.01


@pytest.mark.parametrize("name", HEARING)
def test_sound_is_heard(name, faces):
    spec = METHODS[name]
    config = spec.part("config").PRESETS["tiny"]
    assert config.speech_encoders and set(config.speech_encoders) <= set(SPEECH_FEATURES)
    _, drivers = crops(config, faces)
    controls = made_controls(spec, config, drivers)
    other = replace(controls, speech=made_speech(config, len(drivers), seed=1))
    assert (generate(spec, faces, 7, controls=controls) != generate(spec, faces, 7, controls=other)).any()


@pytest.mark.parametrize("name", sorted(set(METHODS) - set(LEARNED)))
def test_a_method_without_nets_names_its_tables_and_refuses_weights(name, tmp_path):
    weights = METHODS[name].part("weights")
    modules, _, info = weights.load_modules("tiny")
    assert modules == {} and info.licence and info.source
    assert info.files and all(len(digest) == 64 for digest in info.files.values())
    with pytest.raises(WeightsError, match="weights"):
        weights.load_modules("tiny", tmp_path / "w.safetensors")


@pytest.mark.parametrize("name", LEARNED)
def test_saved_weights_come_back_equal(name, tmp_path):
    spec = METHODS[name]
    weights = spec.part("weights")
    modules, config = loaded(spec, seed=1)
    path = weights.save_modules(modules, tmp_path / "w.safetensors", weights.describe("tiny", config))
    again, _, info = weights.load_modules("tiny", path)
    assert info.files and all(len(digest) == 64 for digest in info.files.values())
    for key, module in modules.items():
        for label, value in module.state_dict().items():
            assert torch.equal(value, again[key].state_dict()[label]), f"{key}.{label}"
