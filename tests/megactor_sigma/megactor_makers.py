"""A made-up face, sound of silence, and nets whose every part acts."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import torch
from waking import wake

from vivant.core.face import FaceCrop
from vivant.core.facemesh import FACE_POINTS, SKULL
from vivant.core.similarity import Similarity
from vivant.core.speech import Speech
from vivant.methods.megactor_sigma.model import build_modules

SIDE = 64
FACE = np.array(
    [[-0.3, -0.1], [-0.1, -0.1], [0.1, -0.1], [0.3, -0.1], [0, 0.1], [-0.15, 0.3], [0.15, 0.3], [0, 0.25],
     [0, 0.36], [-0.08, 0.26], [0.08, 0.26], [-0.08, 0.35], [0.08, 0.35]], np.float32,
)  # fmt: skip


def landmarks(move=Similarity()):  # noqa: B008 - frozen
    """(478, 3) pixels of a square of SIDE: the face above, the skull around it, moved."""
    points = np.zeros((478, 3), np.float32)
    rng = np.random.default_rng(0)
    points[list(SKULL), :2] = SIDE / 2 + rng.uniform(-16, 16, (len(SKULL), 2))
    points[list(FACE_POINTS), :2] = (FACE + 1) * (SIDE / 2) - 0.5
    points[:, :2] = move.points(points)
    return points


def crop(seed=0, move=Similarity(), to_frame=None, side=SIDE):  # noqa: B008 - frozen
    image = np.random.default_rng(seed).integers(30, 255, (side, side, 3), dtype=np.uint8)
    return FaceCrop(image, landmarks(move), np.eye(2, 3) if to_frame is None else to_frame, (200, 200))


def speech(count):
    features = {"whisper-tiny-en": np.zeros((count, 2, 1920), np.float32)}
    return Speech(np.zeros(count * 640, np.float32), Fraction(25), np.ones(count, np.float32), features)


def alive(config, seed=0):
    torch.manual_seed(seed)
    modules = build_modules(config)
    for name, module in modules.items():
        if name != "codec":
            wake(module)
    torch.nn.init.normal_(modules["denoiser"].pos_embed.proj.weight, std=0.2)
    return modules
