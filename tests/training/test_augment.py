"""Labels move exactly with the picture: dots are painted at the labels, augmented, and found where the labels say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from vivant.core.errors import ConfigError
from vivant.core.facemesh import TRAINING_MIRROR, TRAINING_POINTS
from vivant.data.still_motion import rotation_matrices
from vivant.training.augment import AugmentConfig, PairAugment

CPU = torch.device("cpu")
PAIRS = 12
DOTS = [TRAINING_POINTS.index(p) for p in (33, 263, 61, 291, 1, 10, 152, 234, 454, 13)]
PLAIN = AugmentConfig(colour=0.0, driver_colour=0.0)


def labels(seed: int) -> dict[str, Tensor]:
    """Heads (B, P, 3) of random points about their centre; like a face, the pattern is its own mirror image."""
    generator = torch.Generator().manual_seed(seed)

    def rand(*shape: int) -> Tensor:
        return torch.rand(PAIRS, *shape, generator=generator) * 2 - 1

    shape = rand(len(TRAINING_POINTS), 3) * torch.tensor([0.35, 0.45, 0.2])
    shape = (shape + shape[:, list(TRAINING_MIRROR)] * torch.tensor([-1.0, 1.0, 1.0])) / 2
    rotation = rand(3) * 0.3
    scale, translation = 1.0 + 0.1 * rand(), 0.1 * rand(2)
    moved = scale[:, None, None] * (shape @ rotation_matrices(rotation))
    moved[..., :2] += translation[:, None]
    return {"landmarks": moved, "rotation": rotation, "scale": scale, "translation": translation, "neutral": shape}


def raw_batch(size: int = 256) -> dict[str, Tensor]:
    source, driver = labels(1), labels(2)
    raw = {f"{name}_{k}": v for name, part in (("source", source), ("driver", driver)) for k, v in part.items()}
    raw["neutral"] = source["neutral"]
    raw["weight"] = torch.arange(len(TRAINING_POINTS)).float().expand(PAIRS, -1)
    raw["still"] = torch.zeros(PAIRS)
    for name in ("source", "driver"):
        raw[name] = torch.full((PAIRS, 3, size, size), 128, dtype=torch.uint8)
    return raw


def dot(points: Tensor, size: int) -> Tensor:
    """Pictures (B, 3, size, size) uint8 that are black but for one soft dot at points (B, 2)."""
    line = (torch.arange(size) + 0.5) * (2 / size) - 1
    squared = (line[None, None] - points[:, :1, None]).square() + (line[None, :, None] - points[:, 1:, None]).square()
    return (255 * torch.exp(-squared / (2 * 0.02**2)))[:, None].expand(-1, 3, -1, -1).round().to(torch.uint8)


def centre_of_mass(image: Tensor) -> Tensor:
    """(B, 3, H, W) -> (B, 2) in -1..1."""
    weights = image.mean(1)
    size = weights.shape[-1]
    line = (torch.arange(size) + 0.5) * (2 / size) - 1
    total = weights.sum((1, 2))
    return torch.stack([(weights.sum(1) * line).sum(1) / total, (weights.sum(2) * line).sum(1) / total], 1)


@pytest.mark.parametrize("row", DOTS)
def test_painted_dots_are_found_at_the_labels(row: int) -> None:
    raw, augment = raw_batch(), PairAugment(PLAIN, CPU)
    for name in ("source", "driver"):
        raw[name] = dot(raw[f"{name}_landmarks"][:, row, :2], 256)
    generator = torch.Generator().manual_seed(7)
    out = augment(raw, generator)
    flip = torch.rand(PAIRS, generator=torch.Generator().manual_seed(7)) < PLAIN.flip
    assert flip.any() and not flip.all()
    rows = torch.where(flip, torch.tensor(TRAINING_MIRROR[row]), torch.tensor(row))  # a left eye becomes a right one
    for name in ("source", "driver"):
        wanted = out[f"{name}_landmarks"][torch.arange(PAIRS), rows, :2]
        inside = wanted.abs().amax(1) < 0.85
        assert inside.sum() >= PAIRS // 2
        found = centre_of_mass(out[f"{name}_image"])
        assert (found - wanted)[inside].abs().max() * 128 < 0.15  # pixels of 256


def test_pose_labels_still_give_the_landmarks() -> None:
    """x = scale (shape R) + translation holds after the augmentation as before, with the mirrored shape."""
    out = PairAugment(PLAIN, CPU)(raw_batch(32), torch.Generator().manual_seed(3))
    x = out["source_scale"][:, None, None] * (out["neutral"] @ rotation_matrices(out["source_rotation"]))
    x[..., :2] += out["source_translation"][:, None]
    assert torch.allclose(x, out["source_landmarks"], atol=1e-5)


def test_trust_follows_its_landmark_when_flipped() -> None:
    always = PairAugment(replace(PLAIN, flip=1.0), CPU)(raw_batch(32), torch.Generator().manual_seed(3))
    never = PairAugment(replace(PLAIN, flip=0.0), CPU)(raw_batch(32), torch.Generator().manual_seed(3))
    assert torch.equal(always["weight"], never["weight"][:, list(TRAINING_MIRROR)])
    assert torch.equal(never["weight"][0], torch.arange(len(TRAINING_POINTS)).float())


def test_ranges_are_kept_and_both_frames_move_alike() -> None:
    raw = raw_batch(32)
    out = PairAugment(PLAIN, CPU)(raw, torch.Generator().manual_seed(5))
    zoom = out["source_scale"] / raw["source_scale"]
    assert torch.allclose(out["driver_scale"] / raw["driver_scale"], zoom)
    assert ((out["source_scale"] >= PLAIN.face[0] - 1e-5) & (out["source_scale"] <= PLAIN.face[1] + 1e-5)).all()
    assert out["source_translation"].abs().max() <= PLAIN.shift + 1e-6
    assert out["source_image"].shape == (PAIRS, 3, 32, 32)


def test_only_the_seen_copy_of_the_driver_changes_its_colours_further() -> None:
    raw = raw_batch(32)
    raw["driver"] = raw["source"]
    for key in ("landmarks", "rotation", "scale", "translation"):
        raw[f"driver_{key}"] = raw[f"source_{key}"]
    out = PairAugment(AugmentConfig(), CPU)(raw, torch.Generator().manual_seed(5))
    assert torch.equal(out["source_image"], out["driver_image"])  # one tint for both
    assert (out["driver_seen"] - out["driver_image"]).abs().max() > 0.01
    assert all(float(out[k].min()) >= 0 and float(out[k].max()) <= 1 for k in ("source_image", "driver_seen"))


def test_the_same_seed_gives_the_same_batch_and_another_seed_another() -> None:
    augment = PairAugment(AugmentConfig(), CPU)
    one, two, other = (augment(raw_batch(32), torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert all(torch.equal(one[k], two[k]) for k in one)
    assert not torch.equal(one["source_landmarks"], other["source_landmarks"])
    assert np.isfinite(one["source_image"].numpy()).all()


def test_labels_of_other_landmarks_are_refused() -> None:
    raw = raw_batch(32)
    raw["neutral"] = torch.zeros(PAIRS, 478, 3)
    with pytest.raises(ConfigError, match="keep 478 landmarks"):
        PairAugment(PLAIN, CPU)(raw, None)
