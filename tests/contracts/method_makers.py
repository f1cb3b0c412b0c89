"""Every method of the registry with its preset ``tiny``, and made-up controls for it."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import torch

from vivant.controls.crop import crop_face
from vivant.core.controls import Controls
from vivant.core.registry import all_methods
from vivant.core.spec import MethodSpec
from vivant.core.speech import SPEECH_FEATURES, SPEECH_RATE, Speech

METHODS = all_methods()
TRAINABLE = [name for name, spec in METHODS.items() if spec.capabilities.trainable]
HEARING = [name for name, spec in METHODS.items() if spec.capabilities.audio]
NETS = {name: spec.part("model").build_modules(spec.part("config").PRESETS["tiny"]) for name, spec in METHODS.items()}
LEARNED = [name for name, modules in NETS.items() if modules]


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
