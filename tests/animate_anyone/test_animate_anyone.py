"""Animate Anyone: both released layouts, generation, what is fed in, bad input, training's dropouts."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from waking import wake

from vivant.core.controls import Controls
from vivant.core.errors import ConfigError, WeightsError
from vivant.core.face import FaceCrop
from vivant.data.windows import ClipWindows, WindowClip
from vivant.diffusion.picture_encoders import clip_names, fill_picture_encoder
from vivant.methods.animate_anyone.config import PRESETS, Options
from vivant.methods.animate_anyone.generate import Generator
from vivant.methods.animate_anyone.model import build_modules
from vivant.methods.animate_anyone.prepare import face_drawings, poses
from vivant.methods.animate_anyone.train import STAGES, Objective
from vivant.methods.animate_anyone.weights import files_of, load_modules
from vivant.nn.picture_encoder import Lite0Encoder, picture_encoder
from vivant.nn.reference_unet import ReferenceUNet
from vivant.training.step import choose_learning

FACE_SET = replace(PRESETS["tiny"], guiders=2, free_reference=True, pose_points=128)


def alive(config, seed=0):
    """Random modules in which layers that start at zero have numbers, too."""
    torch.manual_seed(seed)
    modules = build_modules(config)
    for name, module in modules.items():
        if name not in ("codec", "image_encoder"):
            wake(module)
    return {name: module.eval() for name, module in modules.items()}


@pytest.fixture(scope="module")
def generator():
    return Generator(alive(PRESETS["tiny"]), PRESETS["tiny"])


def source(seed=0):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 255, (240, 240, 3), dtype=np.uint8)
    return FaceCrop(image, np.zeros((478, 3), np.float32), np.eye(2, 3), (240, 240))


def controls(count, points=60, seed=0):
    pose = np.random.default_rng(seed).uniform(-0.8, 0.8, (count, points, 3)).astype(np.float32)
    pose[..., 2] = 1
    return Controls(Fraction(25), count, pose=pose)


def frames(generator, count=5, seed=0, **options):
    made = generator.generate(source(), controls(count, seed=seed), Options(**options))
    return np.stack(list(made)).astype(int)


@pytest.mark.parametrize("count", [1, 8, 9, 19])
def test_any_length(generator, count):
    assert frames(generator, count).shape == (count, 64, 64, 3)


def test_poses_and_pictures_act(generator):
    first = frames(generator, 3)
    assert (frames(generator, 3, seed=1) != first).any()
    other = np.stack(list(generator.generate(source(1), controls(3), Options())))
    assert (other != first).any()


def test_windows_at_once_change_nothing(generator):
    assert np.abs(frames(generator, 19) - frames(generator, 19, batch=3)).max() <= 1


def test_options_act(generator):
    plain = frames(generator, 2, steps=4)
    for options in ({"guidance": 1.0}, {"reuse": 2}, {"hands": False}, {"upstream": True}, {"guidance_to": 0.5}):
        assert (frames(generator, 2, **{"steps": 4, **options}) != plain).any(), options


@pytest.mark.parametrize("guidance", [1.0, 3.5])
def test_the_face_set_makes_frames(guidance):
    """Two guiders, a 3D reference net with its last layers, an empty picture for the unconditional half."""
    generator = Generator(alive(FACE_SET), FACE_SET)
    made = list(generator.generate(source(), controls(3, 128), Options(guidance=guidance)))
    assert len(made) == 3 and made[0].shape == (64, 64, 3)


def test_face_drawings_show_the_upper_face_and_the_moved_mouth():
    points = np.zeros((2, 70, 3), np.float32)
    points[0, :, 1], points[0, :, 2] = np.linspace(-0.9, 0.9, 70), 1
    upper, mouth = face_drawings(points, 128)
    assert not upper[1].any() and not mouth[1].any(), "a face that is not seen is not drawn"
    assert upper[0, :, : int(128 * 0.55)].any() and not upper[0, :, int(128 * 0.55) :].any()
    assert mouth[0, 1].sum() > 0 and not mouth[0, 0].any()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (Controls(Fraction(25), 3), "driven by poses"),
        (controls(2), "poses for 2 frames, but 3"),
        (replace(controls(3), pose=np.zeros((3, 60, 3), np.float32)), "shows a person"),
    ],
)
def test_bad_poses_are_refused(given, message):
    with pytest.raises(ConfigError, match=message):
        poses(replace(given, count=3), PRESETS["tiny"])


def test_keypoints_that_the_net_does_not_know_are_left_out():
    assert poses(controls(2, 128), PRESETS["tiny"]).shape == (2, 60, 3)


def test_a_picture_that_does_not_divide_by_the_latents_is_refused():
    with pytest.raises(ConfigError, match="multiples of 8"):
        Generator(alive(PRESETS["tiny"]), replace(PRESETS["tiny"], output_size=60))


def written(modules, config, folder):
    folder.mkdir(parents=True, exist_ok=True)
    states = {name: dict(modules[name].state_dict()) for name in files_of(config) if name in modules}
    whole = states["denoising_unet"]
    if "motion_module" in files_of(config):
        states["motion_module"] = {key: value for key, value in whole.items() if "motion_modules" in key}
        states["denoising_unet"] = {key: value for key, value in whole.items() if "motion_modules" not in key}
    for name, state in states.items():
        torch.save(state, folder / f"{name}.pth")
    return folder


@pytest.mark.parametrize("face", [False, True])
def test_released_files_load_strictly(face, tmp_path, monkeypatch):
    config = FACE_SET if face else PRESETS["tiny"]
    monkeypatch.setitem(PRESETS, "tiny", config)
    modules = alive(config)
    folder = written(modules, config, tmp_path / ("reenact" if face else "body"))
    found, _, info = load_modules("tiny", tmp_path if face else folder)
    assert len(info.files) == 4
    for name in set(files_of(config)) & set(modules):
        for key, value in modules[name].state_dict().items():
            assert torch.equal(value, found[name].state_dict()[key]), f"{name}.{key}"


def test_a_wrong_motion_file_stops_the_loading(tmp_path):
    """A file with other keys does not silently give a flickering model."""
    config = PRESETS["tiny"]
    folder = written(alive(config), config, tmp_path / "body")
    state = torch.load(folder / "motion_module.pth", weights_only=True)
    torch.save({f"module.{key}": value for key, value in state.items()}, folder / "motion_module.pth")
    with pytest.raises(WeightsError, match=r"motion_module\.pth .*missing \(.*motion_modules.*unexpected \(module\."):
        load_modules("tiny", folder)
    (folder / "pose_guider.pth").unlink()
    with pytest.raises(WeightsError, match=r"no pose_guider\.pth"):
        load_modules("tiny", folder)


def test_the_face_sets_reference_net_has_686_keys():
    with torch.device("meta"):
        net = ReferenceUNet(PRESETS["released-face"].reader, "norm1")
    assert len(net.state_dict()) == 686


def windows(config, length, count=16):
    generator = torch.Generator().manual_seed(1)
    side = config.output_size // 8
    arrays = {
        "latents": torch.randn(2 * count, config.unet.channels, side, side, generator=generator).half(),
        "drawing": torch.randint(0, 255, (2 * count, 3, 64, 64), generator=generator, dtype=torch.uint8),
        "look": torch.randn(count, 24, generator=generator).half(),
    }
    return ClipWindows([WindowClip("clip", "people", count)], arrays, length, ["latents", "drawing"])


def objective_and_batch(stage="motion", **settings):
    config = PRESETS["tiny"]
    chosen = replace(STAGES[stage], frames=6, settings={**STAGES[stage].settings, **settings})
    objective = Objective(alive(config), config, chosen, torch.device("cpu"))
    raw = windows(config, 6).gather(torch.tensor([[0, 1, 0, 0], [9, 4, 0, 1]]))
    return objective, objective.augment(raw, torch.Generator().manual_seed(0))


def test_unconditional_samples_see_no_reference_but_their_pose():
    objective, batch = objective_and_batch(unconditional=1.0)
    assert not batch["keep"].any() and objective.features(batch).abs().max() > 0
    with torch.no_grad():
        found = objective.losses(batch, False)[0]["velocity"]
        other = objective.losses({**batch, "reference": -batch["reference"], "look": -batch["look"]}, False)[0]
    assert torch.allclose(found, other["velocity"], atol=1e-6)


def test_without_the_reference_net_only_the_token_is_left():
    objective, batch = objective_and_batch(unconditional=0.0, no_reference=1.0)
    with torch.no_grad():
        found = objective.losses(batch, False)[0]["velocity"]
        same = objective.losses({**batch, "reference": -batch["reference"]}, False)[0]["velocity"]
        other = objective.losses({**batch, "look": -batch["look"]}, False)[0]["velocity"]
    assert torch.equal(found, same) and not torch.equal(found, other)


def test_stage_two_trains_motion_modules_alone():
    modules = alive(PRESETS["tiny"])
    for stage, motion in (("pictures", False), ("motion", True)):
        choose_learning(modules, STAGES[stage].trains)
        keys = [f"{n}.{k}" for n, m in modules.items() for k, p in m.named_parameters() if p.requires_grad]
        assert keys and all(("motion_modules" in key) == motion for key in keys)
        assert not any(key.startswith(("codec", "image_encoder")) for key in keys)


def test_sheets_show_reference_drawing_target_and_result():
    objective, batch = objective_and_batch()
    assert objective.sheet(batch, objective.modules).shape == (8, 3, 64, 64)


def test_the_bundled_picture_encoder_has_its_weights_and_a_folder_without_clip_is_refused(tmp_path):
    pytest.importorskip("transformers")
    lite = picture_encoder("lite0", 3)
    fill_picture_encoder(lite)
    again = picture_encoder("lite0", 3)
    fill_picture_encoder(again)
    assert torch.equal(lite.trunk.stem.weight, again.trunk.stem.weight)
    with torch.device("meta"):
        clip = picture_encoder("clip")
    wanted = clip.net.state_dict()
    for head in ("", "vision_model."):  # files of both spellings are understood
        bare = {key.removeprefix("vision_model."): value for key, value in wanted.items()}
        inside = {key if key.startswith("visual_projection") else f"{head}{key}": value for key, value in bare.items()}
        if head or not any(key.startswith("vision_model.") for key in wanted):
            assert set(clip_names(wanted, inside)) == set(wanted)
    with pytest.raises(WeightsError, match="folder of CLIP's encoder"):
        fill_picture_encoder(clip, tmp_path)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_pictures_are_described_in_every_precision(dtype):
    encoder = Lite0Encoder(2).eval().to(dtype)
    picture = torch.rand(2, 3, 70, 50, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        found = encoder(picture.to(dtype))
    assert found.dtype == dtype and found.shape == (2, encoder.width) and torch.isfinite(found.float()).all()
