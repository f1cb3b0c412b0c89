"""MegActor-Sigma makes frames: driver, speech, both; amplitudes; any length; a start from PixArt's weights."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from megactor_makers import SIDE, alive, crop
from safetensors.torch import save_file

from vivant.core.controls import Controls
from vivant.core.errors import ConfigError, WeightsError
from vivant.core.speech import Speech
from vivant.methods.megactor_sigma import weights
from vivant.methods.megactor_sigma.config import PRESETS, Options
from vivant.methods.megactor_sigma.generate import Generator, audio_tokens
from vivant.methods.megactor_sigma.model import build_modules

TINY = PRESETS["tiny"]


@pytest.fixture(scope="module")
def generator():
    return Generator(alive(TINY), TINY)


def heard(count, seed=0):
    values = np.random.default_rng(seed).normal(size=(count, 2, 1920)).astype(np.float32)
    voiced = np.ones(count, np.float32)
    return Speech(np.zeros(count * 640, np.float32), Fraction(25), voiced, {"whisper-tiny-en": values})


def controls(count, driver=True, speech=True, seed=0):
    crops = [crop(seed + i) for i in range(count)] if driver else None
    return Controls(Fraction(25), count, heard(count, seed) if speech else None, crops)


def frames(generator, given, **options):
    return np.stack(list(generator.generate(crop(9), given, Options(**options)))).astype(int)


def differ(a, b):
    return bool((a != b).any())


@pytest.mark.parametrize("count", [1, 8, 9, 21])
def test_any_length(generator, count):
    assert frames(generator, controls(count)).shape == (count, SIDE, SIDE, 3)


def test_each_mix_of_drivers_is_another_film(generator):
    films = [frames(generator, controls(3, *given)) for given in ((True, False), (False, True), (True, True))]
    assert differ(films[0], films[1]) and differ(films[0], films[2]) and differ(films[1], films[2])
    with pytest.raises(ConfigError, match="Nothing drives"):
        frames(generator, controls(3, False, False))
    with pytest.raises(ConfigError, match="lasts 0 s"):
        frames(generator, Controls(Fraction(25), 0, heard(0)))


def test_speech_of_strength_0_is_no_speech_and_more_does_more(generator):
    silent = frames(generator, controls(3, speech=False), drive="eyes")
    none, some, more = (frames(generator, controls(3), strength_audio=s, drive="eyes") for s in (0.0, 1.0, 2.0))
    assert np.abs(none - silent).max() <= 1 and (none != silent).mean() < 1e-3
    assert np.abs(more - none).mean() > np.abs(some - none).mean() > 0


def test_the_drivers_regions_and_amplitude_act(generator):
    from vivant.core.similarity import Similarity

    turned = [crop(), crop(1, Similarity(1.05 + 0.2j, 3 - 2j))]
    given = Controls(Fraction(25), 2, None, turned)
    base = frames(generator, given)
    for options in ({"strength_visual": 2.0}, {"strength_visual": 0.0}, {"drive": "eyes"}, {"drive": "mouth"}):
        assert differ(frames(generator, given, **options), base), options
    assert differ(
        frames(generator, given, strength_visual=2.0), frames(generator, given, strength_visual=2.0, travel=False)
    )
    still = Controls(Fraction(25), 2, None, [crop(), crop()])
    assert not differ(frames(generator, still), frames(generator, still, strength_visual=2.0))


def test_guidance_windows_and_samplers(generator):
    base = frames(generator, controls(21), steps=3)
    for options in ({"guidance": 1.0}, {"sampler": "ddim"}, {"guidance_to": 0.5}, {"shift": 3}, {"window": 4}):
        assert differ(frames(generator, controls(21), **{"steps": 3, **options}), base), options
    assert np.abs(frames(generator, controls(21), batch=3) - frames(generator, controls(21))).max() <= 1
    with pytest.raises(ConfigError, match="longer than the 16 the net knows: lower --window"):
        frames(generator, controls(21), window=20)
    few = frames(generator, controls(3), sampler="lcm", steps=4, guidance=1.0)
    assert few.shape == (3, SIDE, SIDE, 3)


def test_the_portrait_as_input_of_small_nets():
    config = replace(TINY, reference_input=True, net=replace(TINY.net, extra=8))
    generator = Generator(alive(config), config)
    assert frames(generator, controls(2, driver=False)).shape == (2, SIDE, SIDE, 3)
    assert differ(frames(generator, controls(2)), frames(generator, controls(2, driver=False)))


def test_a_portrait_that_half_precision_breaks_is_encoded_again(monkeypatch):
    generator = Generator(alive(TINY), TINY, dtype=torch.float16)
    codec = generator.modules["codec"]
    encode = codec.encode
    monkeypatch.setattr(codec, "encode", lambda x: encode(x) / (x.dtype != torch.float16))  # beyond its numbers
    with pytest.warns(UserWarning, match=r"going on in torch\.bfloat16"):
        found = frames(generator, controls(2))
    assert next(codec.parameters()).dtype == torch.bfloat16 and found.std() > 1


def test_audio_tokens_are_all_states_of_a_step_then_the_next():
    audio = replace(TINY.audio, width=3, states=2)
    found = audio_tokens(torch.arange(12.0).view(1, 2, 6), audio)
    assert found.tolist() == [[[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]]
    assert PRESETS["paper"].audio.tokens == 50 and PRESETS["lite"].audio.tokens == 10


def pixart_folder(path, net, changes=()):
    """The keys that PixArt has, from a random net of ours, as diffusers' folder."""
    state = {k: v for k, v in net.state_dict().items() if ".temporal." not in k and ".attn2." not in k}
    state["pos_embed.proj.weight"] = state["pos_embed.proj.weight"][:, :4]
    state["transformer_blocks.0.attn2.to_q.weight"] = torch.ones(3, 3)
    state["caption_projection.linear_1.weight"] = torch.ones(3, 3)
    for name in changes:
        state.pop(name)
    (path / "transformer").mkdir(parents=True)
    tensors = {k: v.contiguous().clone() for k, v in state.items()}
    save_file(tensors, path / "transformer" / "diffusion_pytorch_model.safetensors")
    return path, state


def test_a_start_from_pixart_of_the_hub(tmp_path, monkeypatch):
    torch.manual_seed(3)
    folder, state = pixart_folder(tmp_path / "pixart", build_modules(TINY)["denoiser"])
    asked = []
    monkeypatch.setattr(weights, "hub_file", lambda repo, name: asked.append((repo, name)) or folder / name)
    modules, _, info = weights.load_modules("tiny", "pixart")
    assert asked == [(weights.PIXART, "transformer/diffusion_pytorch_model.safetensors")]
    table = "transformer_blocks.3.scale_shift_table"
    assert torch.equal(modules["denoiser"].state_dict()[table], state[table]) and "OpenRAIL" in info.licence


def test_a_start_from_pixart(tmp_path):
    torch.manual_seed(3)
    folder, state = pixart_folder(tmp_path / "pixart", build_modules(TINY)["denoiser"])
    modules, _, info = weights.load_modules("tiny", folder, seed=0)
    assert "PixArt" in info.name and len(info.files) == 1
    first = modules["denoiser"].pos_embed.proj.weight
    assert torch.equal(first[:, :4], state["pos_embed.proj.weight"]) and not first[:, 4:].any()
    table = "transformer_blocks.3.scale_shift_table"
    for name in ("denoiser", "reference_net"):
        assert torch.equal(modules[name].state_dict()[table], state[table])
    given = controls(2)
    generator = Generator(modules, TINY)
    assert not differ(frames(generator, given), frames(generator, given, strength_audio=3.0)), "speech adds nothing yet"
    with pytest.raises(WeightsError, match=r"adaln_single\.linear\.bias"):
        weights.load_modules(
            "tiny", pixart_folder(tmp_path / "b", modules["denoiser"], ["adaln_single.linear.bias"])[0]
        )
    with pytest.raises(WeightsError, match="give the folder of PixArt"):
        weights.load_modules("tiny", tmp_path)
