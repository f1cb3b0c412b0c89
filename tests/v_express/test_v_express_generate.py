"""V-Express makes frames: any length, strengths, exact speed and its approximations, attributes, dropouts."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from waking import wake

from vivant.core.controls import Controls
from vivant.core.errors import ConfigError
from vivant.core.face import FaceCrop
from vivant.core.speech import Speech
from vivant.data.windows import ClipWindows, WindowClip
from vivant.diffusion import clip_generator
from vivant.methods.v_express.config import PRESETS, Options
from vivant.methods.v_express.generate import Generator
from vivant.methods.v_express.model import build_modules
from vivant.methods.v_express.train import STAGES, Objective
from vivant.training.step import choose_learning


def alive(config, seed=0):
    """Random modules in which layers that start at zero have numbers, too."""
    torch.manual_seed(seed)
    modules = build_modules(config)
    for name, module in modules.items():
        if name != "codec":
            wake(module)
    return {name: module.eval() for name, module in modules.items()}


@pytest.fixture(scope="module")
def generator():
    return Generator(alive(PRESETS["tiny"]), PRESETS["tiny"])


def source():
    rng = np.random.default_rng(0)
    landmarks = np.zeros((478, 3), np.float32)
    landmarks[[33, 133]], landmarks[[362, 263]], landmarks[1] = [[80, 100, 0]] * 2, [[160, 100, 0]] * 2, [120, 150, 0]
    return FaceCrop(rng.integers(0, 255, (240, 240, 3), dtype=np.uint8), landmarks, np.eye(2, 3), (240, 240))


def controls(count, speech=True, seed=0):
    rng = np.random.default_rng(seed)
    features = {"whisper-tiny-en": rng.normal(size=(count, 2, 1920)).astype(np.float32)}
    heard = Speech(np.zeros(count * 640, np.float32), Fraction(25), np.ones(count, np.float32), features)
    return Controls(Fraction(25), count, heard if speech else None)


def frames(generator, count=5, **options):
    return np.stack(list(generator.generate(source(), controls(count), Options(**options)))).astype(int)


@pytest.mark.parametrize("count", [1, 7, 8, 9, 21])
def test_any_length(generator, count):
    """Shorter than a window, exactly one, one frame more, several; also under 0.8 s, where released code fails."""
    assert frames(generator, count).shape == (count, 64, 64, 3)


def test_an_overlap_as_large_as_its_window_is_refused_and_the_presets_own_gives_way(generator):
    with pytest.raises(ConfigError, match="smaller than the window"):
        frames(generator, 5, window=4, overlap=4)
    assert frames(generator, 3, window=1).shape == (3, 64, 64, 3)


def test_deep_features_are_not_reused_where_windows_move(generator):
    """Those of a window that moved on would be kept for ever, and once serve one that comes back many steps later."""
    with pytest.raises(ConfigError, match="--shift 0, or --reuse 1"):
        frames(generator, 21, steps=4, reuse=2, shift=3)


def test_speech_of_no_length_is_refused(generator):
    with pytest.raises(ConfigError, match="lasts 0 s"):
        list(generator.generate(source(), controls(0), Options()))


def test_without_speech_and_without_v_kps(generator):
    silent = list(generator.generate(source(), controls(3, speech=False), Options()))
    assert len(silent) == 3 and (np.stack(silent).astype(int) != frames(generator, 3)).any()


def test_windows_at_once_change_nothing(generator):
    assert np.abs(frames(generator, 21) - frames(generator, 21, batch=3)).max() <= 1


@pytest.mark.parametrize("name", ["strength_audio", "strength_reference"])
def test_strengths_act(generator, name):
    none, some, more = (frames(generator, 3, guidance=1.0, **{name: s}) for s in (0.0, 1.0, 3.0))
    assert np.abs(more - none).mean() > np.abs(some - none).mean() > 0


def test_approximations_differ_and_are_asked_for(generator):
    exact = frames(generator, 4, steps=4)
    for options in (
        {"reuse": 2},
        {"guidance_to": 0.5},
        {"sampler": "lcm"},
        {"sampler": "dpm-solver"},
        {"median": True},
    ):
        assert (frames(generator, 4, steps=4, **options) != exact).any(), options
    assert (frames(generator, 4, steps=4, sampler="euler") - exact).max() <= 1


def test_the_preview_decoder_makes_the_pictures_where_latents_are_stable_diffusions(generator, monkeypatch):
    class Grey(torch.nn.Module):
        """Paints every latent in one grey."""

        def __init__(self):
            super().__init__()
            self.level = torch.nn.Parameter(torch.tensor(0.4))

        def decode(self, latents):
            return self.level.expand(len(latents), 3, 8, 8)

    loaded = []
    monkeypatch.setattr(clip_generator, "load_tiny_decoder", lambda path: loaded.append(path) or Grey())
    with monkeypatch.context() as unread:
        unread.setattr(generator, "_denoiser", None)
        with pytest.raises(ConfigError, match="has its own"):
            frames(generator, 2, preview_decoder="hub")
    published = Generator(alive(PRESETS["tiny"]), replace(PRESETS["tiny"], codec="sd"))
    for where in ("hub", "hub", "folder"):
        assert (frames(published, 3, preview_decoder=where) == 102).all()
    assert loaded == [None, "folder"]
    assert (frames(published, 3) != 102).any()


def test_the_form_of_the_net_that_runs_is_the_one_that_is_compiled(generator, monkeypatch):
    """With reused deep features another method of the net is called: it must be compiled, too, and each form once; so
    is the decoder, for whole batches of latents."""
    compiled, calls = [], []

    def fake(form, fullgraph):
        assert fullgraph
        compiled.append(form)
        return lambda *given: calls.append(form) or form(*given)

    plain = [frames(generator, 3, steps=4, reuse=reuse) for reuse in (1, 2)]
    monkeypatch.setattr(torch, "compile", fake)
    monkeypatch.setattr(generator, "_compiled", {})
    for reuse, wanted in ((1, plain[0]), (2, plain[1]), (2, plain[1])):
        assert (frames(generator, 3, steps=4, reuse=reuse, compile=True) == wanted).all()
    net, decode = generator.modules["denoising_unet"], generator.modules["codec"].decode
    assert compiled == [net, decode, net.with_deep]
    assert calls == [*[net] * 4, decode, *2 * [*[net.with_deep] * 4, decode]]


def test_the_released_codes_ways(generator):
    assert (frames(generator, 3, upstream=True) != frames(generator, 3)).any()


def test_a_picture_that_does_not_divide_by_the_latents_is_refused():
    with pytest.raises(ConfigError, match="multiples of 8"):
        Generator(alive(PRESETS["tiny"]), replace(PRESETS["tiny"], output_size=60))


def test_labelled_attributes_change_nothing_until_they_are_trained_and_train_alone():
    config = replace(PRESETS["tiny"], attributes=("happy", "intensity"))
    torch.manual_seed(0)
    modules = build_modules(config)
    generator = Generator(modules, config)
    plain, happy = (frames(generator, 2, attributes=text) for text in ("", "happy=1"))
    assert (plain == happy).all()
    stage = replace(STAGES["attributes"], batch=2)
    choose_learning(modules, stage.trains)
    learning = {f"{n}.{k}" for n, m in modules.items() for k, p in m.named_parameters() if p.requires_grad}
    assert learning and all("attribute" in key for key in learning)
    objective = Objective(modules, config, stage, torch.device("cpu"))
    raw = {
        **windows(config, 12).gather(torch.tensor([[0, 0, 0, 0], [3, 2, 0, 1]])),
        "attributes": torch.eye(2)[:, None].expand(2, 12, 2),
    }
    batch = objective.augment(raw, torch.Generator().manual_seed(0))
    sum(objective.losses(batch, False)[0].values()).backward()
    with torch.no_grad():
        for module in modules.values():
            for value in module.parameters():
                if value.grad is not None:
                    value -= 10 * value.grad
    assert (frames(generator, 2, attributes="happy=1") != plain).any()


def windows(config, length, frames=16):
    generator = torch.Generator().manual_seed(1)
    side, audio = config.output_size // 8, config.audio
    points = torch.tensor([[-0.3, -0.1], [0.3, -0.1], [0.0, 0.2]])
    arrays = {
        "latents": torch.randn(2 * frames, config.unet.channels, side, side, generator=generator).half(),
        "v_kps": points + 0.02 * torch.randn(frames, 3, 2, generator=generator),
        "mouth": torch.tensor([[-0.2, 0.3, 0.2, 0.6]]).repeat(frames, 1),
        "speech": torch.randn(frames, audio.steps, audio.inputs, generator=generator).half(),
        "heard": torch.ones(frames),
    }
    return ClipWindows([WindowClip("clip", "grid", frames)], arrays, length, ["latents"])


def objective_and_batch(settings, stage="speech", seed=0):
    config = PRESETS["tiny"]
    chosen = replace(STAGES[stage], frames=6, settings={**STAGES[stage].settings, **settings})
    objective = Objective(alive(config), config, chosen, torch.device("cpu"))
    raw = windows(config, 6).gather(torch.tensor([[0, 1, 0, 0], [9, 4, 0, 1], [2, 8, 0, 0], [5, 3, 0, 1]]))
    return objective, objective.augment(raw, torch.Generator().manual_seed(seed))


def test_longer_samples_give_the_frames_of_a_window_speech_before_and_behind():
    config = PRESETS["tiny"]
    objective = Objective(alive(config), config, replace(STAGES["speech"], frames=4), torch.device("cpu"))
    raw = windows(config, 6).gather(torch.tensor([[0, 1, 0, 0]]))
    batch = objective.augment(raw, torch.Generator().manual_seed(0))
    speech = raw["speech"][0].float()  # of 6 frames; the stage takes those from 1 to 4, each hears one on both sides
    assert config.audio.reach == 1
    for number in range(4):
        assert torch.equal(batch["speech"][0, number], speech[number : number + 3].flatten(0, 1))
    assert torch.equal(batch["clean"], raw["latents"][:, 1:5].float())
    assert torch.equal(batch["v_kps"], raw["v_kps"][:, 1:5]) and torch.equal(batch["mouth"], raw["mouth"][:, 1:5])


def test_dropouts_of_the_paper_are_drawn_by_frame_and_shared_by_all_blocks():
    objective, batch = objective_and_batch({"drop_keypoints": 0.5, "drop_reference": 0.5, "unconditional": 0.0})
    keep = batch["keep_keypoints"]
    assert 0 < keep.mean() < 1 and (keep != keep[:, :1]).any()
    masks = [seen.keep for seen in objective.contexts(batch).values()]
    assert len(masks) > 1 and all(torch.equal(mask, masks[0]) for mask in masks) and (masks[0] != masks[0][:, :1]).any()
    features = objective.features(batch)
    assert not features[keep == 0].any() and features[keep == 1].any()


def test_dropouts_of_the_released_code():
    objective, batch = objective_and_batch(
        {"drop_keypoints": 0.5, "drop_reference": 0.5, "unconditional": 0.0, "drop_mode": 1.0}
    )
    keep = batch["keep_keypoints"]
    assert (keep == keep[:, :1]).all()
    masks = [seen.keep for seen in objective.contexts(batch).values()]
    assert any(not torch.equal(mask, masks[0]) for mask in masks)


def test_unconditional_samples_lose_everything_together():
    _, batch = objective_and_batch({"unconditional": 1.0})
    assert not batch["keep_keypoints"].any() and not batch["keep_reference"].any() and not batch["keep_audio"].any()


def test_mirrored_windows_mirror_their_points():
    _, batch = objective_and_batch({})
    raw = windows(PRESETS["tiny"], 6).gather(torch.tensor([[9, 4, 0, 1]]))
    points = batch["v_kps"][1]
    assert torch.allclose(points[:, 0], raw["v_kps"][0, :, 1] * torch.tensor([-1.0, 1.0]))
    assert torch.allclose(points[:, 2, 0], -raw["v_kps"][0, :, 2, 0])


def test_the_mouth_weighs_what_the_stage_says():
    losses = {}
    for weight in (1.0, 100.0):
        objective, batch = objective_and_batch({})
        objective.stage = replace(objective.stage, loss_weights={"velocity": 1.0, "mouth": weight})
        losses[weight] = objective.losses(batch, False)[0]["velocity"].item()
    assert losses[100.0] > 2 * losses[1.0]


@pytest.mark.parametrize("stage", ["pictures", "speech", "all"])
def test_each_stage_trains_its_parts(stage):
    modules = alive(PRESETS["tiny"])
    choose_learning(modules, STAGES[stage].trains)
    learning = {f"{n}.{k}" for n, m in modules.items() for k, p in m.named_parameters() if p.requires_grad}
    parts = {
        "motion": any("motion_modules" in key for key in learning),
        "audio": any(".attn2.to_q" in key and key.startswith("denoising_unet") for key in learning),
        "projection": any(key.startswith("audio_projection") for key in learning),
        "reference": any(key.startswith("reference_net") for key in learning),
        "self": any(".attn1.to_q" in key and key.startswith("denoising_unet") for key in learning),
        "codec": any(key.startswith("codec") for key in learning),
    }
    wanted = {"pictures": {"reference", "self"}, "speech": {"motion", "audio", "projection"}}
    everything = {"motion", "audio", "projection", "reference", "self"}
    assert {name for name, there in parts.items() if there} == wanted.get(stage, everything)


def test_a_setting_that_does_not_exist_is_refused():
    with pytest.raises(ConfigError, match="unknown setting 'drop_all'"):
        objective_and_batch({"drop_all": 1.0})
    for settings, said in (
        ({"drop_keypoints": 1.5}, "settings.drop_keypoints is 1.5, give 0 to 1"),
        ({"unconditional": -0.1}, "settings.unconditional is -0.1, give 0 to 1"),
        ({"min_snr": float("nan")}, "settings.min_snr is nan, give 0 or more"),
        ({"teacher_guidance": -2.0}, "settings.teacher_guidance is -2.0, give 0 or more"),
    ):
        with pytest.raises(ConfigError, match=said):
            objective_and_batch(settings)


def test_saved_memory_gives_the_same_loss():
    found = []
    for save in (0.0, 1.0):
        objective, batch = objective_and_batch({"save_memory": save})
        loss = objective.losses(batch, False)[0]["velocity"]
        loss.backward()
        found.append((loss.item(), objective.modules["audio_projection"].proj_in.weight.grad.clone()))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-6) and torch.allclose(found[0][1], found[1][1], atol=1e-7)


def test_sheets_show_reference_target_and_result():
    objective, batch = objective_and_batch({})
    sheet = objective.sheet(batch, objective.modules)
    assert sheet.shape == (12, 3, 64, 64) and sheet.min() >= 0 and sheet.max() <= 1
