"""What every trainable method promises: it learns, and a stopped run goes on as if it had not been stopped."""

import shutil

import cv2
import numpy as np
import pytest
import torch
from method_makers import METHODS, TRAINABLE, loaded

from vivant.controls.crop import crop_face
from vivant.core.speech import SPEECH_FEATURES
from vivant.training.checkpoint import flat_state
from vivant.training.loop import Trainer
from vivant.training.step import choose_learning

STEPS = 30


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
def test_loss_falls_in_thirty_steps(name, faces):
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
    optimiser = torch.optim.AdamW(learning, betas=stage.betas)
    history = []
    for step in range(STEPS):
        for group in optimiser.param_groups:  # warmed up, as in training: Adam's first steps are the longest
            group["lr"] = stage.learning_rate / 3 * min(1.0, (step + 1) / 10)
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
