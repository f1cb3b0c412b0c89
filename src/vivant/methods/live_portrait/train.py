"""How it learns: the stages as data. Stage I's terms are in ``stage_one.py``, stage II's in ``stage_two.py``."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from vivant.methods.live_portrait.config import Config
from vivant.methods.live_portrait.stage_one import BaseObjective
from vivant.methods.live_portrait.stage_two import RetargetingObjective
from vivant.training.features import imagenet_trunk
from vivant.training.stage import Stage

BASE = ("appearance_feature_extractor", "motion_extractor", "warping_module", "spade_generator")

_LITE_LOSSES = {
    "pixel": 4.0, "copied": 2.0, "perceptual": 1.5, "regions": 2.5, "keypoints": 5.0, "rotation": 2.0,
    "placement": 2.0, "canonical": 1.5, "gaps": 8.0, "gaze": 12.0, "flow": 12.0, "expression": 0.05,
}  # fmt: skip
_PAPER_LOSSES = {
    "pixel": 1.0, "perceptual": 1.0, "regions": 0.5, "wing": 1.0, "head_pose": 1.0, "prior": 1.0, "equivariance": 1.0,
    "expression": 1.0, "identity": 0.5, "adversarial": 0.1, "feature_matching": 1.0,
}  # fmt: skip
_MIX = {"rig": 0.5, "replay": 0.2, "grid": 0.2, "still": 0.1}

STAGES: dict[str, Stage] = {
    "base": Stage(
        name="base", trains=BASE, steps=20_000, batch=32, learning_rate=6e-4, betas=(0.8, 0.99), warmup=150,
        ema_decay=0.9985, loss_weights=_LITE_LOSSES, mix=_MIX, sample_every=1000, checkpoint_every=2000,
    ),
    "sharpen": Stage(
        name="sharpen", trains=BASE, steps=5_000, batch=32, learning_rate=2e-4, betas=(0.8, 0.99), warmup=50,
        ema_decay=0.9985, mix=_MIX, critics_from=0.0, sample_every=1000, checkpoint_every=2000,
        loss_weights={**_LITE_LOSSES, "adversarial": 0.1, "feature_matching": 0.8, "identity": 1.0},
    ),
    "paper": Stage(
        name="paper", trains=BASE, steps=1_000_000, batch=104, learning_rate=2e-4, betas=(0.5, 0.999), warmup=500,
        ema_decay=0.999, loss_weights=_PAPER_LOSSES, critics_from=0.01, critic_betas=(0.5, 0.999), clip_norm=1.0,
        sample_every=2000, checkpoint_every=5000,
    ),
    "stitching": Stage(
        name="stitching", trains=("stitching_retargeting_module.retarget_shoulder",), steps=2_000, batch=32,
        learning_rate=1e-3, warmup=50, ema_decay=0.99, mix=_MIX, weight_decay=0.0,
        loss_weights={"still": 8.0, "size": 4.0},
    ),
    "eyes": Stage(
        name="eyes", trains=("stitching_retargeting_module.retarget_eye",), steps=2_000, batch=32,
        learning_rate=1e-3, warmup=50, ema_decay=0.99, mix=_MIX, weight_decay=0.0,
        loss_weights={"still": 4.0, "condition": 4.0, "size": 0.5},
    ),
    "lips": Stage(
        name="lips", trains=("stitching_retargeting_module.retarget_mouth",), steps=2_000, batch=32,
        learning_rate=1e-3, warmup=50, ema_decay=0.99, mix=_MIX, weight_decay=0.0,
        loss_weights={"still": 4.0, "condition": 4.0, "size": 0.5},
    ),
}  # fmt: skip


LOSSES = ("seen",)
"""Terms of the loss that no stage weighs by itself, for recipes."""


def finetune(config: Config, group: str) -> dict[str, Any]:
    """The recipe for one person's recording, whose clips are of ``group``: the nets of stage I at a low rate; the
    retargeting nets stay, since keypoints keep their meaning."""
    stage = {
        "name": "finetune", "from": "base" if config.family == "lite" else "paper", "steps": 1500, "batch": 16,
        "learning_rate": 5e-5, "warmup": 100, "ema_decay": 0.998, "mix": {**dict.fromkeys(_MIX, 0.0), group: 1.0},
        "sample_every": 250, "checkpoint_every": 500, "critics_from": 1.0,
    }  # fmt: skip
    return {"stages": [stage]}


def initialise(modules: dict[str, nn.Module], config: Config, samples: Any) -> None:
    """Start of stage I: M's trunk from ImageNet (lite), the mean neutral face of the samples under the keypoints."""
    extractor = modules["motion_extractor"]
    if config.family == "lite":
        extractor.get_submodule("trunk").load_state_dict(imagenet_trunk(config.backbone_blocks).state_dict())
        extractor.get_buffer("mean_shape").copy_(samples.mean_shape(config.space.landmarks))


def Objective(  # noqa: N802 - the name the training loop asks for; which class answers depends on the stage
    modules: dict[str, nn.Module], config: Config, stage: Stage, device: torch.device
) -> BaseObjective | RetargetingObjective:
    """The objective of a stage."""
    kind = RetargetingObjective if stage.name in ("stitching", "eyes", "lips") else BaseObjective
    return kind(modules, config, stage, device)
