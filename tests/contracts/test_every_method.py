"""What every method in the registry promises, with its preset ``tiny``."""

import shutil
from dataclasses import fields, is_dataclass, replace
from fractions import Fraction

import cv2
import numpy as np
import pytest
import torch

from vivant.apps.cli import main
from vivant.controls.crop import crop_face
from vivant.core.controls import Controls
from vivant.core.errors import WeightsError
from vivant.core.registry import all_methods
from vivant.core.spec import MethodSpec
from vivant.core.speech import SPEECH_FEATURES, SPEECH_RATE, Speech
from vivant.perception.faces import FaceFinder
from vivant.training.checkpoint import flat_state
from vivant.training.loop import Trainer
from vivant.training.step import choose_learning

METHODS = all_methods()
TRAINABLE = [name for name, spec in METHODS.items() if spec.capabilities.trainable]
HEARING = [name for name, spec in METHODS.items() if spec.capabilities.audio]
NETS = {name: spec.part("model").build_modules(spec.part("config").PRESETS["tiny"]) for name, spec in METHODS.items()}
LEARNED = [name for name, modules in NETS.items() if modules]
STEPS = 20


@pytest.fixture(scope="module")
def faces(portrait, driver_frames):
    """(picture, face) of the portrait, then of three frames of the speaker."""
    finder = FaceFinder()
    pictures = [portrait, *driver_frames[:3]]
    return [(picture, finder.find(picture)[0]) for picture in pictures]


def loaded(spec: MethodSpec, seed: int = 0):
    torch.manual_seed(seed)
    modules, config, _ = spec.part("weights").load_modules("tiny", seed=seed)
    return modules, config


def crops(config, faces):
    """The source's crop and the driver's crops."""
    first, *others = faces
    source, driving = config.source_crop, config.driving_crop

    def crop(view, picture, face):
        return crop_face(picture, face, view.scale, view.shift_y, 256, view.rotate, view.points)

    return crop(source, *first), [crop(driving, *other) for other in others]


class Sliced:
    """Features that can only be sliced along the frames, as those of a long sound."""

    def __init__(self, values):
        self._values, self.shape = values, values.shape

    def __len__(self):
        return len(self._values)

    def __getitem__(self, rows):
        assert isinstance(rows, slice), "slice features along the frames before anything else"
        return self._values[rows].copy()


def made_speech(config, count, seed=0):
    """Sound and features of ``count`` frames, made up."""
    rng = np.random.default_rng(seed)
    fps = Fraction(getattr(config, "fps", 25))
    features = {
        name: Sliced(rng.normal(size=(count, *SPEECH_FEATURES[name])).astype(np.float32))
        for name in config.speech_encoders
    }
    samples = rng.normal(scale=0.1, size=int(count / fps * SPEECH_RATE)).astype(np.float32)
    return Speech(samples, fps, rng.random(count).astype(np.float32), features)


def made_controls(spec, config, drivers, seed=0):
    """Every control that the method takes, of three frames, made up."""
    takes, rng, count = spec.capabilities, np.random.default_rng(seed), len(drivers)
    keypoints = np.array([[-0.2, -0.1], [0.2, -0.1], [0.0, 0.1]]) + rng.normal(scale=0.01, size=(count, 3, 2))
    pose = rng.uniform(-0.8, 0.8, (count, getattr(config, "pose_points", 18), 3))
    pose[..., 2] = 1
    return Controls(
        fps=Fraction(getattr(config, "fps", 25)),
        count=count,
        speech=made_speech(config, count, seed) if takes.audio else None,
        driving=drivers if takes.driving else None,
        keypoints=keypoints.astype(np.float32) if takes.keypoints else None,
        pose=pose.astype(np.float32) if takes.pose else None,
    )


def options_of(spec, seed):
    options = spec.part("config").Options()
    return replace(options, seed=seed) if hasattr(options, "seed") else options


def painted(spec, config):
    """The Generator that paints a method's motion, as ``vivant.load`` gives it."""
    if not spec.painter:
        return {}
    other = METHODS[spec.painter]
    modules, its, _ = other.part("weights").load_modules(config.painter_preset, seed=0)
    framing = ("source_crop", "driving_crop", "input_size", "output_size")
    assert [getattr(its, name) for name in framing] == [getattr(config, name) for name in framing]
    return {"painter": other.part("generate").Generator(modules, its)}


def generate(spec, faces, seed=0, inference_form=False, controls=None):
    """Three frames of a method of either kind: one that makes motion, or one that makes frames from controls."""
    modules, config = loaded(spec, seed)
    if inference_form:
        modules = spec.part("model").optimize_for_inference(modules)
    source, drivers = crops(config, faces)
    generator = spec.part("generate").Generator(modules, config, **painted(spec, config))
    if hasattr(generator, "generate"):
        controls = controls or made_controls(spec, config, drivers)
        return np.stack(list(generator.generate(source, controls, options_of(spec, seed))))
    motion = generator.motion(drivers, Fraction(25))
    return np.stack(list(generator.animate(source, motion, options_of(spec, seed))))


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


def training_clips(faces):
    """The speaker's three frames as one clip of the training data, labels measured on them."""
    from vivant.core.facemesh import TRAINING_POINTS
    from vivant.data.dataset import FaceClips
    from vivant.data.labels import Labels
    from vivant.data.manifest import Row
    from vivant.perception.pose import head_pose

    views = [crop_face(*each, 1.8, -0.033, 256, False, "mesh") for each in faces[1:]]
    landmarks = np.stack([np.hstack([v.landmarks[:, :2] / 128 - 1, v.landmarks[:, 2:] / 128]) for v in views])
    pose = head_pose(np.stack([view.landmarks for view in views]))
    count, points = len(views), np.array(TRAINING_POINTS)
    landmarks = landmarks[:, points]
    labels = Labels(
        landmarks=landmarks.astype(np.float16),
        rotation=np.radians(np.stack([pose.pitch, pose.yaw, pose.roll], 1)).astype(np.float32),
        scale=np.ones(count, np.float32),
        translation=landmarks[:, :, :2].mean(1).astype(np.float32),
        neutral=landmarks[0].astype(np.float16),
        weight=np.ones(len(points), np.float32),
        points=points,
    )
    row = Row("clip", "person", "train", "clip", "grid", count, 25.0, 256, "clip.npz", video="clip.mp4")
    frames = torch.from_numpy(np.stack([cv2.resize(view.image, (256, 256)) for view in views]))
    return FaceClips(frames, [row], [labels])


def talking_frames(config, faces):
    """The speaker's three frames as one clip of a pack, with features made up."""
    from vivant.data.pack import Pack, PackRow
    from vivant.data.talking import TalkingFrames

    view, side = config.source_crop, config.output_size
    crops = [crop_face(*each, view.scale, view.shift_y, side, view.rotate, view.points) for each in faces[1:]]
    count, encoder = len(crops), config.speech_encoders[0]
    features = np.random.default_rng(0).normal(size=(count, *SPEECH_FEATURES[encoder])).astype(np.float32)
    mouth = np.tile(np.float32([0.3, 0.6, 0.7, 0.8]) * side, (count, 1))
    pack = Pack(
        np.stack([crop.image for crop in crops]), (PackRow("clip", "person", "train", "grid", count),),
        {encoder: features, "mouth": mouth},
    )  # fmt: skip
    return TalkingFrames(pack, "cpu", encoder)


def face_motions(config):
    """Two clips of motion that follow made up features."""
    from vivant.core.face_motion import NUMBERS, PARTS
    from vivant.data.face_motions import FaceMotions, MotionClip
    from vivant.methods.speech_portrait.prepare import SHAPE
    from vivant.methods.speech_portrait.weights import rigid_template

    rng, count, template = np.random.default_rng(0), 2 * config.window + 8, rigid_template()
    steps, told = SPEECH_FEATURES[config.encoder]
    wave = np.sin(np.arange(count)[:, None] * rng.uniform(0.1, 0.5, NUMBERS))
    numbers = 0.15 * wave
    numbers[:, PARTS["lids"]] += 1
    arrays = {
        "numbers": numbers.astype(np.float16), "voiced": np.full(count, 255, np.uint8),
        "sound": np.round(80 * wave[:, None, : config.heard].repeat(steps, 1)).astype(np.int8),
        "sound_unit": np.full(config.heard, 0.01, np.float32), "shapes": rng.normal(size=(2, SHAPE)),
        "heard_mean": np.zeros(told, np.float32), "heard_basis": np.eye(told, config.heard, dtype=np.float32),
        "rigid_rows": template.rows.numpy(), "rigid_points": template.points.numpy(),
    }  # fmt: skip
    clips = [MotionClip(f"clip{k}", "person", "grid", "train", count // 2) for k in range(2)]
    return FaceMotions(clips, arrays, length=config.window)


def training_samples(spec, config, faces):
    """What the method learns from, of the speaker's three frames."""
    kind = getattr(spec.part("train"), "SAMPLES", "")
    if kind.endswith(":FaceMotions"):
        return face_motions(config)
    return talking_frames(config, faces) if kind.endswith(":TalkingFrames") else training_clips(faces)


@pytest.mark.parametrize("name", TRAINABLE)
def test_loss_falls_in_twenty_steps(name, faces):
    spec = METHODS[name]
    train = spec.part("train")
    stage = next(iter(train.STAGES.values()))
    modules, config = loaded(spec)
    objective = train.Objective(modules, config, stage, torch.device("cpu"))
    clips = training_samples(spec, config, faces)
    raw = clips.gather(clips.draw(0, 0, 2, {}))
    batch = objective.augment(raw, torch.Generator().manual_seed(0))
    choose_learning(modules, stage.trains)
    learning = [p for module in modules.values() for p in module.parameters() if p.requires_grad]
    for module in modules.values():
        module.train()
    optimiser = torch.optim.AdamW(learning, lr=stage.learning_rate / 3, betas=stage.betas)
    history = []
    for _ in range(STEPS):
        terms, _ = objective.losses(batch, False)
        loss = sum(terms.values())
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learning, stage.clip_norm)
        optimiser.step()
        history.append(float(loss.detach()))
    assert np.isfinite(history).all()
    assert np.mean(history[-3:]) < 0.9 * history[0], [round(v, 2) for v in history]


@pytest.mark.parametrize("name", TRAINABLE)
def test_a_resumed_run_equals_one_that_was_not_stopped(name, faces, tmp_path):
    spec = METHODS[name]
    train, clips = spec.part("train"), training_samples(spec, spec.part("config").PRESETS["tiny"], faces)
    stage = next(iter(train.STAGES.values()))
    short = {"steps": 2, "batch": 2, "mix": dict.fromkeys(stage.mix, 0), "sample_every": 0, "checkpoint_every": 1}

    def run(out, resume=False):
        modules, config = loaded(spec, seed=resume)  # a resumed run takes nothing from its start
        trainer = Trainer(modules, config, stage.changed(short), train.Objective, clips, out)
        assert trainer.run(resume).step == 2
        return {**flat_state(trainer.modules), **trainer.step.optimizer.state()}

    whole = run(tmp_path / "whole")
    first = tmp_path / "parts" / "checkpoints" / "step_00000001"
    shutil.copytree(tmp_path / "whole" / "checkpoints" / first.name, first)
    (first.parent / "latest").write_text(first.name)
    parts = run(tmp_path / "parts", resume=True)
    assert set(whole) == set(parts) and all(torch.equal(whole[key], parts[key]) for key in whole)
