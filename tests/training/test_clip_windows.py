"""Folders of clips become windows of latents, and three methods learn from them through the command line."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from vivant.apps.cli import main
from vivant.core.clip import Audio
from vivant.core.errors import ConfigError, MediaError
from vivant.core.facemesh import FACE_POINTS, TRAINING_POINTS
from vivant.data.labels import Labels, write_labels
from vivant.data.manifest import Row, read_manifest, write_manifest
from vivant.media.writer import VideoWriter
from vivant.methods.v_express.weights import describe, load_modules, save_modules
from vivant.nn.geometry import box_mask
from vivant.training.clip_arrays import face_arrays, read_poses
from vivant.training.clips import DrivenWindows, PersonWindows, TalkingWindows

RECIPES = Path(__file__).parents[2] / "recipes"
FRAMES, SIZE = 6, 64


def clip(folder: Path, name: str, sound: bool, shade: int) -> Row:
    """A square that moves right on a grey ground, its labels, and a tone if asked for."""
    audio = Audio(np.sin(np.arange(3840) * 0.2).astype(np.float32)[:, None], 16000) if sound else None
    with VideoWriter(folder / f"{name}.mp4", 25, audio=audio, quality=1) as writer:
        for number in range(FRAMES):
            frame = np.full((SIZE, SIZE, 3), shade, np.uint8)
            frame[20:40, 4 + 8 * number : 14 + 8 * number] = 230
            writer.write(frame)
    count, points = FRAMES, np.array(FACE_POINTS)
    landmarks = np.zeros((count, len(points), 3), np.float16)
    landmarks[:, 0:2, 0], landmarks[:, 2:4, 0], landmarks[:, 4, 1] = -0.4, 0.2, 0.3
    landmarks[:, 5:, 0] = np.linspace(-0.2, 0.2, len(points) - 5)
    landmarks[:, 5:, 1] = 0.5
    zero = (np.zeros((count, 3), np.float32), np.ones(count, np.float32), np.zeros((count, 2), np.float32))
    neutral, weight = np.zeros((len(points), 3), np.float16), np.ones(len(points), np.float32)
    write_labels(folder / f"{name}.npz", Labels(landmarks, *zero, neutral, weight, points))
    group = "grid" if sound else "rig"
    return Row(name, name, "train", "clip", group, count, 25.0, SIZE, f"{name}.npz", video=f"{name}.mp4")


@pytest.fixture(scope="module")
def talking(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("talking")
    write_manifest(folder, [clip(folder, "a", True, 60), clip(folder, "b", False, 120)])
    return folder


@pytest.fixture(scope="module")
def people(talking, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("people") / "data"
    shutil.copytree(talking, folder)
    pose = np.random.default_rng(0).uniform(-0.8, 0.8, (FRAMES, 60, 3)).astype(np.float32)
    pose[..., 2] = 1
    for name in ("a", "b"):
        np.savez_compressed(folder / f"{name}.npz", pose=pose)
    return folder


def test_speaking_clips(talking):
    data = TalkingWindows.load(talking, length=3, codec="tiny")
    assert len(data) == 2 * FRAMES and data.groups == {"grid": 1, "rig": 1}
    arrays = data.arrays
    assert arrays["latents"].shape == (4 * FRAMES, 4, 8, 8) and arrays["speech"].shape == (2 * FRAMES, 2, 384)
    assert arrays["heard"].tolist() == [1.0] * FRAMES + [0.0] * FRAMES
    assert arrays["speech"][:FRAMES].abs().sum() > 0 and not arrays["speech"][FRAMES:].any()
    assert torch.allclose(arrays["v_kps"][0], torch.tensor([[-0.4, 0], [0.2, 0], [0, 0.3]]), atol=1e-3)
    assert (arrays["latents"][0] - arrays["latents"][2 * FRAMES]).abs().max() > 1e-3  # the mirrored picture is another


def test_clips_that_can_drive(talking):
    data = DrivenWindows.load(talking, length=3, codec="tiny", size=32)
    arrays = data.arrays
    assert arrays["picture"].shape == (2 * FRAMES, 3, 32, 32) and arrays["picture"].dtype == torch.uint8
    assert arrays["picture"][3, 0, 10:19].float().amax(0).argmax().item() in range(13, 20)  # the square of frame 3
    assert arrays["points"].shape == (2 * FRAMES, len(FACE_POINTS), 2) and arrays["speech"].shape[1:] == (2, 1920)
    assert torch.allclose(arrays["points"][0, :5, 0], torch.tensor([-0.4, -0.4, 0.2, 0.2, 0.0]), atol=1e-3)


def test_people(people):
    data = PersonWindows.load(people, length=3, codec="tiny", size=64, blocks=3)
    assert data.arrays["drawing"].shape == (4 * FRAMES, 3, 64, 64) and data.arrays["drawing"].dtype == torch.uint8
    assert data.arrays["look"].shape == (2 * FRAMES, 24) and data.mirrored == ("latents", "drawing")


def test_people_that_were_curated(talking, people, tmp_path):
    """Curation keeps bodies in ``extra``, beside the labels of the face."""
    folder = tmp_path / "data"
    shutil.copytree(talking, folder)
    for name in ("a", "b"):
        with np.load(people / f"{name}.npz") as labels:
            np.savez_compressed(folder / f"{name}.extra.npz", body=labels["pose"].astype(np.float16))
    rows = read_manifest(folder)
    write_manifest(folder, [replace(row, extra=f"{row.id}.extra.npz") for row in rows])
    found = read_poses(folder, read_manifest(folder))
    np.testing.assert_allclose(found, read_poses(people, read_manifest(people)), atol=1e-3)


def test_folders_that_do_not_fit_are_refused(talking, people, tmp_path):
    with pytest.raises(ConfigError, match="no clips of 7 frames"):
        TalkingWindows.load(talking, length=7, codec="tiny")
    with pytest.raises(MediaError, match="hold no poses"):
        PersonWindows.load(talking, length=3, codec="tiny", size=64, blocks=3)
    with pytest.raises(ConfigError, match=r"landmarks \[33"):
        face_arrays(torch.zeros(1, 2, 3), [0, 1])


def test_eyes_nose_and_the_mouths_box():
    landmarks = torch.zeros(len(TRAINING_POINTS), 3)
    landmarks[TRAINING_POINTS.index(61), 0], landmarks[TRAINING_POINTS.index(291), 0] = -0.2, 0.4
    box = face_arrays(landmarks)["mouth"]
    assert torch.allclose(box, torch.tensor([-0.5, 0, 0.7, 0]), atol=1e-6)  # twice as wide about its middle


def test_a_box_on_the_latent_grid_counts_shares_of_cells():
    mask = box_mask(torch.tensor([[-1.0, -1.0, 0.0, -0.25], [0.0, 0.0, 0.0, 0.0]]), 4)
    assert mask.shape == (2, 1, 4, 4) and not mask[1].any()
    assert mask[0, 0].tolist() == [[1, 1, 0, 0], [0.5, 0.5, 0, 0], [0] * 4, [0] * 4]


@pytest.mark.parametrize("method", ["v-express", "animate-anyone", "megactor-sigma"])
def test_the_tiny_recipes_run_every_stage(method, talking, people, tmp_path, capsys):
    data = people if method == "animate-anyone" else talking
    recipe = RECIPES / method.replace("-", "_") / "tiny.yaml"
    words = ["train", method, "--recipe", str(recipe), "--data", str(data), "--out", str(tmp_path), "--device", "cpu"]
    assert main(words) == 0
    first = "visual" if method == "megactor-sigma" else "pictures"
    assert (tmp_path / "weights.safetensors").is_file() and (tmp_path / first / "sheets").is_dir()
    from vivant.core.registry import get_method

    modules, _, info = get_method(method).part("weights").load_modules("tiny", tmp_path / "weights.safetensors")
    assert info.name == "tiny" and {"denoising_unet", "denoiser"} & set(modules)


def test_labelled_attributes_are_trained_alone_from_given_weights_and_can_be_asked_for(talking, tmp_path):
    """Labels of the manifest, a net that grows the attention on them, weights that know their names."""
    data = tmp_path / "data"
    shutil.copytree(talking, data)
    rows = [replace(row, attributes="happy=0.5,loud" if row.id == "a" else "") for row in read_manifest(data)]
    write_manifest(data, rows)
    found = TalkingWindows.load(data, length=3, codec="tiny", attributes=["loud", "happy"]).arrays["attributes"]
    assert found.tolist() == [[1.0, 0.5]] * FRAMES + [[0.0, 0.0]] * FRAMES
    with pytest.raises(ConfigError, match=r"Clip 'a' in .*no attribute 'loud'; known: happy"):
        TalkingWindows.load(data, length=3, codec="tiny", attributes=["happy"])
    modules, config, _ = load_modules("tiny", seed=0)
    before = save_modules(modules, tmp_path / "before.safetensors", describe("tiny", config))
    stage = "{name: attributes, steps: 2, batch: 2, frames: 3, warmup: 1, ema_decay: 0}"
    (tmp_path / "recipe.yaml").write_text(
        "method: v-express\npreset: tiny\nsamples: {length: 3, codec: tiny, size: 64, attributes: [happy, loud]}\n"
        f"precision: fp32\nstages: [{stage}]\n"
    )
    words = ["--recipe", tmp_path / "recipe.yaml", "--init", before, "--data", data, "--out", tmp_path / "run"]
    assert main(["train", "v-express", *map(str, words), "--device", "cpu"]) == 0
    after, config, _ = load_modules("tiny", tmp_path / "run" / "weights.safetensors")
    assert config.attributes == ("happy", "loud")
    state = after["denoising_unet"].state_dict()
    kept = {key: value.half().float() for key, value in modules["denoising_unet"].state_dict().items()}  # as stored
    assert all(torch.equal(value, state[key]) for key, value in kept.items())
    grown = [value for key, value in state.items() if "attributes.to_out.0.weight" in key]
    assert grown and any(value.any() for value in grown)


@pytest.mark.parametrize(
    ("method", "samples", "stage", "said"),
    [
        ("v-express", {"sze": 64}, {}, "no option of the recipe's samples 'sze'. Did you mean 'size'"),
        ("v-express", {"size": 10**30}, {}, "'size' of the recipe's samples is 10{30}: give a whole number from 0 to"),
        ("v-express", {"size": "abc"}, {}, "'size' of the recipe's samples is 'abc': give a whole number"),
        ("v-express", {"attributes": "happy"}, {}, "is 'happy': give a list of names"),
        ("v-express", {"size": 0}, {}, "samples have size 0: give 1 or more"),
        ("v-express", {"length": 0}, {}, "samples have length 0: give 1 or more"),
        ("v-express", {"numbers": 0}, {}, "samples have numbers 0: give 1 or more"),
        ("v-express", {"encoder": "ears"}, {}, "no speech encoder 'ears' for the samples: use one of"),
        ("animate-anyone", {"points": 7}, {"name": "pictures"}, "Poses of 7 points are not drawn"),
        ("v-express", {"size": 60}, {}, "both sides must be multiples of 8"),
        ("v-express", {"size": 128}, {}, "latents are 4 x 16 x 16 numbers where these nets take 4 x 8 x 8"),
        ("v-express", {"codec": "lite"}, {}, "latents are 8 x 8 x 8 numbers .*: mend codec and size of"),
        ("v-express", {"numbers": 100}, {}, "speech are 100 numbers where these nets take 384: mend encoder and"),
        ("v-express", {}, {"name": "all", "frames": 4}, "takes 4 frames of a window, and those of the samples have 3"),
        ("megactor-sigma", {"numbers": 384}, {"name": "mixed"}, "speech are 384 numbers where these nets take 1920"),
        ("megactor-sigma", {"numbers": 1920}, {"name": "motion", "frames": 4}, "takes 4 frames of a window"),
        (
            "megactor-sigma",
            {"codec": "lite", "numbers": 1920},
            {"name": "visual"},
            "8 x 8 x 8 numbers where these nets take 4 x any x any",
        ),
        ("animate-anyone", {"blocks": 5}, {"name": "pictures"}, "reference_look are .*: mend image and blocks of"),
        ("animate-anyone", {"blocks": 3, "size": 60}, {"name": "pictures"}, "both sides must be multiples of 8"),
        ("animate-anyone", {"blocks": 3}, {"name": "motion", "frames": 4}, "takes 4 frames of a window"),
    ],
)
def test_samples_that_do_not_fit_the_nets_are_told_in_a_sentence(
    talking, people, tmp_path, capsys, method, samples, stage, said
):
    recipe = {
        "method": method, "preset": "tiny", "samples": {"length": 3, "codec": "tiny", "size": 64} | samples,
        "precision": "fp32", "stages": [{"name": "speech", "steps": 1, "batch": 2, "frames": 1, "warmup": 1} | stage],
    }  # fmt: skip
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    data = people if method == "animate-anyone" else talking
    words = ["--recipe", tmp_path / "recipe.yaml", "--data", data, "--out", tmp_path / "run", "--device", "cpu"]
    assert main(["train", method, *map(str, words)]) == 2
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert re.search(said, told), told


def test_attributes_that_no_clip_is_labelled_with_are_refused(talking):
    with pytest.raises(ConfigError, match=r"No clip in .* is labelled with attributes \(happy\)"):
        TalkingWindows.load(talking, length=3, codec="tiny", attributes=["happy"])
