"""The term `seen`: what the tracker sees in the result and in the driver."""

from __future__ import annotations

from dataclasses import replace

import torch
from portraits import modules_of, raw_pair
from torch import Tensor
from torch.nn import functional as F

from vivant.methods.live_portrait.config import PRESETS
from vivant.methods.live_portrait.stage_one import BaseObjective
from vivant.methods.live_portrait.train import STAGES
from vivant.training.features import LandmarksInPicture

CPU = torch.device("cpu")


def moved(image: Tensor, pixels: float) -> Tensor:
    """The picture shifted to the right."""
    theta = torch.tensor([[[1.0, 0, -2 * pixels / image.shape[-1]], [0, 1, 0]]])
    grid = F.affine_grid(theta, list(image.shape), align_corners=False)
    return F.grid_sample(image, grid, padding_mode="border", align_corners=False)


def test_it_is_nothing_for_equal_pictures_and_grows_with_a_shift(face) -> None:
    image, labels, _ = face
    seen = LandmarksInPicture(CPU)
    values = [float(seen.difference(moved(image, shift), image, labels)) for shift in (0.0, 2.0, 4.0, 8.0)]
    assert values[0] < 1e-3 < values[1] < values[2] < values[3]
    # a shift of x alone moves a third of the numbers; the view is 1.5 times as wide as the face is long
    side = float((labels[0, :, :2].amax(0) - labels[0, :, :2].amin(0)).max()) * 1.5
    assert abs(values[3] - 2 * (8 / image.shape[-1] * 2) / (side / 2) / 3) < 0.35 * values[3]


def test_a_stage_that_wants_it_learns_by_it(face) -> None:
    modules = modules_of("tiny")
    usual = BaseObjective(modules, PRESETS["tiny"], STAGES["base"], CPU)
    assert usual.seen is None and "seen" not in STAGES["base"].loss_weights
    stage = replace(STAGES["base"], loss_weights={"seen": 2.0})
    objective = BaseObjective(modules, PRESETS["tiny"], stage, CPU)
    batch = objective.augment(raw_pair(face), torch.Generator().manual_seed(3))
    terms, _ = objective.losses(batch, False)
    assert set(terms) == {"seen"} and terms["seen"].item() > 0
    terms["seen"].backward()
    for name in ("warping_module", "spade_generator", "appearance_feature_extractor"):
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in modules[name].parameters()), name
    assert all(p.grad is None for p in objective.seen.parameters())  # type: ignore[union-attr]
